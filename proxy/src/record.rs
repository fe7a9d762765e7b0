//! Step 12: one trace record per request, whatever becomes of it.
//!
//! A [`Recorder`] is made when the tenant is known. Its record is in the spool before the last byte of the answer leaves
//! ([`Recorder::commit`]); where nothing is answered it goes there when the recorder is dropped, so no path, not even an
//! aborted task, leaves a request without its row or with two. A record that is committed says what was decided and
//! handed over, not whether the last byte arrived: that nobody knows.
//!
//! The recorder also owns what the request holds of budgets, rates and places. Budgets and rates are settled when the record is
//! made, the place is given back when it is kept: on every path, and before the last byte leaves.

use crate::capture::Capture;
use crate::charge::{Charge, Settlement};
use crate::inspect::Findings;
use crate::metrics::Metrics;
use crate::rejection::{Rejection, Source};
use crate::spool::{Envelope, SpooledTrace, TraceSender};
use bulkhead_dialect::{Dialect, Operation};
use bulkhead_dlp::Action;
use bulkhead_policy::compile::TraceSettings;
use bulkhead_policy::ids::{AgentId, KeyId, Revision, TenantId, TraceId};
use bulkhead_policy::ledger::{Ledger, LedgerDelta};
use bulkhead_policy::limiter::{Admission, Hold};
use bulkhead_policy::money::NanoUsd;
use bulkhead_policy::trace::{FINDINGS_MAX, Outcome, Timings, TraceRecord, TraceTokens};
use bytes::Bytes;
use chrono::{DateTime, SubsecRound, Utc};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// When and as what a request arrived; known before anything else is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) id: TraceId,
    pub(crate) at: DateTime<Utc>,
    pub(crate) started: Instant,
}

impl Arrival {
    pub(crate) fn now() -> Self {
        // PostgreSQL keeps microseconds; the record says what the row will say.
        let at = Utc::now().trunc_subsecs(6);
        Self { id: TraceId::fresh(at), at, started: Instant::now() }
    }
}

/// Whose request it is, as the key says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) tenant: TenantId,
    pub(crate) agent: AgentId,
    pub(crate) key: KeyId,
    pub(crate) revision: Revision,
}

/// Collects what happens to one request and records it when dropped.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) record: TraceRecord,
    /// What the request holds of its budgets.
    pub(crate) charge: Charge,
    /// What it holds of the tokens per minute.
    pub(crate) hold: Hold,
    /// Its place among the running requests.
    pub(crate) place: Option<Admission>,
    /// What it was charged.
    deltas: Vec<LedgerDelta>,
    is_settled: bool,
    metrics: Arc<Metrics>,
    traces: TraceSender,
    started: Instant,
    own_work: Duration,
    waited: Duration,
    ended: bool,
    is_failure_counted: bool,
    is_handed_over: bool,
    keep: TraceSettings,
    strictest: Option<Action>,
    capture: Option<Capture>,
}

impl Recorder {
    pub(crate) fn new(arrival: Arrival, caller: Caller, metrics: Arc<Metrics>, traces: TraceSender) -> Self {
        let record = TraceRecord {
            id: arrival.id,
            at: arrival.at,
            tenant: caller.tenant,
            agent: Some(caller.agent),
            key: Some(caller.key),
            policy_revision: caller.revision,
            dialect: Cow::Borrowed(Dialect::OpenAi.as_str()),
            operation: Cow::Borrowed("unknown"),
            model_asked: None,
            model_served: None,
            upstream: None,
            status: 0,
            outcome: Outcome::Failed,
            reason: Some(Cow::Borrowed("aborted")),
            streamed: false,
            tokens: TraceTokens::default(),
            cost: NanoUsd::ZERO,
            timings: Timings::default(),
            attempts: 0,
            request_bytes: 0,
            response_bytes: 0,
            findings: Vec::new(),
            findings_total: 0,
            uninspected: false,
            budgets: Vec::new(),
            bodies: None,
            sealed: None,
        };
        Self {
            record,
            charge: Charge::default(),
            hold: Hold::default(),
            place: None,
            deltas: Vec::new(),
            is_settled: false,
            metrics,
            traces,
            started: arrival.started,
            own_work: Duration::ZERO,
            waited: Duration::ZERO,
            ended: false,
            is_failure_counted: false,
            is_handed_over: false,
            keep: TraceSettings::default(),
            strictest: None,
            capture: None,
        }
    }

    /// How surely the policy wants the record kept.
    pub(crate) fn keep(&mut self, settings: TraceSettings) {
        self.keep = settings;
    }

    pub(crate) fn classified(&mut self, dialect: Dialect, operation: Option<Operation>) {
        self.record.dialect = Cow::Borrowed(dialect.as_str());
        if let Some(operation) = operation {
            self.record.operation = Cow::Borrowed(operation.as_str());
        }
    }

    /// The policy wants bodies kept.
    pub(crate) fn capture_bodies(&mut self, capture: Capture) {
        self.capture = Some(capture);
    }

    /// The request as the caller sent it, decoded.
    pub(crate) fn received_request(&mut self, body: &[u8]) {
        self.record.request_bytes = body.len() as u64;
        if let Some(capture) = &mut self.capture {
            capture.original_request(body);
        }
    }

    /// The request as it may leave.
    pub(crate) fn masked_request(&mut self, body: &[u8]) {
        if let Some(capture) = &mut self.capture {
            capture.masked_request(body);
        }
    }

    /// Bytes of the answer as the provider sent them.
    pub(crate) fn received_answer(&mut self, part: &[u8]) {
        if let Some(capture) = &mut self.capture {
            capture.original_response(part);
        }
    }

    /// Bytes that left towards the caller.
    pub(crate) fn sent(&mut self, bytes: &Bytes) {
        self.sent_as(bytes.len(), bytes);
    }

    /// Bytes that left towards the caller, and what the trace keeps of them.
    pub(crate) fn sent_as(&mut self, sent: usize, captured: &Bytes) {
        if self.record.timings.first_byte_micros.is_none() && sent > 0 {
            self.record.timings.first_byte_micros = Some(micros(self.started.elapsed()));
        }
        self.record.response_bytes += sent as u64;
        if let Some(capture) = &mut self.capture {
            capture.masked_response(captured);
        }
    }

    /// Drops what was kept of the answer, but for the sealed original.
    pub(crate) fn forget_response(&mut self) {
        if let Some(capture) = &mut self.capture {
            capture.forget_masked_response();
        }
    }

    pub(crate) fn found(&mut self, findings: Findings) {
        self.strictest = self.strictest.max(findings.strictest);
        self.record.findings_total += findings.total;
        let room = FINDINGS_MAX.saturating_sub(self.record.findings.len());
        self.record.findings.extend(findings.kept.into_iter().take(room));
    }

    /// What the request holds of its budgets, or how those stand that do not take it.
    ///
    /// # Errors
    /// The rejection that is handed in.
    pub(crate) fn reserved(
        &mut self,
        reserved: Result<Charge, Rejection>,
        ledgers: &[Arc<Ledger>],
    ) -> Result<(), Rejection> {
        self.charge = reserved.inspect_err(|_| self.refused_by(ledgers))?;
        Ok(())
    }

    /// One of these budgets does not take the request.
    pub(crate) fn refused_by(&mut self, ledgers: &[Arc<Ledger>]) {
        let at = self.record.at;
        self.record.budgets = ledgers.iter().map(|ledger| ledger.record(at)).collect();
    }

    /// What the request was charged.
    pub(crate) fn settled(&mut self, settlement: Settlement) {
        let Settlement { tokens, counted, cost, charged } = settlement;
        self.record.tokens = tokens;
        self.record.cost = cost;
        self.deltas = charged.deltas;
        self.record.budgets = charged.budgets;
        self.is_settled = true;
        std::mem::take(&mut self.hold).settle(counted, Utc::now());
    }

    /// What the request cost, once that is settled.
    pub(crate) fn known_cost(&self) -> Option<NanoUsd> {
        self.is_settled.then_some(self.record.cost)
    }

    /// Adds time that the proxy itself spent, as opposed to waiting for callers and upstreams.
    pub(crate) fn worked(&mut self, spent: Duration) {
        self.own_work += spent;
    }

    /// Takes out time within that in which it waited for the database.
    pub(crate) fn waited(&mut self, spent: Duration) {
        self.waited += spent;
    }

    fn overhead(&self) -> Duration {
        self.own_work.saturating_sub(self.waited)
    }

    /// The answer reached its end.
    pub(crate) fn completed(&mut self) {
        self.ended = true;
        self.record.reason = None;
        self.record.outcome = match self.strictest {
            None => Outcome::Allowed,
            Some(Action::Alert) => Outcome::Alerted,
            Some(_) => Outcome::Masked,
        };
    }

    /// The request was refused, failed or was cut.
    pub(crate) fn rejected(&mut self, rejection: &Rejection) {
        self.ended = true;
        self.record.outcome = rejection.outcome();
        self.record.reason = Some(Cow::Borrowed(rejection.code()));
        if !self.is_failure_counted {
            self.is_failure_counted = true;
            count_failure(&self.metrics, rejection);
        }
    }

    /// Hands the record over and waits until it is kept as surely as the policy wants. What happens to the request
    /// after this is not recorded any more.
    ///
    /// # Errors
    /// It could not be kept, and the policy wants no answer without a trace.
    pub(crate) async fn commit(&mut self) -> Result<(), Rejection> {
        if self.is_handed_over {
            return Ok(());
        }
        // Room first: a task that is aborted while it waits for it still has its record.
        let traces = self.traces.clone();
        let place = traces.place().await;
        self.is_handed_over = true;
        place.write(self.finish()).await.map_err(|_| Rejection::not_recorded())
    }

    fn finish(&mut self) -> Envelope {
        if let Some(settlement) = self.charge.settle_unanswered() {
            self.settled(settlement);
        }
        drop(std::mem::take(&mut self.hold));
        let elapsed = self.started.elapsed();
        self.record.timings.total_micros = micros(elapsed);
        self.record.timings.overhead_micros = micros(self.overhead());
        self.count(elapsed);
        let findings = std::mem::take(&mut self.record.findings);
        let spooled = SpooledTrace {
            trace: TraceRecord { findings, ..self.record.clone() },
            charges: std::mem::take(&mut self.deltas),
            term: None,
        };
        Envelope::new(spooled, self.capture.take(), self.place.take(), self.keep)
    }

    fn count(&self, elapsed: Duration) {
        let record = &self.record;
        let metrics = &self.metrics;
        let (dialect, operation) = (record.dialect.as_ref(), record.operation.as_ref());
        let class = status_class(record.status);
        metrics.requests.with_label_values(&[dialect, operation, record.outcome.as_str(), class]).inc();
        metrics.duration_seconds.with_label_values(&[dialect, operation]).observe(elapsed.as_secs_f64());
        metrics.overhead_seconds.observe(self.overhead().as_secs_f64());
        if let Some(first) = record.timings.first_byte_micros {
            let seconds = Duration::from_micros(first).as_secs_f64();
            metrics.first_byte_seconds.with_label_values(&[dialect, operation]).observe(seconds);
        }
        let tokens = [
            ("input", record.tokens.input),
            ("cached_input", record.tokens.cached_input),
            ("output", record.tokens.output),
            ("reasoning", record.tokens.reasoning),
        ];
        for (kind, count) in tokens {
            if count > 0 {
                metrics.tokens.with_label_values(&[dialect, kind]).inc_by(count);
            }
        }
        metrics.spend_nano_usd.inc_by(record.cost.get());
        for finding in &record.findings {
            // Only built-in ids are a bounded set of labels.
            let own = &*finding.category == bulkhead_dlp::CUSTOM;
            let detector = if own { bulkhead_dlp::CUSTOM } else { finding.detector.as_ref() };
            let labels = [detector, finding.direction.as_str(), finding.action.as_str()];
            metrics.findings.with_label_values(&labels).inc();
        }
        if record.uninspected {
            metrics.uninspected.inc();
        }
        if record.budgets.iter().any(|budget| budget.unreachable) {
            metrics.budgets.unreachable.with_label_values(&["allowed"]).inc();
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if !self.ended {
            let source = Source::Internal.as_str();
            self.metrics.failures.with_label_values(&["aborted", source]).inc();
        }
        if !self.is_handed_over {
            let envelope = self.finish();
            self.traces.send(envelope);
        }
    }
}

/// Counts a refusal or failure, also of requests that belong to nobody.
pub(crate) fn count_failure(metrics: &Metrics, rejection: &Rejection) {
    metrics.failures.with_label_values(&[rejection.code(), rejection.source().as_str()]).inc();
    if let Some(labels) = rejection.throttled_by() {
        metrics.throttled.with_label_values(&labels).inc();
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn status_class(status: u16) -> &'static str {
    match status {
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        500..=599 => "5xx",
        _ => "none",
    }
}

#[cfg(test)]
mod tests;
