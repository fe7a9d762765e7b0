//! Traces and spend on their way to PostgreSQL.
//!
//! 1. The request path only puts a record into a bounded queue; it never waits for the database.
//! 2. The queue is bounded by records and by bytes. Short of bytes, bodies are dropped first; when it is
//!    full, the record is. Both are counted, neither is silent.
//! 3. A batch that the database cannot take now is tried again; one whose data is at fault is halved until
//!    the record that is at fault stands alone, and only that one is dropped.
//! 4. Spend is flushed in batches that keep their id until the database has confirmed them: after an unclear
//!    commit the same batch is sent again and counts once.

use crate::metrics::Metrics;
use bulkhead_policy::ledger::LedgerBook;
use bulkhead_policy::trace::TraceRecord;
use bulkhead_store::writer::{UsageBatch, add_budget_usage, insert_traces, load_budget_usage};
use bulkhead_store::{Store, StoreError};
use chrono::Utc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

/// Records that may wait.
const QUEUE_RECORDS: usize = 65_536;
/// Bytes of bodies that may wait.
const QUEUE_BODY_BYTES: usize = 256 << 20;
/// Records per statement; more gain nothing.
const BATCH_RECORDS: usize = 1_000;
/// How long a record waits for company while there is some.
const BATCH_WAIT: Duration = Duration::from_millis(50);
/// And on a quiet node, where someone may be looking for it already.
const QUIET_WAIT: Duration = Duration::from_millis(2);
/// A batch of so many says that the node is not quiet: at 50 ms, 80 requests a second.
const BUSY_RECORDS: usize = 4;
/// How often spend is flushed.
const FLUSH_EVERY: Duration = Duration::from_millis(500);
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(5);
/// How long the stop waits for a database that does not take what is left.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Makes the queue between the request path and the shipper.
#[must_use]
pub fn queue(metrics: Arc<Metrics>) -> (TraceSender, TraceReceiver) {
    let (sender, receiver) = mpsc::channel(QUEUE_RECORDS);
    let body_bytes = Arc::new(AtomicUsize::new(0));
    let sender = TraceSender { sender, body_bytes: Arc::clone(&body_bytes), metrics: Arc::clone(&metrics) };
    (sender, TraceReceiver { receiver, body_bytes, metrics })
}

/// The request path's end of the queue.
#[derive(Debug, Clone)]
pub struct TraceSender {
    sender: mpsc::Sender<TraceRecord>,
    body_bytes: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
}

/// The shipper's end of the queue.
#[derive(Debug)]
pub struct TraceReceiver {
    receiver: mpsc::Receiver<TraceRecord>,
    body_bytes: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
}

impl TraceSender {
    /// Puts a record into the queue; never waits.
    pub(crate) fn send(&self, mut record: TraceRecord) {
        let bytes = body_bytes(&record);
        if bytes > 0 && self.body_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > QUEUE_BODY_BYTES {
            self.body_bytes.fetch_sub(bytes, Ordering::Relaxed);
            record.bodies = None;
            self.metrics.traces_dropped.with_label_values(&["body_only"]).inc();
        }
        let kept = body_bytes(&record);
        match self.sender.try_send(record) {
            Ok(()) => self.metrics.trace_queue_depth.inc(),
            Err(_) => {
                self.body_bytes.fetch_sub(kept, Ordering::Relaxed);
                self.metrics.traces_dropped.with_label_values(&["queue_full"]).inc();
            }
        }
    }
}

fn body_bytes(record: &TraceRecord) -> usize {
    let len = |body: &Option<String>| body.as_ref().map_or(0, String::len);
    record.bodies.as_ref().map_or(0, |bodies| len(&bodies.request) + len(&bodies.response))
}

/// Moves traces and spend to PostgreSQL until the request path is gone.
#[derive(Debug)]
pub struct Shipper {
    store: Store,
    queue: TraceReceiver,
    ledgers: Arc<LedgerBook>,
    unconfirmed: Option<UsageBatch>,
    usage_loaded: bool,
    is_busy: bool,
    /// Once the request path is gone: when to stop waiting for the database.
    give_up_at: Option<Instant>,
}

impl Shipper {
    /// `store` acts as [`bulkhead_store::Role::Writer`].
    #[must_use]
    pub fn new(store: Store, queue: TraceReceiver, ledgers: Arc<LedgerBook>) -> Self {
        Self {
            store,
            queue,
            ledgers,
            unconfirmed: None,
            usage_loaded: false,
            is_busy: false,
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

    /// Ships until every [`TraceSender`] is dropped and nothing is left.
    pub async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH_RECORDS);
        let mut flush = tokio::time::interval(FLUSH_EVERY);
        loop {
            tokio::select! {
                received = self.queue.receiver.recv_many(&mut batch, BATCH_RECORDS) => {
                    if received == 0 {
                        break;
                    }
                    self.fill(&mut batch).await;
                    // First, so that whoever sees a trace knows that its cost is stored.
                    self.flush_and_report().await;
                    self.ship(&mut batch).await;
                }
                _ = flush.tick() => self.flush_and_report().await,
            }
        }
        while let Err(error) = self.flush_usage().await {
            if self.has_given_up() {
                tracing::error!(%error, "stopped with spend that PostgreSQL did not take");
                return;
            }
            tokio::time::sleep(RETRY_FIRST).await;
        }
    }

    /// Waits a moment for more records, so that a busy node writes full batches.
    ///
    /// Sleeps instead of waiting at the queue: a waiter there is woken for every single record, which costs
    /// more than the record.
    async fn fill(&mut self, batch: &mut Vec<TraceRecord>) {
        tokio::time::sleep(if self.is_busy { BATCH_WAIT } else { QUIET_WAIT }).await;
        while batch.len() < BATCH_RECORDS
            && let Ok(record) = self.queue.receiver.try_recv()
        {
            batch.push(record);
        }
        self.is_busy = batch.len() >= BUSY_RECORDS;
    }

    async fn ship(&mut self, batch: &mut Vec<TraceRecord>) {
        let records = batch.len();
        let bytes: usize = batch.iter().map(body_bytes).sum();
        let mut wait = RETRY_FIRST;
        loop {
            match self.insert_halving(batch).await {
                Ok(refused) => {
                    self.queue.metrics.traces_written.inc_by((records - refused) as u64);
                    break;
                }
                Err(error) => tracing::warn!(%error, records, "traces wait for the database"),
            }
            if self.has_given_up() {
                tracing::error!(records, "stopped with traces that PostgreSQL did not take");
                self.dropped("stopped", records);
                break;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(if self.give_up_at.is_some() { RETRY_FIRST } else { RETRY_MOST });
        }
        self.queue.body_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.queue.metrics.trace_queue_depth.sub(i64::try_from(records).unwrap_or(i64::MAX));
        batch.clear();
    }

    /// True when the request path has been gone for so long that the process should end.
    fn has_given_up(&mut self) -> bool {
        if !self.queue.receiver.is_closed() {
            return false;
        }
        let give_up_at = *self.give_up_at.get_or_insert_with(|| Instant::now() + STOP_PATIENCE);
        Instant::now() >= give_up_at
    }

    /// Inserts the batch, leaving out what the database refuses for good; returns how many that were.
    ///
    /// Parts that were inserted before a transient error are inserted again later and ignored then: trace
    /// ids are unique.
    async fn insert_halving(&self, batch: &[TraceRecord]) -> Result<usize, StoreError> {
        let mut parts = vec![batch];
        let mut refused = 0;
        while let Some(part) = parts.pop() {
            match insert_traces(&self.store, part).await {
                Ok(()) => {}
                Err(error) if error.is_transient() => return Err(error),
                Err(error) if part.len() <= 1 => {
                    let id = part.first().map(|record| record.id.to_string()).unwrap_or_default();
                    tracing::error!(%error, trace = id, "a trace was refused by the database and is dropped");
                    self.dropped("refused", part.len());
                    refused += part.len();
                }
                Err(_) => {
                    let (left, right) = part.split_at(part.len() / 2);
                    parts.extend([right, left]);
                }
            }
        }
        Ok(refused)
    }

    fn dropped(&self, reason: &str, records: usize) {
        self.queue.metrics.traces_dropped.with_label_values(&[reason]).inc_by(records as u64);
    }

    async fn flush_and_report(&mut self) {
        let result = match self.load_usage().await {
            Ok(()) => self.flush_usage().await,
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            self.queue.metrics.budget_flush_failures.inc();
            tracing::debug!(%error, "spend waits for the database");
        }
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
