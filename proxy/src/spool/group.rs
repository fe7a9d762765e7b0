//! Writing a group of records at once, by whoever comes first.

use super::Shared;
use super::record::{Encoder, SpooledTrace};
use crate::capture::Capture;
use crate::metrics::Metrics;
use crate::rejection::TRACES_FULL;
use bulkhead_policy::compile::TraceSettings;
use bulkhead_policy::document::{Durability, WhenFull};
use bulkhead_policy::limiter::Admission;
use bulkhead_spool::{Folder, Record, Room, Writer};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A write that takes longer says that the disk is busy. A write into memory takes some microseconds; on a busy machine the
/// scheduler gives the core to others meanwhile, a few milliseconds each.
const SLOW_WRITE: Duration = Duration::from_millis(20);

/// A record on its way into the spool, and how it is to be kept.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(super) spooled: SpooledTrace,
    /// Its bodies, until they are sealed.
    capture: Option<Capture>,
    /// What its request holds until it is kept, so that no tenant has more of them waiting than places.
    place: Option<Admission>,
    pub(super) keep: TraceSettings,
    /// Who waits to hear whether it is kept.
    pub(super) done: Option<oneshot::Sender<bool>>,
}

impl Envelope {
    pub(crate) fn new(
        spooled: SpooledTrace,
        capture: Option<Capture>,
        place: Option<Admission>,
        keep: TraceSettings,
    ) -> Self {
        Self { spooled, capture, place, keep, done: None }
    }

    /// Bytes of its bodies.
    pub(super) fn body_bytes(&self) -> usize {
        let trace = &self.spooled.trace;
        let masked = trace.bodies.iter().flat_map(|bodies| [&bodies.request, &bodies.response]);
        let sealed = trace.sealed.iter().flat_map(|bodies| [&bodies.request, &bodies.response]);
        let captured = self.capture.as_ref().map_or(0, Capture::bytes);
        let masked: usize = masked.flatten().map(String::len).sum();
        captured + masked + sealed.flatten().map(|body| body.0.len()).sum::<usize>()
    }

    /// Puts the bodies into the record, originals sealed.
    pub(super) fn seal_bodies(&mut self, metrics: &Metrics) {
        let trace = &mut self.spooled.trace;
        if let Some(capture) = self.capture.take() {
            let (masked, sealed) = capture.finish(trace.tenant, trace.id, metrics);
            (trace.bodies, trace.sealed) = (Some(masked), sealed);
        }
    }

    fn settle(self, is_kept: bool) {
        // Before the last byte leaves, so that the caller's next request finds the place.
        drop(self.place);
        if let Some(done) = self.done {
            let _nobody_waits_any_more = done.send(is_kept);
        }
    }

    /// The trace is lost; what it charged is not.
    pub(super) fn lose(mut self, reason: &str, shared: &Shared) {
        shared.dropped(reason, 1);
        shared.ledgers.owe(std::mem::take(&mut self.spooled.charges));
        self.settle(false);
    }

    /// Leaves the bodies out; false if there are none.
    pub(super) fn drop_bodies(&mut self, shared: &Shared) -> bool {
        let had_bodies = self.capture.take().is_some() || self.spooled.trace.has_bodies();
        self.spooled.trace.drop_bodies();
        if had_bodies {
            shared.dropped("body_only", 1);
        }
        had_bodies
    }

    fn insists(&self) -> bool {
        // Refusals for want of room do not make the want greater.
        self.keep.when_full == WhenFull::Refuse && self.spooled.trace.reason.as_deref() != Some(TRACES_FULL)
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
        envelope.seal_bodies(&self.shared.metrics);
        let Some(mut record) = self.encoded(&mut envelope) else {
            envelope.lose("not_encoded", &self.shared);
            return None;
        };
        let mut room = self.writer.room(record.owner, record.stored_bytes());
        if room != Room::Free && envelope.drop_bodies(&self.shared) {
            let Some(shorter) = self.encoder.encode(&envelope.spooled) else {
                envelope.lose("not_encoded", &self.shared);
                return None;
            };
            record = shorter;
            room = self.writer.room(record.owner, record.stored_bytes());
        }
        // Where a policy insists, requests are not let in any more; those that were are few, and written.
        if room == Room::Full && !envelope.insists() {
            envelope.lose("spool_full", &self.shared);
            return None;
        }
        match self.writer.push(&record) {
            Ok(()) => Some(envelope),
            Err(error) => {
                let trace = envelope.spooled.trace.id;
                tracing::error!(%error, %trace, "a trace cannot be spooled and is dropped");
                envelope.lose("too_long", &self.shared);
                None
            }
        }
    }

    /// The record with its bodies if they fit into one, else without.
    fn encoded(&self, envelope: &mut Envelope) -> Option<Record> {
        let record = self.encoder.encode(&envelope.spooled)?;
        if record.payload.len() <= bulkhead_spool::PAYLOAD_BYTES_MAX || !envelope.drop_bodies(&self.shared) {
            return Some(record);
        }
        self.encoder.encode(&envelope.spooled)
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
                    envelope.drop_bodies(&self.shared);
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
        let started = Instant::now();
        let result = self.writer.sync();
        self.shared.metrics.spool.sync_seconds.observe(started.elapsed().as_secs_f64());
        if let Err(error) = &result {
            self.failed(error);
        }
        synced.into_iter().for_each(|envelope| envelope.settle(result.is_ok()));
    }

    fn write_alone(&mut self, envelope: Envelope) {
        let pushed =
            self.encoder.encode(&envelope.spooled).is_some_and(|record| self.writer.push(&record).is_ok());
        let written = if pushed { self.writer.commit() } else { Err(io::Error::other("not encoded")) };
        match written {
            Ok(()) => self.confirm(&mut vec![envelope]),
            Err(_) => envelope.lose("disk_full", &self.shared),
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
