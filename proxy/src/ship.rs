//! Step 12, the second half: traces from the spool to PostgreSQL, and spend.
//!
//! 1. Batches come from the oldest and the newest segment in turn: what has just happened is seen soon, also while what
//!    an outage left behind is carried away.
//! 2. A batch is acknowledged once it is committed. Whatever ends the process in between, it comes again and changes
//!    nothing: trace ids are unique.
//! 3. A batch that the database cannot take now is tried again; one whose data is at fault is halved until the record
//!    that is at fault stands alone, and only that one is set aside, with the reason, in the spool's folder.
//! 4. Spend is flushed in batches that keep their id until the database has confirmed them: after an unclear
//!    commit the same batch is sent again and counts once.

use crate::spool::{TraceSource, read_spooled};
use bulkhead_policy::ledger::LedgerBook;
use bulkhead_policy::trace::TraceRecord;
use bulkhead_spool::{Batch, BatchLimits, Lane, Reader, Record};
use bulkhead_store::writer::{UsageBatch, add_budget_usage, insert_traces, load_budget_usage};
use bulkhead_store::{Store, StoreError};
use chrono::Utc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

/// Records per statement; more gain nothing.
const BATCH: BatchLimits = BatchLimits { records: 1_000, bytes: 4 << 20 };
/// How long a record waits for company while there is some.
const BATCH_WAIT: Duration = Duration::from_millis(50);
/// And on a quiet node, where someone may be looking for it already.
const QUIET_WAIT: Duration = Duration::from_millis(2);
/// A batch of so many says that the node is not quiet: at 50 ms, 80 requests a second.
const BUSY_RECORDS: usize = 4;
/// How often spend is flushed and the spool is looked at.
const FLUSH_EVERY: Duration = Duration::from_millis(500);
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(5);
/// How long the database may take for one batch: one that stands still must not hold a stop for ever. Whatever becomes of
/// a batch that was left alone, it is sent again.
const DATABASE_PATIENCE: Duration = Duration::from_secs(15);
/// How long the stop waits for a database that does not take what is left.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Moves traces and spend to PostgreSQL until the request path is gone.
#[derive(Debug)]
pub struct Shipper {
    store: Store,
    spool: TraceSource,
    ledgers: Arc<LedgerBook>,
    unconfirmed: Option<UsageBatch>,
    usage_loaded: bool,
    lane: Lane,
    last_batch: usize,
    /// Once the request path is gone: when to stop waiting for the database.
    give_up_at: Option<Instant>,
}

/// What became of an attempt to ship.
enum Shipped {
    Batch {
        /// Records that wait for the next.
        waiting: u64,
    },
    Nothing,
    /// The database or the disk does not answer; later perhaps.
    NotNow,
}

/// A record of a batch, and the same as the database takes it.
type Sendable<'a> = (&'a Record, TraceRecord);

impl Shipper {
    /// `store` acts as [`bulkhead_store::Role::Writer`].
    #[must_use]
    pub fn new(store: Store, spool: TraceSource, ledgers: Arc<LedgerBook>) -> Self {
        Self {
            store,
            spool,
            ledgers,
            unconfirmed: None,
            usage_loaded: false,
            lane: Lane::Newest,
            last_batch: 0,
            give_up_at: None,
        }
    }

    /// Loads what was spent before this process began; [`run`](Self::run) tries again if it fails.
    ///
    /// # Errors
    /// [`StoreError`] while the database is away: budgets then count from zero until it is back.
    pub async fn load_usage(&mut self) -> Result<(), StoreError> {
        if !self.usage_loaded {
            let usage = load_budget_usage(&self.store).await?;
            self.ledgers.load(usage, Utc::now());
            self.usage_loaded = true;
        }
        Ok(())
    }

    /// Ships until every [`crate::TraceSender`] is dropped and nothing is left.
    pub async fn run(mut self) {
        let mut flush = tokio::time::interval(FLUSH_EVERY);
        let mut wait = RETRY_FIRST;
        // What an earlier process left need not wait for what comes.
        let mut is_worth_a_look = true;
        loop {
            if !is_worth_a_look && !self.spool.is_closed() {
                tokio::select! {
                    () = self.spool.arrived() => self.wait_for_company().await,
                    _ = flush.tick() => self.flush_and_look().await,
                }
            }
            // Asked before the look: what is written between the two would be missed.
            let was_closed = self.spool.is_closed();
            is_worth_a_look = match self.ship_next().await {
                Shipped::Batch { waiting } => {
                    wait = RETRY_FIRST;
                    if waiting > 0 && waiting < BATCH.records as u64 && !self.spool.is_closed() {
                        self.wait_for_company().await;
                    }
                    waiting > 0
                }
                Shipped::Nothing if was_closed => break,
                Shipped::Nothing => false,
                Shipped::NotNow if self.has_given_up() => {
                    tracing::warn!(
                        "stopped with traces that PostgreSQL did not take: they wait in the spool"
                    );
                    break;
                }
                Shipped::NotNow => {
                    self.spool.look().await;
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(if self.give_up_at.is_some() { RETRY_FIRST } else { RETRY_MOST });
                    true
                }
            };
        }
        self.spool.end().await;
        self.flush_to_the_end().await;
    }

    async fn flush_to_the_end(&mut self) {
        loop {
            match timeout(STOP_PATIENCE, self.flush_usage()).await {
                Ok(Ok(())) => return,
                Ok(Err(_)) | Err(_) if !self.has_given_up() => tokio::time::sleep(RETRY_FIRST).await,
                Ok(Err(error)) => {
                    return tracing::error!(%error, "stopped with spend that PostgreSQL did not take");
                }
                Err(_) => return tracing::error!("stopped with spend: PostgreSQL does not answer"),
            }
        }
    }

    /// Waits a moment for more records, so that a busy node writes full batches.
    async fn wait_for_company(&self) {
        let is_busy = self.last_batch >= BUSY_RECORDS;
        tokio::time::sleep(if is_busy { BATCH_WAIT } else { QUIET_WAIT }).await;
    }

    /// Ships the next batch of the lane whose turn it is.
    async fn ship_next(&mut self) -> Shipped {
        let lane = self.lane;
        let batch = match self.spool.read(move |reader| reader.take(lane, BATCH)).await {
            Some(Ok(Some(batch))) => batch,
            Some(Ok(None)) => return Shipped::Nothing,
            Some(Err(error)) => {
                tracing::error!(%error, "a segment of the spool cannot be read");
                self.take_turns();
                return Shipped::NotNow;
            }
            None => return Shipped::NotNow,
        };
        // First, so that whoever sees a trace knows that its cost is stored.
        self.flush_and_report().await;
        match timeout(DATABASE_PATIENCE, self.insert(&batch)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, records = batch.records.len(), "traces wait for the database");
                return Shipped::NotNow;
            }
            Err(_) => {
                tracing::warn!(records = batch.records.len(), "traces wait: the database does not answer");
                return Shipped::NotNow;
            }
        }
        self.take_turns();
        self.last_batch = batch.records.len();
        let acknowledge = move |reader: &mut Reader<_>| (reader.acknowledge(&batch), reader.usage().records);
        let Some((saved, waiting)) = self.spool.read(acknowledge).await else { return Shipped::NotNow };
        if let Err(error) = saved {
            tracing::warn!(%error, "the spool's position could not be saved");
        }
        Shipped::Batch { waiting }
    }

    fn take_turns(&mut self) {
        self.lane = match self.lane {
            Lane::Newest => Lane::Oldest,
            Lane::Oldest => Lane::Newest,
        };
    }

    /// True when the request path has been gone for so long that the process should end.
    fn has_given_up(&mut self) -> bool {
        if !self.spool.is_closed() {
            return false;
        }
        let give_up_at = *self.give_up_at.get_or_insert_with(|| Instant::now() + STOP_PATIENCE);
        Instant::now() >= give_up_at
    }

    /// Brings a batch into the database, and sets aside what can never go there.
    async fn insert(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut sendable: Vec<Sendable<'_>> = Vec::with_capacity(batch.records.len());
        for record in &batch.records {
            match read_spooled(record, self.spool.keys()) {
                Ok(trace) => sendable.push((record, trace)),
                Err(error) => self.set_aside(record, &error.to_string()).await,
            }
        }
        let (records, traces): (Vec<&Record>, Vec<TraceRecord>) = sendable.into_iter().unzip();
        let refused = self.insert_halving(&records, &traces).await?;
        self.spool.metrics().traces_written.inc_by((traces.len() - refused) as u64);
        Ok(())
    }

    /// Inserts traces, leaving out what the database refuses for good; returns how many that were.
    ///
    /// Parts that were inserted before a transient error are inserted again later and ignored then.
    async fn insert_halving(&self, records: &[&Record], traces: &[TraceRecord]) -> Result<usize, StoreError> {
        let mut parts = vec![(records, traces)];
        let mut refused = 0;
        while let Some((records, traces)) = parts.pop() {
            match insert_traces(&self.store, traces).await {
                Ok(()) => {}
                Err(error) if error.is_transient() => return Err(error),
                Err(error) if traces.len() <= 1 => {
                    let reason = in_full(&error);
                    for record in records {
                        self.set_aside(record, &reason).await;
                    }
                    refused += traces.len();
                }
                Err(_) => {
                    let half = traces.len() / 2;
                    let (left, right) = (records.split_at(half), traces.split_at(half));
                    parts.extend([(left.1, right.1), (left.0, right.0)]);
                }
            }
        }
        Ok(refused)
    }

    /// Keeps a record that can never be stored, with the reason, so that it stops nobody and is not forgotten.
    async fn set_aside(&self, record: &Record, reason: &str) {
        tracing::error!(reason, "a trace will never be stored: see `bulkhead trace dead-letters`");
        let (record, reason) = (record.clone(), reason.to_owned());
        match self.spool.read(move |reader| reader.set_aside_record(&record, &reason)).await {
            Some(Ok(())) => self.spool.metrics().spool.dead_letters.inc(),
            _ => self.spool.metrics().traces_dropped.with_label_values(&["refused"]).inc(),
        }
    }

    async fn flush_and_look(&mut self) {
        self.flush_and_report().await;
        self.spool.look().await;
    }

    async fn flush_and_report(&mut self) {
        let flush = async {
            self.load_usage().await?;
            self.flush_usage().await
        };
        let error = match timeout(DATABASE_PATIENCE, flush).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the database does not answer".to_owned(),
        };
        self.spool.metrics().budget_flush_failures.inc();
        tracing::debug!(error, "spend waits for the database");
    }

    async fn flush_usage(&mut self) -> Result<(), StoreError> {
        if self.unconfirmed.is_none() {
            let deltas = self.ledgers.drain(Utc::now());
            if deltas.is_empty() {
                return Ok(());
            }
            self.unconfirmed = Some(UsageBatch { id: Uuid::now_v7(), deltas });
        }
        match add_budget_usage(&self.store, self.unconfirmed.as_slice()).await {
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => {
                tracing::error!(%error, "spend was refused by the database and is dropped");
                self.unconfirmed = None;
                return Err(error);
            }
            Ok(()) => self.unconfirmed = None,
        }
        Ok(())
    }
}

/// The error and its causes: the reason says which value of which column.
fn in_full(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
