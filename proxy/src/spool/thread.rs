//! The thread that writes what the request path does not write itself.

use super::Shared;
use super::group::{Envelope, GroupWriter};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// Records per write at most.
const GROUP_RECORDS: usize = 256;
/// Bytes per write, or a little more: the rest waits for the next.
const GROUP_BYTES: usize = 1 << 20;

pub(super) struct WriterThread {
    pub(super) writer: Arc<Mutex<GroupWriter>>,
    pub(super) queue: mpsc::Receiver<Envelope>,
    pub(super) shared: Arc<Shared>,
}

/// However it ends, the shipper must learn that nothing comes any more.
impl Drop for WriterThread {
    fn drop(&mut self) {
        self.writer().seal();
        self.shared.is_closed.store(true, Ordering::Release);
        self.shared.arrived.notify_one();
    }
}

impl WriterThread {
    /// Writes until every sender is gone.
    pub(super) fn run(mut self) {
        let mut received = Vec::with_capacity(GROUP_RECORDS);
        while self.queue.blocking_recv_many(&mut received, GROUP_RECORDS) > 0 {
            self.shared.metrics.trace_queue_depth.sub(i64::try_from(received.len()).unwrap_or(0));
            let mut group = Vec::with_capacity(received.len());
            let mut writer = self.writer();
            for envelope in received.drain(..) {
                let (tenant, bytes) = (envelope.spooled.trace.tenant, envelope.body_bytes());
                self.shared.queued.give_back(tenant, bytes);
                if let Some(pushed) = writer.push(envelope) {
                    group.push(pushed);
                }
                if writer.group_bytes() >= GROUP_BYTES {
                    writer.write(&mut group);
                }
            }
            writer.write(&mut group);
        }
    }

    fn writer(&self) -> MutexGuard<'_, GroupWriter> {
        // A panic while it was held may cost the group, which nobody was told is kept.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
