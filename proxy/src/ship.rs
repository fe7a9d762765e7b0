//! Step 12, the second half: from the spool to PostgreSQL, what happened and what it cost.
//!
//! 1. Batches come from the oldest and the newest segment in turn: what has just happened is seen soon, also while what
//!    an outage left behind is carried away.
//! 2. A batch's traces, its charges and its place in the spool are one transaction. Whatever ends the process around it,
//!    the next one asks how far the database is ([`Shipper::align`]) and goes on from there: nothing is lost or doubled.
//! 3. A batch that the database cannot take now is tried again; one whose data is at fault is halved until the record
//!    that is at fault stands alone, and only that one is set aside, with the reason, in the spool's folder.
//! 4. What a request was charged whose trace could not be spooled is stored from memory.
//! 5. Traces of a tenant that is placed in another database go on from here by a spool of the tenant's own (`placed`). Until
//!    the policies are known, and with them who is placed where, nothing is shipped.

mod batch;
mod owed;
mod placed;
mod refused;
mod route;

use crate::spool::TraceSource;
use batch::Held;
use bulkhead_policy::ledger::LedgerBook;
use bulkhead_spool::{BatchLimits, Lane, Reader};
use bulkhead_store::writer::{Shipped, load_positions};
use bulkhead_store::{Store, StoreError};
use chrono::Utc;
use owed::Owed;
use placed::PlacedSpools;
use refused::DeadLetters;
pub use route::Placements;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// Records per statement; more gain nothing.
const BATCH: BatchLimits = BatchLimits { records: 1_000, bytes: 4 << 20 };
/// How long a record waits for company while there is some.
const BATCH_WAIT: Duration = Duration::from_millis(50);
/// And on a quiet node, where someone may be looking for it already.
const QUIET_WAIT: Duration = Duration::from_millis(2);
/// A batch of so many says that the node is not quiet: at 50 ms, 80 requests a second.
const BUSY_RECORDS: usize = 4;
/// How often the spool is looked at, and what memory owes is paid.
const FLUSH_EVERY: Duration = Duration::from_millis(500);
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(5);
/// How long the database may take for one batch: one that stands still must not hold a stop for ever. Whatever becomes of
/// a batch that was left alone, it is sent again.
const DATABASE_PATIENCE: Duration = Duration::from_secs(15);
/// How long the stop waits for a database that does not take what is left, and a look for one that does not take what is owed.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Moves traces and spend to PostgreSQL until the request path is gone.
#[derive(Debug)]
pub struct Shipper {
    store: Store,
    spool: TraceSource,
    ledgers: Arc<LedgerBook>,
    owed: Owed,
    placements: Arc<Placements>,
    placed: PlacedSpools,
    dead_letters: DeadLetters,
    /// A batch that is not stored yet.
    held: Option<Held>,
    /// The spool's positions are those that the database knows.
    is_aligned: bool,
    lane: Lane,
    last_batch: usize,
    /// Once the request path is gone: when to stop waiting for the database.
    give_up_at: Option<Instant>,
}

/// What became of an attempt to ship.
enum Attempt {
    Shipped {
        /// Records that wait for the next.
        waiting: u64,
    },
    Nothing,
    /// The database or the disk does not answer; later perhaps.
    NotNow,
}

impl Shipper {
    /// `store` is the shared database and acts as [`bulkhead_store::Role::Writer`].
    #[must_use]
    pub fn new(store: Store, spool: TraceSource, ledgers: Arc<LedgerBook>, placements: Placements) -> Self {
        let metrics = Arc::clone(spool.metrics());
        let owed = Owed::new(store.clone(), Arc::clone(&ledgers), spool.holder(), metrics);
        let (reader, placements) = (spool.reader().clone(), Arc::new(placements));
        let dead_letters = DeadLetters { reader: reader.clone(), metrics: Arc::clone(spool.metrics()) };
        let keys = spool.keys().clone();
        let placed =
            PlacedSpools::new(spool.folder(), reader, keys, Arc::clone(&placements), dead_letters.clone());
        Self {
            store,
            spool,
            ledgers,
            owed,
            placements,
            placed,
            dead_letters,
            held: None,
            is_aligned: false,
            lane: Lane::Newest,
            last_batch: 0,
            give_up_at: None,
        }
    }

    /// Brings the spool up to what the database has of it.
    async fn align(&mut self) -> Result<(), StoreError> {
        if self.is_aligned {
            return Ok(());
        }
        let positions = load_positions(&self.store, self.spool.id()).await?;
        let catch_up = move |reader: &mut Reader<_>| {
            for segment in reader.waiting_segments() {
                let position = positions.get(&segment).copied().unwrap_or(0);
                if let Err(error) = reader.skip_to(segment, position) {
                    // Taking it will fail too, and in the end set it aside.
                    tracing::warn!(%error, "a segment of the spool cannot be read");
                }
            }
        };
        self.is_aligned = self.spool.read(catch_up).await.is_some();
        Ok(())
    }

    /// Ships until every [`crate::TraceSender`] is dropped and nothing is left.
    pub async fn run(mut self) {
        self.placed.open_left().await;
        let mut look_at = Instant::now();
        let mut wait = RETRY_FIRST;
        // What an earlier process left need not wait for what comes.
        let mut is_worth_a_look = true;
        loop {
            // By the clock and not only where nothing waits: a node that is busy or catches up always has something to ship.
            if Instant::now() >= look_at {
                self.look().await;
                look_at = Instant::now() + FLUSH_EVERY;
            }
            if !is_worth_a_look && !self.spool.is_closed() {
                tokio::select! {
                    () = self.spool.arrived() => self.wait_for_company().await,
                    () = sleep_until(look_at) => {}
                }
            }
            // Asked before the look: what is written between the two would be missed.
            let was_closed = self.spool.is_closed();
            is_worth_a_look = match self.ship_next().await {
                Attempt::Shipped { waiting } => {
                    wait = RETRY_FIRST;
                    if waiting > 0 && waiting < BATCH.records as u64 && !self.spool.is_closed() {
                        self.wait_for_company().await;
                    }
                    waiting > 0
                }
                Attempt::Nothing if was_closed => break,
                Attempt::Nothing => false,
                Attempt::NotNow if self.has_given_up() => {
                    tracing::warn!(
                        "stopped with traces that PostgreSQL did not take: they wait in the spool"
                    );
                    break;
                }
                Attempt::NotNow => {
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(if self.give_up_at.is_some() { RETRY_FIRST } else { RETRY_MOST });
                    true
                }
            };
        }
        self.spool.end().await;
        self.placed.end().await;
        self.pay_to_the_end().await;
    }

    async fn pay_to_the_end(&mut self) {
        loop {
            match in_time(STOP_PATIENCE, self.owed.pay()).await {
                Ok(()) => return,
                Err(_) if !self.has_given_up() => tokio::time::sleep(RETRY_FIRST).await,
                Err(error) => {
                    return tracing::error!(error, "stopped with spend that PostgreSQL did not take");
                }
            }
        }
    }

    /// Waits a moment for more records, so that a busy node writes full batches.
    async fn wait_for_company(&self) {
        let is_busy = self.last_batch >= BUSY_RECORDS;
        tokio::time::sleep(if is_busy { BATCH_WAIT } else { QUIET_WAIT }).await;
    }

    /// Ships the next batch of the lane whose turn it is.
    async fn ship_next(&mut self) -> Attempt {
        if let Err(error) = in_time(DATABASE_PATIENCE, self.align()).await {
            tracing::warn!(error, "traces and spend wait for the database");
            return Attempt::NotNow;
        }
        let Some(snapshot) = self.placements.snapshot() else {
            tracing::info!("traces wait for the policies");
            return Attempt::NotNow;
        };
        let mut held = match self.take().await {
            Ok(Some(held)) => held,
            Ok(None) => return Attempt::Nothing,
            Err(()) => return Attempt::NotNow,
        };
        let records = held.batch.records.len();
        match in_time(DATABASE_PATIENCE, self.store_batch(&mut held, &snapshot)).await {
            Ok(Shipped::Stored(_)) => {}
            Ok(Shipped::Overlaps) => {
                self.is_aligned = false;
                return Attempt::NotNow;
            }
            Err(error) => {
                tracing::warn!(error, records, "traces wait for the database");
                self.held = Some(held);
                return Attempt::NotNow;
            }
        }
        self.take_turns();
        self.last_batch = records;
        let batch = held.batch;
        let acknowledge = move |reader: &mut Reader<_>| (reader.acknowledge(&batch), reader.usage().records);
        let Some((saved, waiting)) = self.spool.read(acknowledge).await else { return Attempt::NotNow };
        if let Err(error) = saved {
            tracing::warn!(%error, "the spool's position could not be saved");
        }
        Attempt::Shipped { waiting }
    }

    /// The batch that is not stored yet, or else the next one; an error if there is one that cannot be read now.
    async fn take(&mut self) -> Result<Option<Held>, ()> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        let lane = self.lane;
        match self.spool.read(move |reader| reader.take(lane, BATCH)).await {
            Some(Ok(batch)) => Ok(batch.map(Held::new)),
            Some(Err(error)) => {
                tracing::error!(%error, "a segment of the spool cannot be read");
                self.take_turns();
                Err(())
            }
            None => Err(()),
        }
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

    /// Does what is to be done every so often, whatever else there is to do. The spools first: the database may take its time.
    async fn look(&mut self) {
        self.spool.look().await;
        self.placed.look().await;
        self.ledgers.forget_closed(Utc::now());
        // At the end what is owed is paid last, and no stop waits for it twice.
        if self.spool.is_closed() {
            return;
        }
        if let Err(error) = in_time(STOP_PATIENCE, self.owed.pay()).await {
            self.spool.metrics().budgets.flush_failures.inc();
            tracing::debug!(error, "spend waits for the database");
        }
    }
}

/// Waits for the database, but not for ever; says why there is no answer, with the causes.
pub(crate) async fn in_time<T, E: Error>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match timeout(limit, work).await {
        Ok(result) => result.map_err(|error| in_full(&error)),
        Err(_) => Err("the database does not answer".to_owned()),
    }
}

/// The error and its causes: they say which value of which column.
fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
