//! What the policy feed tells.

use super::{Declare, PROPAGATION_SECONDS};
use bulkhead_policy::snapshot::SnapshotHandle;
use chrono::Utc;
use prometheus::{Histogram, IntCounter, IntGauge};

/// What the policy feed does.
#[derive(Debug)]
pub struct PolicyFeedMetrics {
    /// Highest policy revision that this node applied, over all tenants.
    pub revision: IntGauge,
    /// Policy documents that did not compile; the tenant kept its last good policy.
    pub rejected: IntCounter,
    /// Commit in PostgreSQL to publication on this node.
    pub propagation_seconds: Histogram,
    /// Tenants whose newest policy takes long to compile and is not in force yet.
    pub compiling: IntGauge,
    /// 1 while the policy feed is connected to PostgreSQL.
    pub connected: IntGauge,
    /// 1 while `PostgreSQL`'s notifications arrive.
    pub notified: IntGauge,
    /// 1 while this node serves from its snapshot file, because it started while `PostgreSQL` was away.
    pub from_file: IntGauge,
    /// Snapshot files that were not this node's or had been changed.
    pub file_refused: IntCounter,
    staleness_seconds: IntGauge,
}

impl PolicyFeedMetrics {
    pub(super) fn new(declare: &Declare<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            revision: declare.gauge(
                "bulkhead_policy_revision",
                "Highest policy revision applied on this node, over all tenants",
            )?,
            rejected: declare.counter(
                "bulkhead_policy_rejected_total",
                "Policy documents refused on this node; their tenants keep the last good policy",
            )?,
            propagation_seconds: declare.histogram(
                "bulkhead_policy_propagation_seconds",
                "Commit of a policy change in PostgreSQL until this node enforces it",
                PROPAGATION_SECONDS,
            )?,
            compiling: declare.gauge(
                "bulkhead_policy_compiling",
                "Tenants whose newest policy takes long to compile and is not in force yet",
            )?,
            connected: declare.gauge(
                "bulkhead_policy_feed_connected",
                "1 while the policy feed is connected to PostgreSQL, else 0",
            )?,
            notified: declare.gauge(
                "bulkhead_policy_feed_notified",
                "1 while PostgreSQL's notifications arrive; 0 behind a pooler in transaction mode: changes then take seconds",
            )?,
            from_file: declare.gauge(
                "bulkhead_policy_from_file",
                "1 while this node serves from its snapshot file, because it started while PostgreSQL was away",
            )?,
            file_refused: declare.counter(
                "bulkhead_snapshot_file_refused_total",
                "Snapshot files that were ignored because they are not this node's or were changed; somebody should look",
            )?,
            staleness_seconds: declare.gauge(
                "bulkhead_policy_staleness_seconds",
                "How long ago the policies in force were last known to be the newest; what `max_staleness_seconds` of a policy bounds",
            )?,
        })
    }

    /// Sets what grows by itself, for who asks now.
    pub(crate) fn note_staleness(&self, snapshot: &SnapshotHandle) {
        let staleness = snapshot.load().map(|_| snapshot.staleness(Utc::now())).unwrap_or_default();
        self.staleness_seconds.set(i64::try_from(staleness.as_secs()).unwrap_or(i64::MAX));
    }
}
