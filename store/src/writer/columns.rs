//! Traces as columns: one array per column, in one pass. Texts are borrowed: only one with U+0000 in it is copied.

use std::borrow::Cow;
use std::collections::HashSet;

use bulkhead_policy::trace::TraceRecord;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use sqlx::types::Json;
use uuid::Uuid;

use crate::error::StoreError;
use crate::numbers::to_i64;

/// What stands in for U+0000, which `text` and `jsonb` refuse, and with it the whole batch.
const REPLACEMENT: &str = "\u{FFFD}";

/// The columns of a batch of traces.
#[derive(Default)]
pub(super) struct Columns<'a> {
    pub(super) tenant_id: Vec<Uuid>,
    pub(super) at: Vec<DateTime<Utc>>,
    pub(super) id: Vec<Uuid>,
    pub(super) agent_id: Vec<Option<Uuid>>,
    pub(super) key_id: Vec<Option<&'a str>>,
    pub(super) policy_revision: Vec<i64>,
    pub(super) dialect: Vec<Cow<'a, str>>,
    pub(super) operation: Vec<Cow<'a, str>>,
    pub(super) model_asked: Vec<Option<Cow<'a, str>>>,
    pub(super) model_served: Vec<Option<Cow<'a, str>>>,
    pub(super) upstream: Vec<Option<Cow<'a, str>>>,
    pub(super) status: Vec<i32>,
    pub(super) outcome: Vec<&'static str>,
    pub(super) reason: Vec<Option<Cow<'a, str>>>,
    pub(super) streamed: Vec<bool>,
    pub(super) input_tokens: Vec<i64>,
    pub(super) cached_input_tokens: Vec<i64>,
    pub(super) output_tokens: Vec<i64>,
    pub(super) reasoning_tokens: Vec<i64>,
    pub(super) tokens_estimated: Vec<bool>,
    pub(super) cost_nano_usd: Vec<i64>,
    pub(super) overhead_micros: Vec<i64>,
    pub(super) first_byte_micros: Vec<Option<i64>>,
    pub(super) total_micros: Vec<i64>,
    pub(super) attempts: Vec<i32>,
    pub(super) request_bytes: Vec<i64>,
    pub(super) response_bytes: Vec<i64>,
    pub(super) findings: Vec<Json<Box<RawValue>>>,
    pub(super) findings_total: Vec<i64>,
    pub(super) uninspected: Vec<bool>,
    pub(super) budgets: Vec<Json<Box<RawValue>>>,
    pub(super) bodies: Bodies<'a>,
    pub(super) detectors: Detectors<'a>,
}

/// The columns of the batch's rows of `trace_bodies`: only of traces that have a body, one for each form.
#[derive(Default)]
pub(super) struct Bodies<'a> {
    pub(super) tenant_id: Vec<Uuid>,
    pub(super) at: Vec<DateTime<Utc>>,
    pub(super) id: Vec<Uuid>,
    pub(super) form: Vec<&'static str>,
    pub(super) request: Vec<Option<&'a [u8]>>,
    pub(super) response: Vec<Option<&'a [u8]>>,
    pub(super) sealed_request: Vec<Option<&'a [u8]>>,
    pub(super) sealed_response: Vec<Option<&'a [u8]>>,
    pub(super) key_version: Vec<Option<i32>>,
    pub(super) truncated: Vec<bool>,
}

/// The columns of the batch's rows of `trace_detectors`: one for each detector of a trace.
#[derive(Default)]
pub(super) struct Detectors<'a> {
    pub(super) tenant_id: Vec<Uuid>,
    pub(super) detector: Vec<Cow<'a, str>>,
    pub(super) at: Vec<DateTime<Utc>>,
    pub(super) id: Vec<Uuid>,
    pub(super) agent_id: Vec<Option<Uuid>>,
    pub(super) outcome: Vec<&'static str>,
    pub(super) model_asked: Vec<Option<Cow<'a, str>>>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(traces: &'a [TraceRecord]) -> Result<Self, StoreError> {
        let mut columns = Self::default();
        for trace in traces {
            columns.push(trace)?;
        }
        Ok(columns)
    }

    fn push(&mut self, trace: &'a TraceRecord) -> Result<(), StoreError> {
        self.tenant_id.push(trace.tenant.as_uuid());
        self.at.push(trace.at);
        self.id.push(trace.id.as_uuid());
        self.agent_id.push(trace.agent.map(|agent| agent.as_uuid()));
        self.key_id.push(trace.key.as_ref().map(|key| key.as_str()));
        self.policy_revision.push(to_i64(trace.policy_revision.get()));
        self.dialect.push(strip_nul(&trace.dialect));
        self.operation.push(strip_nul(&trace.operation));
        self.model_asked.push(trace.model_asked.as_deref().map(strip_nul));
        self.model_served.push(trace.model_served.as_deref().map(strip_nul));
        self.upstream.push(trace.upstream.as_deref().map(strip_nul));
        self.status.push(trace.status.into());
        self.outcome.push(trace.outcome.as_str());
        self.reason.push(trace.reason.as_deref().map(strip_nul));
        self.streamed.push(trace.streamed);
        self.input_tokens.push(to_i64(trace.tokens.input));
        self.cached_input_tokens.push(to_i64(trace.tokens.cached_input));
        self.output_tokens.push(to_i64(trace.tokens.output));
        self.reasoning_tokens.push(to_i64(trace.tokens.reasoning));
        self.tokens_estimated.push(trace.tokens.estimated);
        self.cost_nano_usd.push(to_i64(trace.cost.get()));
        self.overhead_micros.push(to_i64(trace.timings.overhead_micros));
        self.first_byte_micros.push(trace.timings.first_byte_micros.map(to_i64));
        self.total_micros.push(to_i64(trace.timings.total_micros));
        self.attempts.push(trace.attempts.into());
        self.request_bytes.push(to_i64(trace.request_bytes));
        self.response_bytes.push(to_i64(trace.response_bytes));
        self.findings.push(Json(json_of("findings", &trace.findings)?));
        self.findings_total.push(to_i64(trace.findings_total));
        self.uninspected.push(trace.uninspected);
        self.budgets.push(Json(json_of("budgets", &trace.budgets)?));
        self.bodies.push(trace);
        self.detectors.push(trace);
        Ok(())
    }
}

impl<'a> Bodies<'a> {
    fn push(&mut self, trace: &'a TraceRecord) {
        if let Some(bodies) = &trace.bodies {
            let [request, response] =
                [&bodies.request, &bodies.response].map(|body| body.as_deref().map(str::as_bytes));
            self.push_form(trace, "masked", [request, response], bodies.truncated, None);
        }
        if let Some(sealed) = &trace.sealed {
            let [request, response] =
                [&sealed.request, &sealed.response].map(|body| body.as_ref().map(|body| body.0.as_slice()));
            // A number that the column cannot hold would name no key: nobody could open the body.
            if let Ok(version) = i32::try_from(sealed.key_version) {
                self.push_form(trace, "sealed", [request, response], sealed.truncated, Some(version));
            }
        }
    }

    /// Bodies that a data key has sealed, or masked ones.
    fn push_form(
        &mut self,
        trace: &TraceRecord,
        form: &'static str,
        [request, response]: [Option<&'a [u8]>; 2],
        truncated: bool,
        key_version: Option<i32>,
    ) {
        if request.is_none() && response.is_none() {
            return;
        }
        let is_sealed = key_version.is_some();
        self.tenant_id.push(trace.tenant.as_uuid());
        self.at.push(trace.at);
        self.id.push(trace.id.as_uuid());
        self.form.push(form);
        self.request.push(request.filter(|_| !is_sealed));
        self.response.push(response.filter(|_| !is_sealed));
        self.sealed_request.push(request.filter(|_| is_sealed));
        self.sealed_response.push(response.filter(|_| is_sealed));
        self.key_version.push(key_version);
        self.truncated.push(truncated);
    }
}

impl<'a> Detectors<'a> {
    fn push(&mut self, trace: &'a TraceRecord) {
        let mut seen = HashSet::new();
        for finding in trace.findings.iter().filter(|finding| seen.insert(&*finding.detector)) {
            self.tenant_id.push(trace.tenant.as_uuid());
            self.detector.push(strip_nul(&finding.detector));
            self.at.push(trace.at);
            self.id.push(trace.id.as_uuid());
            self.agent_id.push(trace.agent.map(|agent| agent.as_uuid()));
            self.outcome.push(trace.outcome.as_str());
            self.model_asked.push(trace.model_asked.as_deref().map(strip_nul));
        }
    }
}

fn json_of(what: &'static str, value: &impl Serialize) -> Result<Box<RawValue>, StoreError> {
    let invalid = |_| StoreError::Invalid { what, expected: "values that JSON can hold" };
    let json = to_raw_value(value).map_err(invalid)?;
    // Perhaps an escaped backslash; then nothing is stripped.
    if !json.get().contains(r"\u0000") {
        return Ok(json);
    }
    let mut value = serde_json::to_value(value).map_err(invalid)?;
    strip_nul_in(&mut value);
    to_raw_value(&value).map_err(invalid)
}

fn strip_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', REPLACEMENT)) } else { Cow::Borrowed(text) }
}

/// Keys need no look: they are the names of our own fields.
fn strip_nul_in(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('\0') => *text = text.replace('\0', REPLACEMENT),
        Value::Array(items) => items.iter_mut().for_each(strip_nul_in),
        Value::Object(fields) => fields.values_mut().for_each(strip_nul_in),
        _ => {}
    }
}
