//! What happened: the list of requests, and one of them in full.

use bulkhead_policy::ids::{AgentId, KeyId, Revision, TraceId};
use bulkhead_policy::money::NanoUsd;
use bulkhead_policy::trace::{FindingRecord, Outcome, Timings, TraceBodies, TraceRecord, TraceTokens};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::types::Json;

use super::TenantTx;
use crate::error::{Attempted, StoreError};
use crate::numbers::to_u64;

/// How far an id's time may be from the time of arrival. The id is made on arrival, from the same clock.
const ID_TIME_TOLERANCE: TimeDelta = TimeDelta::seconds(2);

/// Which traces to list. Every field that is set narrows the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceFilter {
    /// Arrived at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Arrived before this time.
    pub until: Option<DateTime<Utc>>,
    /// Requests of this agent.
    pub agent: Option<AgentId>,
    /// Requests that ended this way.
    pub outcome: Option<Outcome>,
    /// From the place after this one on.
    pub after: Option<TraceCursor>,
    /// Most to return.
    pub limit: u32,
}

/// A place in the list of traces, which is ordered newest first. New traces do not shift it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceCursor {
    /// Time of arrival of the last trace seen.
    pub at: DateTime<Utc>,
    /// Its id.
    pub id: TraceId,
}

/// Part of the list of traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracePage {
    /// The traces, newest first.
    pub traces: Vec<TraceSummary>,
    /// Where to go on; `None` at the end.
    pub next: Option<TraceCursor>,
}

/// A request in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceSummary {
    /// The request.
    pub id: TraceId,
    /// Time of arrival.
    pub at: DateTime<Utc>,
    /// The agent behind the key.
    pub agent: Option<AgentId>,
    /// Operation, for example `chat`.
    pub operation: String,
    /// Model that the caller named.
    pub model_asked: Option<String>,
    /// Name of the upstream that answered.
    pub upstream: Option<String>,
    /// Status that the caller saw; 0 if the caller left before one was sent.
    pub status: u16,
    /// How it ended.
    pub outcome: Outcome,
    /// Stable reason code where the outcome needs one.
    pub reason: Option<String>,
    /// All input tokens.
    pub input_tokens: u64,
    /// All output tokens.
    pub output_tokens: u64,
    /// Cost that was settled.
    pub cost: NanoUsd,
    /// Time that our own work added, in microseconds.
    pub overhead_micros: u64,
    /// Arrival until the end, in microseconds.
    pub total_micros: u64,
    /// All findings, counted.
    pub findings_total: u64,
}

impl TenantTx {
    /// Lists traces, newest first.
    ///
    /// Cost: walks the index from the cursor; a filter by outcome skips rows that it has to read.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn traces(&mut self, filter: &TraceFilter) -> Result<TracePage, StoreError> {
        let tenant = self.id();
        let rows = sqlx::query!(
            "select id, at, agent_id, operation, model_asked, upstream, status, outcome, reason, input_tokens,
               output_tokens, cost_nano_usd, overhead_micros, total_micros, findings_total
             from traces
             where tenant_id = $1 and at >= coalesce($2, '-infinity'::timestamptz)
               and at < coalesce($3, 'infinity'::timestamptz) and ($4::uuid is null or agent_id = $4)
               and ($5::text is null or outcome = $5) and ($6::timestamptz is null or (at, id) < ($6, $7::uuid))
             order by at desc, id desc limit $8",
            tenant,
            filter.since,
            filter.until,
            filter.agent.map(AgentId::as_uuid),
            filter.outcome.map(Outcome::as_str),
            filter.after.map(|place| place.at),
            filter.after.map(|place| place.id.as_uuid()),
            // One more than asked for tells whether there is a next page.
            i64::from(filter.limit) + 1,
        )
        .fetch_all(self.connection())
        .await
        .attempted("list traces")?;
        let more = rows.len() > usize::try_from(filter.limit).unwrap_or(usize::MAX);
        let traces = rows
            .into_iter()
            .take(usize::try_from(filter.limit).unwrap_or(usize::MAX))
            .map(|row| {
                Ok(TraceSummary {
                    id: TraceId::from_uuid(row.id),
                    at: row.at,
                    agent: row.agent_id.map(AgentId::from_uuid),
                    operation: row.operation,
                    model_asked: row.model_asked,
                    upstream: row.upstream,
                    status: stored_u16(row.status, "status")?,
                    outcome: stored_outcome(&row.outcome)?,
                    reason: row.reason,
                    input_tokens: to_u64(row.input_tokens),
                    output_tokens: to_u64(row.output_tokens),
                    cost: NanoUsd::new(to_u64(row.cost_nano_usd)),
                    overhead_micros: to_u64(row.overhead_micros),
                    total_micros: to_u64(row.total_micros),
                    findings_total: to_u64(row.findings_total),
                })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        let next = traces.last().filter(|_| more).map(|last| TraceCursor { at: last.at, id: last.id });
        Ok(TracePage { traces, next })
    }

    /// Returns one request in full.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also for an id that is none of ours.
    pub async fn trace(&mut self, id: TraceId) -> Result<TraceRecord, StoreError> {
        const ABSENT: StoreError = StoreError::NotFound { what: "trace" };
        // The id says when, so one partition is searched instead of all.
        let arrival = time_of(id).ok_or(ABSENT)?;
        let (tenant_id, tenant) = (self.id(), self.tenant());
        let row = sqlx::query!(
            r#"select at, agent_id, key_id, policy_revision, dialect, operation, model_asked, model_served, upstream, status,
                 outcome, reason, streamed, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens,
                 tokens_estimated, cost_nano_usd, overhead_micros, first_byte_micros, total_micros, attempts, request_bytes,
                 response_bytes, findings as "findings: Json<Vec<FindingRecord>>", findings_total, uninspected, request_body,
                 response_body, bodies_truncated
               from traces where tenant_id = $1 and at between $2 and $3 and id = $4"#,
            tenant_id,
            arrival - ID_TIME_TOLERANCE,
            arrival + ID_TIME_TOLERANCE,
            id.as_uuid(),
        )
        .fetch_optional(self.connection())
        .await
        .attempted("read a trace")?
        .ok_or(ABSENT)?;
        let key = row.key_id.map(|key| key.parse::<KeyId>()).transpose();
        let bodies = row.request_body.is_some() || row.response_body.is_some();
        Ok(TraceRecord {
            id,
            at: row.at,
            tenant,
            agent: row.agent_id.map(AgentId::from_uuid),
            key: key.map_err(|_| StoreError::Stored { what: "key id" })?,
            policy_revision: Revision::new(to_u64(row.policy_revision)),
            dialect: row.dialect.into(),
            operation: row.operation.into(),
            model_asked: row.model_asked,
            model_served: row.model_served,
            upstream: row.upstream,
            status: stored_u16(row.status, "status")?,
            outcome: stored_outcome(&row.outcome)?,
            reason: row.reason.map(Into::into),
            streamed: row.streamed,
            tokens: TraceTokens {
                input: to_u64(row.input_tokens),
                cached_input: to_u64(row.cached_input_tokens),
                output: to_u64(row.output_tokens),
                reasoning: to_u64(row.reasoning_tokens),
                estimated: row.tokens_estimated,
            },
            cost: NanoUsd::new(to_u64(row.cost_nano_usd)),
            timings: Timings {
                overhead_micros: to_u64(row.overhead_micros),
                first_byte_micros: row.first_byte_micros.map(to_u64),
                total_micros: to_u64(row.total_micros),
            },
            attempts: stored_u16(row.attempts, "attempts")?,
            request_bytes: to_u64(row.request_bytes),
            response_bytes: to_u64(row.response_bytes),
            findings: row.findings.0,
            findings_total: to_u64(row.findings_total),
            uninspected: row.uninspected,
            bodies: bodies.then(|| TraceBodies {
                request: row.request_body.map(text),
                response: row.response_body.map(text),
                truncated: row.bodies_truncated,
            }),
        })
    }
}

fn time_of(id: TraceId) -> Option<DateTime<Utc>> {
    let (seconds, nanos) = id.as_uuid().get_timestamp()?.to_unix();
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos)
}

fn text(body: Vec<u8>) -> String {
    String::from_utf8(body).unwrap_or_else(|invalid| String::from_utf8_lossy(invalid.as_bytes()).into_owned())
}

fn stored_u16(number: i32, what: &'static str) -> Result<u16, StoreError> {
    u16::try_from(number).map_err(|_| StoreError::Stored { what })
}

fn stored_outcome(name: &str) -> Result<Outcome, StoreError> {
    name.parse().map_err(|_| StoreError::Stored { what: "outcome" })
}
