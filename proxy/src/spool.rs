//! Step 12, the first half: traces on their way into the spool on disk.
//!
//! 1. A record is written before the last byte of its answer leaves, by the request path itself if nobody else is writing and
//!    the disk is quick: that costs a few microseconds, where handing it over and being woken costs thirty more.
//! 2. Otherwise it goes through a bounded queue to a thread, which writes what has come meanwhile at once: under load many
//!    records share one write and one wait for the disk. The request path never waits for the lock between the two.
//! 3. Short of room, bodies are dropped first; then the tenant's policy says whether its requests are refused or its
//!    records are dropped. Both are counted, neither is silent.
//! 4. A record with bodies is sealed: nothing that a body says lies on the disk in clear.
//! 5. One tenant's records take at most their part of the quota, and their bodies a quarter of the queue, so that they cannot
//!    take another's place. Of records it has no more in the queue than places among the running requests.

mod group;
mod queued;
mod reader;
mod record;
mod requests;
mod thread;

pub(crate) use group::Envelope;
pub(crate) use reader::SharedReader;
pub(crate) use record::charged;
pub use record::{SpooledTrace, Unreadable, read_spooled, spooled_id};
pub use requests::answer_dead_letter_requests;

use crate::config::SpoolLimits;
use crate::metrics::Metrics;
use arc_swap::ArcSwap;
use bulkhead_policy::crypto::{CryptoError, SpoolKeys};
use bulkhead_policy::document::{Durability, WhenFull};
use bulkhead_policy::ids::TenantId;
use bulkhead_policy::ledger::{Holder, LedgerBook};
use bulkhead_spool::{Folder, FullOwners, OpenError, Origin, Reader, Settings};
use group::GroupWriter;
use queued::QueuedBytes;
use record::Encoder;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use thread::WriterThread;
use tokio::sync::{Notify, mpsc, oneshot};
use uuid::Uuid;

/// Records that may wait for the writing thread.
const QUEUE_RECORDS: usize = 65_536;
/// Bytes of bodies that may wait for it.
const QUEUE_BODY_BYTES: usize = 256 << 20;
/// A process may begin two to this power segments before its numbers reach those of one that began a millisecond later.
const SEGMENTS_BITS: u32 = 20;
/// So much must fit on a disk that was full before requests are let in again.
const PROBE_BYTES: usize = 64 << 10;
/// Bodies larger than this are sealed, encoded and written by the thread.
const BODY_BYTES_HERE: usize = 32 << 10;
/// For so long after a slow write the thread does all the writing.
const BUSY_FOR: Duration = Duration::from_secs(1);
/// How long a last byte waits for a disk that does not answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no spool.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] OpenError),
    /// There is nothing to seal bodies with.
    #[error("seal the spool: {0}")]
    Seal(#[from] CryptoError),
    /// The folder cannot be read, or its thread not be started.
    #[error("spool folder {folder}: {source}")]
    Start {
        /// The folder.
        folder: String,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Opens the spool in `folder` and starts its thread; what an earlier process left there is shipped first.
///
/// # Errors
/// [`SpoolError`], which names the folder. What the folder contains is never an error.
pub fn open_spool(
    folder: &Path,
    limits: SpoolLimits,
    keys: SpoolKeys,
    ledgers: Arc<LedgerBook>,
    metrics: Arc<Metrics>,
) -> Result<(TraceSender, TraceSource), SpoolError> {
    let failed = |source| SpoolError::Start { folder: folder.display().to_string(), source };
    let settings = Settings::from_quota(limits.quota_bytes, limits.tenant_percent);
    let (writer, reader) = bulkhead_spool::open(Folder::open(folder)?, settings, origin()).map_err(failed)?;
    let usage = reader.usage();
    if usage.records > 0 || usage.quarantined > 0 {
        let (records, bytes, quarantined) = (usage.records, usage.bytes, usage.quarantined);
        tracing::info!(records, bytes, quarantined, "the spool holds what an earlier process left");
    }
    let (queue, received) = mpsc::channel(QUEUE_RECORDS);
    let shared = Arc::new(Shared {
        queued: QueuedBytes::new(QUEUE_BODY_BYTES),
        full: Full::default(),
        arrived: Notify::new(),
        is_closed: AtomicBool::new(false),
        opened: Instant::now(),
        busy_until_millis: AtomicU64::new(0),
        ledgers,
        metrics,
        term: reader.first_own(),
    });
    let writer = GroupWriter::new(writer, Encoder::new(&keys)?, Arc::clone(&shared));
    let writer = Arc::new(Mutex::new(writer));
    let thread = WriterThread { writer: Arc::clone(&writer), queue: received, shared: Arc::clone(&shared) };
    // Its owner is the source: it ends when the last sender is gone, and the source waits for that.
    let thread = std::thread::Builder::new()
        .name("bulkhead-spool".to_owned())
        .spawn(move || thread.run())
        .map_err(failed)?;
    let holder = Holder { spool: Uuid::from_bytes(reader.id()), term: shared.term };
    let sender = TraceSender { writer, queue, shared: Arc::clone(&shared) };
    let (folder, reader) = (folder.to_owned(), SharedReader::new(reader));
    Ok((sender, TraceSource { holder, folder, reader, keys, shared, thread: Some(thread) }))
}

/// For a folder that is opened now: apart enough that two processes never meet, not even on copies of one folder.
pub(crate) fn origin() -> Origin {
    let opened_at = u64::try_from(chrono::Utc::now().timestamp_millis()).unwrap_or(0);
    Origin { id: Uuid::now_v7().into_bytes(), segment: opened_at << SEGMENTS_BITS }
}

/// What the request path, the writing thread and the shipper know together.
#[derive(Debug)]
struct Shared {
    /// Bytes of bodies in the queue.
    queued: QueuedBytes,
    full: Full,
    /// Something was written, or nothing ever will be again.
    arrived: Notify,
    is_closed: AtomicBool,
    opened: Instant,
    /// Milliseconds after `opened` until which the disk counts as busy.
    busy_until_millis: AtomicU64,
    /// Takes over what lost traces charged.
    ledgers: Arc<LedgerBook>,
    metrics: Arc<Metrics>,
    /// Of this process, as its leases say.
    term: u64,
}

impl Shared {
    fn dropped(&self, reason: &str, records: usize) {
        self.metrics.traces_dropped.with_label_values(&[reason]).inc_by(records as u64);
    }

    fn disk_is_busy(&self) {
        self.busy_until_millis.store(millis(self.opened.elapsed() + BUSY_FOR), Ordering::Relaxed);
    }

    fn is_disk_quick(&self) -> bool {
        let busy_until = self.busy_until_millis.load(Ordering::Relaxed);
        busy_until == 0 || millis(self.opened.elapsed()) >= busy_until
    }
}

/// Who finds no room, for a look that costs next to nothing.
#[derive(Debug, Default)]
struct Full {
    /// The disk refused a write.
    disk: AtomicBool,
    everyone: AtomicBool,
    any_owner: AtomicBool,
    owners: ArcSwap<HashSet<TenantId>>,
}

impl Full {
    fn has_room(&self, tenant: TenantId) -> bool {
        let is_full = self.disk.load(Ordering::Relaxed)
            || self.everyone.load(Ordering::Relaxed)
            || self.any_owner.load(Ordering::Relaxed) && self.owners.load().contains(&tenant);
        !is_full
    }

    fn update(&self, full: &FullOwners) {
        self.everyone.store(full.everyone, Ordering::Relaxed);
        let had_any = self.any_owner.load(Ordering::Relaxed);
        if had_any || !full.owners.is_empty() {
            let tenants = full.owners.iter().map(|owner| TenantId::from_uuid(Uuid::from_bytes(owner.0)));
            self.owners.store(Arc::new(tenants.collect()));
            self.any_owner.store(!full.owners.is_empty(), Ordering::Relaxed);
        }
    }
}

/// The request path's end.
#[derive(Debug, Clone)]
pub struct TraceSender {
    writer: Arc<Mutex<GroupWriter>>,
    queue: mpsc::Sender<Envelope>,
    shared: Arc<Shared>,
}

/// Says that a record could not be kept although its policy insists.
#[derive(Debug)]
pub(crate) struct NotKept;

/// A place in the queue.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    permit: Option<mpsc::Permit<'a, Envelope>>,
    sender: &'a TraceSender,
}

impl TraceSender {
    /// Whether there is room for a tenant's traces. No lock, no I/O.
    pub(crate) fn has_room(&self, tenant: TenantId) -> bool {
        self.shared.full.has_room(tenant)
    }

    /// Waits for a place in the queue; there is one unless the disk stands still.
    pub(crate) async fn place(&self) -> Place<'_> {
        let permit = match self.queue.try_reserve() {
            Ok(permit) => Some(permit),
            Err(_) => tokio::time::timeout(PATIENCE, self.queue.reserve()).await.ok().and_then(Result::ok),
        };
        Place { permit, sender: self }
    }

    /// Writes a record or puts it into the queue; never waits.
    pub(crate) fn send(&self, envelope: Envelope) {
        let place = Place { permit: self.queue.try_reserve().ok(), sender: self };
        let _kept_or_counted = place.put(envelope);
    }

    /// Writes a record at once, or gives it back where that could make others wait.
    fn write_here(&self, mut envelope: Envelope) -> Option<Envelope> {
        let is_quick = envelope.keep.durability == Durability::Written
            && envelope.body_bytes() <= BODY_BYTES_HERE
            && self.shared.is_disk_quick();
        if !is_quick {
            return Some(envelope);
        }
        // Before the lock, which is held for the write alone.
        envelope.seal_bodies(&self.shared.metrics);
        let Ok(mut writer) = self.writer.try_lock() else { return Some(envelope) };
        let pushed = writer.push(envelope);
        writer.write(&mut pushed.into_iter().collect());
        None
    }
}

impl Place<'_> {
    /// Hands a record over and returns once it is kept as surely as wanted.
    ///
    /// # Errors
    /// [`NotKept`] only where the policy insists; else a record that is lost is counted.
    pub(crate) async fn write(self, mut envelope: Envelope) -> Result<(), NotKept> {
        let insists = envelope.keep.when_full == WhenFull::Refuse;
        let (done, wait) = oneshot::channel();
        envelope.done = Some(done);
        let is_kept = match self.put(envelope) {
            // A thread that is gone or stands still has kept nothing that anybody knows of.
            Ok(()) => matches!(tokio::time::timeout(PATIENCE, wait).await, Ok(Ok(true))),
            Err(NotKept) => false,
        };
        if is_kept || !insists { Ok(()) } else { Err(NotKept) }
    }

    fn put(self, mut envelope: Envelope) -> Result<(), NotKept> {
        let is_charged = !envelope.spooled.charges.is_empty();
        envelope.spooled.term = Some(self.sender.shared.term).filter(|_| is_charged);
        let Some(mut envelope) = self.sender.write_here(envelope) else { return Ok(()) };
        let shared = &self.sender.shared;
        let Some(permit) = self.permit else {
            envelope.lose("queue_full", shared);
            return Err(NotKept);
        };
        let bytes = envelope.body_bytes();
        if bytes > 0 && !shared.queued.take(envelope.spooled.trace.tenant, bytes) {
            envelope.drop_bodies(shared);
        }
        shared.metrics.trace_queue_depth.inc();
        permit.send(envelope);
        Ok(())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The shipper's end.
#[derive(Debug)]
pub struct TraceSource {
    holder: Holder,
    folder: PathBuf,
    reader: SharedReader,
    keys: SpoolKeys,
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl TraceSource {
    /// Waits until something may have been written since the last call.
    pub(crate) async fn arrived(&self) {
        self.shared.arrived.notified().await;
    }

    /// Whether the request path is gone and all that it left is written.
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.is_closed.load(Ordering::Acquire)
    }

    /// Names the spool, for ever.
    pub(crate) fn id(&self) -> Uuid {
        self.holder.spool
    }

    /// Names this process among those that wrote to the spool.
    #[must_use]
    pub fn holder(&self) -> Holder {
        self.holder
    }

    /// What opens the records.
    pub(crate) fn keys(&self) -> &SpoolKeys {
        &self.keys
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.shared.metrics
    }

    /// Where the spool is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn reader(&self) -> &SharedReader {
        &self.reader
    }

    /// Works with the files, off the event loop. `None` if that broke off.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Reader<Folder>) -> T + Send + 'static,
    ) -> Option<T> {
        self.reader.read(work).await
    }

    /// Brings metrics and the request path's view up to date, does what an operator asks for, and finds out whether a full disk has
    /// room again.
    pub(crate) async fn look(&self) {
        let is_disk_full = self.shared.full.disk.load(Ordering::Relaxed);
        let looked = self
            .read(move |reader| {
                requests::answer(reader);
                if is_disk_full {
                    // What was read gives its place back first.
                    let _tried_again = reader.tidy();
                }
                let has_room = is_disk_full && reader.disk_has_room(PROBE_BYTES);
                (reader.usage(), reader.full_owners(), has_room)
            })
            .await;
        let Some((usage, full, has_room)) = looked else { return };
        if has_room {
            self.shared.full.disk.store(false, Ordering::Relaxed);
            tracing::info!("the spool's disk takes records again");
        }
        self.shared.full.update(&full);
        let metrics = &self.shared.metrics.spool;
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let now = u64::try_from(chrono::Utc::now().timestamp_millis()).unwrap_or(0);
        metrics.records.set(gauge(usage.records));
        metrics.bytes.set(gauge(usage.bytes));
        metrics
            .oldest_age_seconds
            .set(gauge(usage.oldest_at_millis.map_or(0, |at| now.saturating_sub(at) / 1000)));
        metrics.quarantined.set(gauge(usage.quarantined));
    }

    /// Waits for the writing thread, which has ended when [`Self::is_closed`].
    pub(crate) async fn end(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _it_ended_either_way = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        let _comes_again_at_the_next_start = self.read(Reader::tidy).await;
    }
}

#[cfg(test)]
pub(crate) mod tests;
