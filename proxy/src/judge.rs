//! Steps 6 and 7, deciding: what the body asks, what the rules say about it, and where it may go.

use crate::admit::{Exchange, may_call};
use crate::inspect::known::CleanTexts;
use crate::inspect::whole::Inspected;
use crate::inspect::{self, Effort, Findings};
use crate::record::Recorder;
use crate::rejection::Rejection;
use crate::reply::INLINE_INSPECT_BYTES;
use crate::rewrite;
use bulkhead_dialect::json::{Document, Limits, splice};
use bulkhead_dialect::request::{self, RequestHead, include_usage_edit, max_output_tokens_edit};
use bulkhead_dialect::{Dialect, Endpoint, Operation};
use bulkhead_dlp::{Action, DeepScan, RuleSet, TextRules, TokenMap};
use bulkhead_policy::compile::{TenantPolicy, Upstream};
use bulkhead_policy::document::{Capture, Uninspectable, UpstreamDialect};
use bulkhead_policy::ledger::{BudgetUnit, Ledger};
use bulkhead_policy::prices::Price;
use bulkhead_policy::trace::Direction;
use bytes::Bytes;
use pingora::http::RequestHeader;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::Mutex;

/// A body that may go upstream.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub(crate) head: RequestHead,
    /// What goes upstream: the caller's body with every value masked or tokenized, and what we ask for ourselves.
    pub(crate) body: Bytes,
    /// The copy for the trace, if the policy keeps one: no found value stands in it.
    pub(crate) captured: Option<Bytes>,
    /// The tokens in `body` and the values they stand for.
    pub(crate) tokens: Arc<TokenMap>,
    /// The usage chunk was asked for by us and must not reach the caller.
    pub(crate) asked_for_usage: bool,
}

/// What reading and inspecting one body leads to.
#[derive(Debug, Default)]
struct Verdict {
    judged: Judged,
    findings: Findings,
    blocked: BTreeSet<String>,
    /// Not everything in it could be decoded.
    incomplete: bool,
}

/// Makes rules ready that nobody has used yet: else their first request would do it, and everybody's requests that run on its
/// thread would wait for that.
pub(crate) async fn make_ready(policy: &TenantPolicy) {
    // One at a time: many that come at once would take all the threads that others' bodies need.
    static BUILDING: Mutex<()> = Mutex::const_new(());
    let rules = [policy.request_rules(), policy.response_rules()];
    let are_ready = || rules.iter().all(|rules| rules.is_ready());
    if are_ready() {
        return;
    }
    let _turn = BUILDING.lock().await;
    if are_ready() {
        return;
    }
    let rules = rules.map(Arc::clone);
    let ready = tokio::task::spawn_blocking(move || rules.iter().for_each(|rules| rules.make_ready()));
    let _scans_build_what_is_missing = ready.await;
}

/// Reads the body, checks the model, and applies the tenant's rules.
///
/// # Errors
/// 400 for a body that cannot be read, is not allowed, or is blocked.
pub(crate) async fn judge(
    exchange: &Exchange,
    path: &str,
    raw: Bytes,
    clean: &Arc<CleanTexts>,
    recorder: &mut Recorder,
) -> Result<Judged, Rejection> {
    let (endpoint, policy) = (exchange.endpoint, Arc::clone(exchange.key.policy()));
    if endpoint.operation == Operation::Models {
        return Ok(Judged::default());
    }
    let is_short = raw.len() <= INLINE_INSPECT_BYTES;
    let quick = is_short.then(|| read_and_inspect(&policy, endpoint, path, &raw, clean, Effort::Little));
    let verdict = match quick.transpose()?.flatten() {
        Some(verdict) => verdict,
        None => {
            let (path, clean) = (path.to_owned(), Arc::clone(clean));
            let inspect = move || read_and_inspect(&policy, endpoint, &path, &raw, &clean, Effort::Full);
            let inspected = tokio::task::spawn_blocking(inspect).await.ok().transpose()?.flatten();
            inspected.ok_or_else(|| Rejection::internal("inspecting the request"))?
        }
    };
    let Verdict { judged, findings, blocked, incomplete } = verdict;
    recorder.record.model_asked =
        judged.head.model.clone().map(|model| name_for_trace(exchange.key.policy(), model));
    recorder.record.streamed = judged.head.stream;
    recorder.found(findings);
    if let Some(captured) = &judged.captured {
        recorder.masked_request(captured);
    }
    may_call(&exchange.key, endpoint, judged.head.model.as_deref())?;
    if !blocked.is_empty() {
        return Err(Rejection::dlp_blocked("request", blocked));
    }
    let opaque = judged.head.parts.is_binary || judged.head.token_arrays || incomplete;
    if opaque && !exchange.key.policy().request_rules().is_empty() {
        if exchange.key.policy().uninspectable() == Uninspectable::Block {
            return Err(Rejection::uninspectable());
        }
        recorder.record.uninspected = true;
    }
    Ok(judged)
}

/// A model's name as the trace may keep it: it is text from the wire, and a value may stand in it.
pub(crate) fn name_for_trace(policy: &TenantPolicy, name: String) -> String {
    let is_clean = |rules: &RuleSet| {
        let DeepScan { scan, complete, .. } = rules.scan_deep(name.as_bytes());
        scan.clean() && complete
    };
    if is_clean(policy.request_rules()) && is_clean(policy.response_rules()) {
        name
    } else {
        "[HIDDEN]".to_owned()
    }
}

/// CPU only: one parse, one pass over the strings. `None` where that takes more than little effort.
fn read_and_inspect(
    policy: &TenantPolicy,
    endpoint: Endpoint,
    path: &str,
    raw: &Bytes,
    clean: &CleanTexts,
    effort: Effort,
) -> Result<Option<Verdict>, Rejection> {
    let document = Document::parse(raw, &Limits::REQUEST).map_err(|error| Rejection::bad_json(&error))?;
    let head = request::read(endpoint, path, &document).map_err(Rejection::bad_request)?;
    let rules = TextRules::from(Arc::clone(policy.request_rules()));
    let Some(inspected) = inspect::request(&rules, &document, clean, effort) else { return Ok(None) };
    let (body, asked_for_usage) = match include_usage_edit(endpoint, &document) {
        Some(edit) => (with_edit(raw, &inspected, edit), !head.include_usage),
        None => (inspected.apply(raw), false),
    };
    let captured = (policy.capture() != Capture::None).then(|| inspected.for_trace(raw));
    let Inspected { findings, blocked, tokens, incomplete, .. } = inspected;
    let judged = Judged { head, body, captured, tokens: Arc::new(tokens), asked_for_usage };
    Ok(Some(Verdict { judged, findings, blocked, incomplete }))
}

fn with_edit(raw: &[u8], inspected: &Inspected, edit: bulkhead_dialect::json::Splice<'static>) -> Bytes {
    let mut edits = inspected.splices.merged();
    edits.push(edit);
    edits.sort_by_key(|edit| edit.range.start);
    splice(raw, &edits).into()
}

/// Inspects what of the head goes upstream: the query and the headers that are copied. Nothing can be masked
/// there, so whatever a rule masks or blocks is refused.
///
/// # Errors
/// 400 that names the detectors.
pub(crate) fn judge_head(
    exchange: &Exchange,
    head: &RequestHeader,
    recorder: &mut Recorder,
) -> Result<(), Rejection> {
    let rules = exchange.key.policy().request_rules();
    if rules.is_empty() {
        return Ok(());
    }
    let mut findings = Findings::default();
    let mut refused = BTreeSet::new();
    for text in rewrite::forwarded_texts(head) {
        let DeepScan { scan, complete, .. } = rules.scan_deep(&text);
        if !complete {
            return Err(Rejection::uninspectable());
        }
        for found in scan.matches {
            findings.add(&found, Direction::Request, Cow::Borrowed("head"), (found.start, found.end));
            if found.action != Action::Alert {
                refused.insert(found.detector.id().to_string());
            }
        }
    }
    recorder.found(findings);
    if refused.is_empty() { Ok(()) } else { Err(Rejection::dlp_blocked("request's head", refused)) }
}

/// Writes the budget's ceiling into the request, so that the provider itself stops there.
///
/// # Errors
/// 500 if the body we have just read cannot be read again.
pub(crate) async fn with_ceiling(endpoint: Endpoint, body: &Bytes, ceiling: u64) -> Result<Bytes, Rejection> {
    const DOING: &str = "lowering the answer's ceiling";
    let body = body.clone();
    let is_short = body.len() <= INLINE_INSPECT_BYTES;
    let write = move || -> Option<Bytes> {
        let document = Document::parse(&body, &Limits::REQUEST).ok()?;
        Some(match max_output_tokens_edit(endpoint, &document, ceiling) {
            Some(edit) => splice(&body, &[edit]).into(),
            None => body.clone(),
        })
    };
    let written = if is_short { write() } else { tokio::task::spawn_blocking(write).await.ok().flatten() };
    written.ok_or_else(|| Rejection::internal(DOING))
}

/// Step 7: the upstreams that may serve the request, in order of preference.
///
/// # Errors
/// 400 where no upstream of the caller's dialect serves the model.
pub(crate) fn route<'a>(exchange: &'a Exchange, model: Option<&str>) -> Result<Vec<&'a Upstream>, Rejection> {
    let policy = exchange.key.policy();
    let dialect = match exchange.endpoint.dialect {
        Dialect::OpenAi => UpstreamDialect::OpenAi,
        Dialect::Anthropic => UpstreamDialect::Anthropic,
        Dialect::Gemini => UpstreamDialect::Gemini,
    };
    let upstreams: Vec<&Upstream> = match model {
        Some(model) => policy.upstreams_for(model, dialect).collect(),
        None => policy.upstreams().iter().filter(|upstream| upstream.dialect == dialect).take(1).collect(),
    };
    if upstreams.is_empty() {
        let message = format!("no upstream of the {} dialect serves this model", dialect.as_str());
        return Err(Rejection::not_allowed("no_route", message));
    }
    Ok(upstreams)
}

/// The price to reserve and settle at.
///
/// # Errors
/// 400 where one of the budgets counts money and the model has no price: what cannot be counted is not let through.
pub(crate) fn price(
    policy: &TenantPolicy,
    ledgers: &[Arc<Ledger>],
    endpoint: Endpoint,
    model: Option<&str>,
) -> Result<Option<Price>, Rejection> {
    let Some(model) = model.filter(|_| !endpoint.operation.is_free()) else { return Ok(None) };
    let price = policy.price(model);
    let counts_money = ledgers.iter().any(|ledger| ledger.spec().unit == BudgetUnit::Usd);
    if price.is_none() && counts_money {
        let message = "the model has no known price and a budget counts money; \
                       add it under `prices` or set `unknown_price`";
        return Err(Rejection::not_allowed("unknown_price", message));
    }
    Ok(price)
}
