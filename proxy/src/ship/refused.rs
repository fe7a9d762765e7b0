//! What a database will never take: it stops nobody and is not forgotten.

use super::in_full;
use crate::metrics::Metrics;
use crate::spool::{SharedReader, charged};
use bulkhead_policy::trace::TraceRecord;
use bulkhead_spool::{Folder, Reader, Record};
use bulkhead_store::writer::{insert_placed, insert_traces};
use bulkhead_store::{Store, StoreError};
use std::collections::HashSet;
use std::sync::Arc;

/// Sets records aside, in the folder of the node's spool.
#[derive(Debug, Clone)]
pub(super) struct DeadLetters {
    pub(super) reader: SharedReader,
    pub(super) metrics: Arc<Metrics>,
}

/// Which records of a batch were set aside, by their place in it. Whoever tries a batch again keeps this with it: otherwise every
/// attempt of an outage would write and count them once more, and they would push older ones out of the folder.
#[derive(Debug, Default)]
pub(super) struct SetAside(HashSet<usize>);

impl SetAside {
    pub(super) fn contains(&self, place: usize) -> bool {
        self.0.contains(&place)
    }
}

/// Traces of a batch with the records that they come from, and the places of these.
#[derive(Debug, Default)]
pub(super) struct Readable<'a> {
    records: Vec<(usize, &'a Record)>,
    pub(super) traces: Vec<TraceRecord>,
}

impl<'a> Readable<'a> {
    pub(super) fn push(&mut self, place: usize, record: &'a Record, trace: TraceRecord) {
        self.records.push((place, record));
        self.traces.push(trace);
    }

    /// Copies of the records.
    pub(super) fn copies(&self) -> Vec<Record> {
        self.records.iter().map(|(_, record)| (*record).clone()).collect()
    }
}

/// A database that traces are inserted into.
#[derive(Debug, Clone, Copy)]
pub(super) enum Destination<'a> {
    Shared(&'a Store),
    /// The one that their tenants are placed in; the shared one has noted the rest.
    Placed(&'a Store),
}

impl Destination<'_> {
    async fn insert(self, traces: &[TraceRecord]) -> Result<(), StoreError> {
        match self {
            Self::Shared(store) => insert_traces(store, traces).await,
            Self::Placed(store) => insert_placed(store, traces).await,
        }
    }
}

impl DeadLetters {
    /// Inserts traces, leaving out what the database refuses for good; returns how many that were.
    ///
    /// Parts that were inserted before a transient error are inserted again later and ignored then. What the traces charged goes
    /// another way, so they are set aside without it.
    pub(super) async fn insert_halving(
        &self,
        into: Destination<'_>,
        readable: &Readable<'_>,
        set_aside: &mut SetAside,
    ) -> Result<usize, StoreError> {
        let mut parts = vec![(readable.records.as_slice(), readable.traces.as_slice())];
        let mut refused = 0;
        while let Some((records, traces)) = parts.pop() {
            match into.insert(traces).await {
                Ok(()) => {}
                Err(error) if error.is_transient() => return Err(error),
                Err(error) if traces.len() <= 1 => {
                    let reason = in_full(&error);
                    for (place, record) in records {
                        self.add(*place, charged(record), &reason, set_aside).await;
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

    /// Keeps a record that can never be stored, with the reason, if that was not done before.
    pub(super) async fn add(&self, place: usize, record: Record, reason: &str, set_aside: &mut SetAside) {
        // Before the wait: whoever gives it up meanwhile does not stop the write.
        if !set_aside.0.insert(place) {
            return;
        }
        tracing::error!(reason, "a trace will never be stored: see `bulkhead trace dead-letters`");
        let (reason, metrics) = (reason.to_owned(), Arc::clone(&self.metrics));
        let write = move |reader: &mut Reader<Folder>| match reader.set_aside_record(&record, &reason) {
            Ok(()) => metrics.spool.dead_letters.inc(),
            Err(error) => {
                tracing::error!(%error, "and is lost: it cannot be kept");
                metrics.traces_dropped.with_label_values(&["refused"]).inc();
            }
        };
        if self.reader.read(write).await.is_none() {
            self.metrics.traces_dropped.with_label_values(&["refused"]).inc();
        }
    }
}
