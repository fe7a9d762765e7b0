//! What happened: the list of requests, and one of them in full.

use std::cmp::Reverse;

use bulkhead_policy::ids::{AgentId, KeyId, Revision, TraceId};
use bulkhead_policy::money::NanoUsd;
use bulkhead_policy::trace::{
    BudgetRecord, FindingRecord, Outcome, Timings, TraceBodies, TraceRecord, TraceTokens,
};
use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::TenantTx;
use crate::error::{Attempted, StoreError};
use crate::numbers::{arrival, to_u64};

const ABSENT: StoreError = StoreError::NotFound { what: "trace" };

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
    /// Requests in which this detector found something, among the findings that traces carry.
    pub detector: Option<String>,
    /// Requests whose caller named this model.
    pub model: Option<String>,
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

impl TracePage {
    /// Makes one page of those that several databases give for one filter. A trace that is in two of them, because it is being
    /// moved, is there once.
    #[must_use]
    pub fn merged(pages: Vec<Self>, limit: u32) -> Self {
        let is_cut = pages.iter().any(|page| page.next.is_some());
        let mut traces: Vec<_> = pages.into_iter().flat_map(|page| page.traces).collect();
        traces.sort_by_key(|trace| Reverse((trace.at, trace.id)));
        traces.dedup_by_key(|trace| (trace.at, trace.id));
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = is_cut || traces.len() > limit;
        traces.truncate(limit);
        let next = traces.last().filter(|_| more).map(|last| TraceCursor { at: last.at, id: last.id });
        Self { traces, next }
    }
}

impl TraceFilter {
    /// One more than asked for tells whether there is a next page.
    fn rows(&self) -> i64 {
        i64::from(self.limit) + 1
    }
}

impl TenantTx {
    /// Lists traces, newest first.
    ///
    /// Cost: one walk along an index that holds every filter but `since` and `until` as keys, in each day's partition between
    /// those two. What one filter lets pass and another does not is stepped over inside the index.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn traces(&mut self, filter: &TraceFilter) -> Result<TracePage, StoreError> {
        let mut rows = if filter.detector.is_some() {
            self.summaries_by_detector(filter).await?
        } else {
            self.summaries(filter).await?
        };
        let limit = usize::try_from(filter.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let traces = rows.into_iter().map(TraceSummary::try_from).collect::<Result<Vec<_>, _>>()?;
        let next = traces.last().filter(|_| more).map(|last| TraceCursor { at: last.at, id: last.id });
        Ok(TracePage { traces, next })
    }

    async fn summaries(&mut self, filter: &TraceFilter) -> Result<Vec<StoredSummary>, StoreError> {
        let tenant = self.id();
        sqlx::query_as!(
            StoredSummary,
            "select id, at, agent_id, operation, model_asked, upstream, status, outcome, reason, input_tokens,
               output_tokens, cost_nano_usd, overhead_micros, total_micros, findings_total
             from traces
             where tenant_id = $1 and at >= coalesce($2, '-infinity'::timestamptz)
               and at < coalesce($3, 'infinity'::timestamptz) and ($4::uuid is null or agent_id = $4)
               and ($5::text is null or outcome = $5) and ($6::text is null or model_asked = $6)
               and ($7::timestamptz is null or (at, id) < ($7, $8::uuid))
             order by at desc, id desc limit $9",
            tenant,
            filter.since,
            filter.until,
            filter.agent.map(AgentId::as_uuid),
            filter.outcome.map(Outcome::as_str),
            filter.model,
            filter.after.map(|place| place.at),
            filter.after.map(|place| place.id.as_uuid()),
            filter.rows(),
        )
        .fetch_all(self.connection())
        .await
        .attempted("list traces")
    }

    /// The same along `trace_detectors`, whose rows repeat what else is filtered by.
    async fn summaries_by_detector(
        &mut self,
        filter: &TraceFilter,
    ) -> Result<Vec<StoredSummary>, StoreError> {
        let tenant = self.id();
        sqlx::query_as!(
            StoredSummary,
            "select id, at, traces.agent_id, operation, traces.model_asked, upstream, status, traces.outcome, reason,
               input_tokens, output_tokens, cost_nano_usd, overhead_micros, total_micros, findings_total
             from traces join (
               select tenant_id, at, id from trace_detectors
               where tenant_id = $1 and detector = $10 and at >= coalesce($2, '-infinity'::timestamptz)
                 and at < coalesce($3, 'infinity'::timestamptz) and ($4::uuid is null or agent_id = $4)
                 and ($5::text is null or outcome = $5) and ($6::text is null or model_asked = $6)
                 and ($7::timestamptz is null or (at, id) < ($7, $8::uuid))
               order by at desc, id desc limit $9
             ) as found using (tenant_id, at, id)
             where tenant_id = $1
             order by at desc, id desc",
            tenant,
            filter.since,
            filter.until,
            filter.agent.map(AgentId::as_uuid),
            filter.outcome.map(Outcome::as_str),
            filter.model,
            filter.after.map(|place| place.at),
            filter.after.map(|place| place.id.as_uuid()),
            filter.rows(),
            filter.detector,
        )
        .fetch_all(self.connection())
        .await
        .attempted("list traces by detector")
    }

    /// Returns the place in the list that a trace has: where a page that ended with it goes on.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also for an id that is none of ours.
    pub async fn trace_cursor(&mut self, id: TraceId) -> Result<TraceCursor, StoreError> {
        let (earliest, latest) = arrival(id).ok_or(ABSENT)?;
        let tenant = self.id();
        let at = sqlx::query_scalar!(
            "select at from traces where tenant_id = $1 and at between $2 and $3 and id = $4",
            tenant,
            earliest,
            latest,
            id.as_uuid(),
        )
        .fetch_optional(self.connection())
        .await
        .attempted("find a trace")?;
        at.map(|at| TraceCursor { at, id }).ok_or(ABSENT)
    }

    /// Returns one request in full, but for its original bodies: of them [`Self::has_sealed_bodies`] knows.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also for an id that is none of ours.
    pub async fn trace(&mut self, id: TraceId) -> Result<TraceRecord, StoreError> {
        let (earliest, latest) = arrival(id).ok_or(ABSENT)?;
        let (tenant_id, tenant) = (self.id(), self.tenant());
        let row = sqlx::query!(
            r#"select at, agent_id, key_id, policy_revision, dialect, operation, model_asked, model_served, upstream, status,
                 outcome, reason, streamed, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens,
                 tokens_estimated, cost_nano_usd, overhead_micros, first_byte_micros, total_micros, attempts, request_bytes,
                 response_bytes, findings as "findings: Json<Vec<FindingRecord>>", findings_total, uninspected,
                 budgets as "budgets: Json<Vec<BudgetRecord>>"
               from traces where tenant_id = $1 and at between $2 and $3 and id = $4"#,
            tenant_id,
            earliest,
            latest,
            id.as_uuid(),
        )
        .fetch_optional(self.connection())
        .await
        .attempted("read a trace")?
        .ok_or(ABSENT)?;
        let key = row.key_id.map(|key| key.parse::<KeyId>()).transpose();
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
            budgets: row.budgets.0,
            bodies: self.bodies(id, row.at).await?,
            sealed: None,
        })
    }

    /// Says whether original bodies of a trace are kept. This role cannot read them, not even sealed.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for an id that is none of ours.
    pub async fn has_sealed_bodies(&mut self, id: TraceId) -> Result<bool, StoreError> {
        let (earliest, latest) = arrival(id).ok_or(ABSENT)?;
        let tenant = self.id();
        sqlx::query_scalar!(
            r#"select exists (select from trace_bodies
                 where tenant_id = $1 and at between $2 and $3 and id = $4 and form = 'sealed') as "exists!""#,
            tenant,
            earliest,
            latest,
            id.as_uuid(),
        )
        .fetch_one(self.connection())
        .await
        .attempted("look for sealed bodies")
    }

    /// The bodies of a trace that arrived at `at`, as long as they are kept.
    async fn bodies(&mut self, id: TraceId, at: DateTime<Utc>) -> Result<Option<TraceBodies>, StoreError> {
        let tenant = self.id();
        let row = sqlx::query!(
            "select request, response, truncated from trace_bodies
             where tenant_id = $1 and at = $2 and id = $3 and form = 'masked'",
            tenant,
            at,
            id.as_uuid()
        )
        .fetch_optional(self.connection())
        .await
        .attempted("read a trace's bodies")?;
        Ok(row.map(|row| TraceBodies {
            request: row.request.map(text),
            response: row.response.map(text),
            truncated: row.truncated,
        }))
    }
}

/// A row of the list.
struct StoredSummary {
    id: Uuid,
    at: DateTime<Utc>,
    agent_id: Option<Uuid>,
    operation: String,
    model_asked: Option<String>,
    upstream: Option<String>,
    status: i32,
    outcome: String,
    reason: Option<String>,
    input_tokens: i64,
    output_tokens: i64,
    cost_nano_usd: i64,
    overhead_micros: i64,
    total_micros: i64,
    findings_total: i64,
}

impl TryFrom<StoredSummary> for TraceSummary {
    type Error = StoreError;

    fn try_from(row: StoredSummary) -> Result<Self, StoreError> {
        Ok(Self {
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
    }
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
