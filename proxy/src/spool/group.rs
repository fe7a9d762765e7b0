//! Writing a group of records at once, by whoever comes first.

use super::Shared;
use super::record::Encoder;
use crate::rejection::TRACES_FULL;
use bulkhead_policy::compile::TraceSettings;
use bulkhead_policy::document::{Durability, WhenFull};
use bulkhead_policy::trace::TraceRecord;
use bulkhead_spool::{Folder, Record, Room, Writer};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A write that takes longer says that the disk is busy. A write into memory takes some microseconds; a scheduler that gives
/// the core to another thread meanwhile takes a few milliseconds.
const SLOW_WRITE: Duration = Duration::from_millis(5);

/// A record and how it is to be kept.
#[derive(Debug)]
pub(super) struct Envelope {
    pub(super) record: TraceRecord,
    pub(super) keep: TraceSettings,
    /// Who waits to hear whether it is kept.
    pub(super) done: Option<oneshot::Sender<bool>>,
}

impl Envelope {
    fn settle(self, is_kept: bool) {
        if let Some(done) = self.done {
            let _nobody_waits_any_more = done.send(is_kept);
        }
    }

    fn insists(&self) -> bool {
        // Refusals for want of room do not make the want greater.
        self.keep.when_full == WhenFull::Refuse && self.record.reason.as_deref() != Some(TRACES_FULL)
    }
}

/// Encodes records and writes them.
#[derive(Debug)]
pub(super) struct GroupWriter {
    writer: Writer<Folder>,
    encoder: Encoder,
    shared: Arc<Shared>,
}

impl GroupWriter {
    pub(super) fn new(writer: Writer<Folder>, encoder: Encoder, shared: Arc<Shared>) -> Self {
        Self { writer, encoder, shared }
    }

    /// Bytes of the group so far.
    pub(super) fn group_bytes(&self) -> usize {
        self.writer.group_bytes()
    }

    /// Ends the current segment: nothing comes any more.
    pub(super) fn seal(&mut self) {
        self.writer.seal();
    }

    /// Adds a record to the group, as much of it as there is room for.
    pub(super) fn push(&mut self, mut envelope: Envelope) -> Option<Envelope> {
        let Some(mut record) = self.encoded(&mut envelope) else {
            envelope.settle(false);
            return None;
        };
        let mut room = self.writer.room(record.owner, record.stored_bytes());
        if room != Room::Free && envelope.record.bodies.take().is_some() {
            self.shared.dropped("body_only", 1);
            record = self.encoder.encode(&envelope.record)?;
            room = self.writer.room(record.owner, record.stored_bytes());
        }
        // Where a policy insists, requests are not let in any more; those that were are few, and written.
        if room == Room::Full && !envelope.insists() {
            self.shared.dropped("spool_full", 1);
            envelope.settle(false);
            return None;
        }
        match self.writer.push(&record) {
            Ok(()) => Some(envelope),
            Err(error) => {
                tracing::error!(%error, trace = %envelope.record.id, "a trace cannot be spooled and is dropped");
                self.shared.dropped("too_long", 1);
                envelope.settle(false);
                None
            }
        }
    }

    /// The record with its bodies if they fit into one, else without.
    fn encoded(&self, envelope: &mut Envelope) -> Option<Record> {
        let record = self.encoder.encode(&envelope.record)?;
        if record.payload.len() <= bulkhead_spool::PAYLOAD_BYTES_MAX || envelope.record.bodies.is_none() {
            return Some(record);
        }
        envelope.record.bodies = None;
        self.shared.dropped("body_only", 1);
        self.encoder.encode(&envelope.record)
    }

    /// Writes the group in one go, and tells those who wait.
    pub(super) fn write(&mut self, group: &mut Vec<Envelope>) {
        let started = Instant::now();
        let committed = self.writer.commit();
        if started.elapsed() > SLOW_WRITE {
            self.shared.disk_is_busy();
        }
        match committed {
            Ok(()) => self.confirm(group),
            Err(error) => {
                self.failed(&error);
                // One by one and without bodies: some may still fit.
                for mut envelope in group.drain(..) {
                    envelope.record.bodies = None;
                    self.write_alone(envelope);
                }
            }
        }
        self.shared.full.update(&self.writer.full_owners());
        self.shared.arrived.notify_one();
    }

    fn confirm(&mut self, group: &mut Vec<Envelope>) {
        let (synced, written): (Vec<_>, Vec<_>) =
            group.drain(..).partition(|envelope| envelope.keep.durability == Durability::Synced);
        written.into_iter().for_each(|envelope| envelope.settle(true));
        if synced.is_empty() {
            return;
        }
        let result = self.writer.sync();
        if let Err(error) = &result {
            self.failed(error);
        }
        synced.into_iter().for_each(|envelope| envelope.settle(result.is_ok()));
    }

    fn write_alone(&mut self, envelope: Envelope) {
        let pushed =
            self.encoder.encode(&envelope.record).is_some_and(|record| self.writer.push(&record).is_ok());
        let written = if pushed { self.writer.commit() } else { Err(io::Error::other("not encoded")) };
        match written {
            Ok(()) => self.confirm(&mut vec![envelope]),
            Err(_) => {
                self.shared.dropped("disk_full", 1);
                envelope.settle(false);
            }
        }
    }

    fn failed(&self, error: &io::Error) {
        self.shared.metrics.spool.write_failures.inc();
        // Once per outage: the metric counts the rest.
        if !self.shared.full.disk.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the spool's disk refuses records");
        }
    }
}
