//! What a database will never take: it stops nobody and is not forgotten.

use super::in_full;
use crate::metrics::Metrics;
use crate::spool::SharedReader;
use bulkhead_policy::trace::TraceRecord;
use bulkhead_spool::Record;
use bulkhead_store::writer::{insert_placed, insert_traces};
use bulkhead_store::{Store, StoreError};
use std::sync::Arc;

/// Sets records aside, in the folder of the node's spool.
#[derive(Debug, Clone)]
pub(super) struct DeadLetters {
    pub(super) reader: SharedReader,
    pub(super) metrics: Arc<Metrics>,
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
    /// Parts that were inserted before a transient error are inserted again later and ignored then.
    pub(super) async fn insert_halving(
        &self,
        into: Destination<'_>,
        records: &[&Record],
        traces: &[TraceRecord],
    ) -> Result<usize, StoreError> {
        let mut parts = vec![(records, traces)];
        let mut refused = 0;
        while let Some((records, traces)) = parts.pop() {
            match into.insert(traces).await {
                Ok(()) => {}
                Err(error) if error.is_transient() => return Err(error),
                Err(error) if traces.len() <= 1 => {
                    let reason = in_full(&error);
                    for record in records {
                        self.add(record, &reason).await;
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

    /// Keeps a record that can never be stored, with the reason.
    pub(super) async fn add(&self, record: &Record, reason: &str) {
        tracing::error!(reason, "a trace will never be stored: see `bulkhead trace dead-letters`");
        let (record, reason) = (record.clone(), reason.to_owned());
        match self.reader.read(move |reader| reader.set_aside_record(&record, &reason)).await {
            Some(Ok(())) => self.metrics.spool.dead_letters.inc(),
            _ => self.metrics.traces_dropped.with_label_values(&["refused"]).inc(),
        }
    }
}
