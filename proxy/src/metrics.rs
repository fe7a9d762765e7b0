//! Every metric of the data plane, declared once. No label takes its value from the wire.
//!
//! Tenants are not a label: their number has no bound. Per-tenant figures are in the traces.

mod policy;

use bulkhead_policy::ledger::Alert;
pub(crate) use policy::PolicyFeedMetrics;
use prometheus::core::Collector;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};

/// Buckets for work that takes microseconds to milliseconds.
const OVERHEAD_SECONDS: &[f64] =
    &[0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0];
/// Buckets for waiting on a model.
const LATENCY_SECONDS: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
/// Buckets for policy propagation. What is found by looking takes up to five seconds and a little.
const PROPAGATION_SECONDS: &[f64] =
    &[0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 6.0, 10.0];

/// The metrics of one process, in a registry of their own.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pub(crate) requests: IntCounterVec,
    pub(crate) unauthenticated: IntCounter,
    pub(crate) failures: IntCounterVec,
    pub(crate) throttled: IntCounterVec,
    pub(crate) rate_rounds: IntCounterVec,
    pub(crate) overhead_seconds: Histogram,
    pub(crate) first_byte_seconds: HistogramVec,
    pub(crate) duration_seconds: HistogramVec,
    pub(crate) tokens: IntCounterVec,
    pub(crate) spend_nano_usd: IntCounter,
    pub(crate) findings: IntCounterVec,
    pub(crate) uninspected: IntCounter,
    pub(crate) in_flight: IntGauge,
    pub(crate) held_bytes: IntGauge,
    pub(crate) connections: IntGauge,
    pub(crate) upstream_attempts: IntCounterVec,
    pub(crate) trace_queue_depth: IntGauge,
    pub(crate) spool: SpoolMetrics,
    pub(crate) traces_written: IntCounter,
    pub(crate) traces_dropped: IntCounterVec,
    pub(crate) budgets: BudgetMetrics,
    /// What retention does.
    pub retention: RetentionMetrics,
    /// The policy feed.
    pub policy: PolicyFeedMetrics,
}

impl Metrics {
    /// Declares and registers every metric.
    ///
    /// # Errors
    /// Only if two metrics here share a name, which a test rules out.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let declare = Declare { registry: &registry };
        Ok(Self {
            requests: declare.counters(
                "bulkhead_requests_total",
                "Requests whose key was resolved, by how they ended",
                &["dialect", "operation", "outcome", "status_class"],
            )?,
            unauthenticated: declare.counter(
                "bulkhead_unauthenticated_requests_total",
                "Requests refused because no valid key was shown; they belong to no tenant and leave no trace",
            )?,
            failures: declare.counters(
                "bulkhead_failures_total",
                "Requests that were refused or failed, by reason and by who is to blame",
                &["reason", "source"],
            )?,
            throttled: declare.counters(
                "bulkhead_throttled_total",
                "Requests that a limit turned away, by whose it is (`share`: what was left is for the tenant's other agents) and \
                 what it counts",
                &["scope", "limit"],
            )?,
            rate_rounds: declare.counters(
                "bulkhead_rate_rounds_total",
                "Transactions in which this node asked PostgreSQL for its parts of rates, by outcome",
                &["outcome"],
            )?,
            overhead_seconds: declare.histogram(
                "bulkhead_overhead_seconds",
                "Time that the proxy itself added to a request: inspecting it and its answer, counting, routing; no waiting for others",
                OVERHEAD_SECONDS,
            )?,
            first_byte_seconds: declare.histograms(
                "bulkhead_time_to_first_byte_seconds",
                "Arrival of a request until the first byte of the answer's body left",
                LATENCY_SECONDS,
                &["dialect", "operation"],
            )?,
            duration_seconds: declare.histograms(
                "bulkhead_request_duration_seconds",
                "Arrival of a request until its end",
                LATENCY_SECONDS,
                &["dialect", "operation"],
            )?,
            tokens: declare.counters(
                "bulkhead_tokens_total",
                "Tokens settled, by type",
                &["dialect", "type"],
            )?,
            spend_nano_usd: declare.counter("bulkhead_spend_nano_usd_total", "Cost settled, in nano-dollars")?,
            findings: declare.counters(
                "bulkhead_dlp_findings_total",
                "Findings by built-in detector (`custom` for the tenants' own), direction and action",
                &["detector", "direction", "action"],
            )?,
            uninspected: declare.counter(
                "bulkhead_uninspected_total",
                "Requests that passed with something uninspected because their policy says so",
            )?,
            in_flight: declare.gauge("bulkhead_requests_in_flight", "Requests being handled now")?,
            held_bytes: declare.gauge(
                "bulkhead_held_bytes",
                "Bytes of bodies and of waiting events that requests hold in memory",
            )?,
            connections: declare.gauge("bulkhead_connections", "Client connections open now")?,
            upstream_attempts: declare.counters(
                "bulkhead_upstream_attempts_total",
                "Attempts to get an answer from an upstream, by result",
                &["result"],
            )?,
            trace_queue_depth: declare.gauge(
                "bulkhead_trace_queue_depth",
                "Trace records in memory, waiting to be written to the spool",
            )?,
            spool: SpoolMetrics::new(&declare)?,
            traces_written: declare.counter("bulkhead_traces_written_total", "Trace records written to PostgreSQL")?,
            traces_dropped: declare.counters(
                "bulkhead_traces_dropped_total",
                "Trace records that were dropped, by reason",
                &["reason"],
            )?,
            budgets: BudgetMetrics::new(&declare)?,
            retention: RetentionMetrics::new(&declare)?,
            policy: PolicyFeedMetrics::new(&declare)?,
            registry,
        })
    }

    /// Renders everything in Prometheus' text format.
    pub(crate) fn render(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(16 << 10);
        // Encoding into memory fails only for a metric family without metrics; then the rest still stands.
        let _incomplete = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        text
    }
}

/// What was spent, and who may spend what.
#[derive(Debug)]
pub(crate) struct BudgetMetrics {
    pub(crate) flush_failures: IntCounter,
    pub(crate) alerts: IntCounter,
    pub(crate) leases: IntGauge,
    pub(crate) lease_rounds: IntCounterVec,
    pub(crate) waits: IntCounter,
    pub(crate) unreachable: IntCounterVec,
}

impl BudgetMetrics {
    /// Tells of lines that charges from this node have passed; the audit trail has them already.
    pub(crate) fn passed(&self, alerts: &[Alert]) {
        self.alerts.inc_by(alerts.len() as u64);
        for Alert { key, unit, line, limit, used, .. } in alerts {
            tracing::warn!(
                tenant = %key.tenant, budget = %key.budget, subject = %key.subject, %unit, line, limit, used,
                "budget passed an alert line"
            );
        }
    }

    fn new(declare: &Declare<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            flush_failures: declare.counter(
                "bulkhead_budget_flush_failures_total",
                "Attempts to write spend to PostgreSQL that failed and will be repeated",
            )?,
            alerts: declare.counter(
                "bulkhead_budget_alerts_total",
                "Lines of `alert_at` that charges from this node have passed, each once per window over all nodes; audit entries say which",
            )?,
            leases: declare
                .gauge("bulkhead_budget_leases", "Counts of budgets of which this node holds a share or waits for one")?,
            lease_rounds: declare.counters(
                "bulkhead_budget_lease_rounds_total",
                "Transactions in which this node asked PostgreSQL for shares of budgets, by outcome",
                &["outcome"],
            )?,
            waits: declare.counter(
                "bulkhead_budget_waits_total",
                "Times that a request waited because this node did not hold enough of a budget",
            )?,
            unreachable: declare.counters(
                "bulkhead_budget_unreachable_total",
                "Requests that needed more of a budget than this node was granted while PostgreSQL was away, by what the policy did: \
                 allowed, which is marked on their traces, or refused",
                &["action"],
            )?,
        })
    }
}

/// What retention removes.
#[derive(Debug)]
pub struct RetentionMetrics {
    /// Rows that tenants' policies keep no longer, by `kind`: `traces` or `bodies`.
    pub expired_rows: IntCounterVec,
    /// Attempts that failed.
    pub failures: IntCounter,
}

impl RetentionMetrics {
    fn new(declare: &Declare<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            expired_rows: declare.counters(
                "bulkhead_expired_rows_total",
                "Traces and bodies that this node removed because their tenant's policy keeps them no longer",
                &["kind"],
            )?,
            failures: declare.counter(
                "bulkhead_retention_failures_total",
                "Attempts to remove old traces that failed and will be repeated",
            )?,
        })
    }
}

/// What waits on disk for PostgreSQL.
#[derive(Debug)]
pub(crate) struct SpoolMetrics {
    pub(crate) records: IntGauge,
    pub(crate) bytes: IntGauge,
    pub(crate) oldest_age_seconds: IntGauge,
    pub(crate) quarantined: IntGauge,
    pub(crate) dead_letters: IntCounter,
    pub(crate) write_failures: IntCounter,
    pub(crate) sync_seconds: Histogram,
    pub(crate) placed_records: IntGauge,
    pub(crate) placed_bytes: IntGauge,
    pub(crate) placed_waits: IntCounterVec,
}

impl SpoolMetrics {
    fn new(declare: &Declare<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            records: declare
                .gauge("bulkhead_spool_records", "Records in the spool, waiting for PostgreSQL")?,
            bytes: declare.gauge("bulkhead_spool_bytes", "Bytes of the spool's segments")?,
            oldest_age_seconds: declare.gauge(
                "bulkhead_spool_oldest_age_seconds",
                "Age of the oldest record in the spool, 0 if there is none",
            )?,
            quarantined: declare.gauge(
                "bulkhead_spool_quarantined_segments",
                "Segments of the spool that are damaged or were kept aside because they were",
            )?,
            dead_letters: declare.counter(
                "bulkhead_spool_dead_letters_total",
                "Records that PostgreSQL will never take; they are kept in the spool's folder",
            )?,
            write_failures: declare.counter(
                "bulkhead_spool_write_failures_total",
                "Writes to the spool that the disk refused",
            )?,
            sync_seconds: declare.histogram(
                "bulkhead_spool_sync_seconds",
                "How long the disk took to have a group of records for good, where a policy waits for that",
                OVERHEAD_SECONDS,
            )?,
            placed_records: declare.gauge(
                "bulkhead_placed_spool_records",
                "Records of tenants that are placed in a database of their own, waiting for it",
            )?,
            placed_bytes: declare.gauge(
                "bulkhead_placed_spool_bytes",
                "Bytes of the records that wait for a placed database; part of their tenants' share of the spool",
            )?,
            placed_waits: declare.counters(
                "bulkhead_placed_waits_total",
                "Attempts to store traces in a placed database that will be repeated, by reason",
                &["reason"],
            )?,
        })
    }
}

struct Declare<'a> {
    registry: &'a Registry,
}

impl Declare<'_> {
    fn register<C: Collector + Clone + 'static>(&self, metric: C) -> Result<C, prometheus::Error> {
        self.registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.register(IntCounter::new(name, help)?)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
        self.register(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.register(IntGauge::new(name, help)?)
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, prometheus::Error> {
        self.register(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?)
    }

    fn histograms(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
        labels: &[&str],
    ) -> Result<HistogramVec, prometheus::Error> {
        self.register(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)?)
    }
}

#[cfg(test)]
mod tests;
