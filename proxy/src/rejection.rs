//! Every refusal of steps 1 to 10, and the only place of the proxy that chooses a status.
//!
//! Statuses, codes and headers follow what real SDKs do with them: 400 is the one refusal that every client
//! takes as final; a budget must never carry a long `Retry-After`, because SDKs sleep for it; a stream that
//! was stopped ends with the dialect's error event, because most SDKs take a clean end for a whole answer.

mod limits;

use crate::framing::Violation;
use bulkhead_dialect::error::{ErrorInfo, ErrorKind};
use bulkhead_dialect::json::JsonError;
use bulkhead_dialect::request::BadRequest;
use bulkhead_dialect::{Dialect, Operation};
use bulkhead_policy::limiter::{Counted, Scope};
use bulkhead_policy::trace::Outcome;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

/// Who is to blame for a failure; a metric label and a log key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Downstream,
    Upstream,
    Internal,
}

impl Source {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Downstream => "downstream",
            Self::Upstream => "upstream",
            Self::Internal => "internal",
        }
    }
}

/// The most detectors that a refusal names: the whole catalogue would fill pages.
const DETECTORS_NAMED_MAX: usize = 20;

/// Code of requests that are refused because there is no room for traces; these leave none.
pub(crate) const TRACES_FULL: &str = "traces_full";

/// One refusal: what the caller is told, and how the trace records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejection {
    status: u16,
    kind: ErrorKind,
    code: &'static str,
    message: Cow<'static, str>,
    outcome: Outcome,
    source: Source,
    detectors: Vec<String>,
    retry_after_seconds: Option<u32>,
    final_answer: bool,
    allow: Option<&'static str>,
    param: Option<&'static str>,
    /// What was short, and whose; nobody's where it is kept for other agents.
    throttled: Option<(Option<Scope>, Counted)>,
}

impl Rejection {
    fn new(status: u16, kind: ErrorKind, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            kind,
            code,
            message: message.into(),
            outcome: Outcome::Refused,
            source: Source::Downstream,
            detectors: Vec::new(),
            retry_after_seconds: None,
            final_answer: false,
            allow: None,
            param: None,
            throttled: None,
        }
    }

    /// A refusal by policy or of a malformed request: repeating it cannot help.
    fn invalid(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { final_answer: true, ..Self::new(400, ErrorKind::InvalidRequest, code, message) }
    }

    fn failed(
        status: u16,
        kind: ErrorKind,
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        let source = if status == 500 { Source::Internal } else { Source::Upstream };
        Self { outcome: Outcome::Failed, source, ..Self::new(status, kind, code, message) }
    }

    // --- steps 1 to 4: the head -----------------------------------------------------------------

    pub(crate) fn framing(violation: Violation) -> Self {
        let status = violation.status().as_u16();
        let allow = matches!(violation, Violation::Method(_)).then_some("GET, HEAD, POST");
        Self { status, allow, ..Self::invalid("malformed_request", violation.to_string()) }
    }

    pub(crate) fn unparsable_head() -> Self {
        Self::invalid("malformed_request", "the request head cannot be parsed")
    }

    /// Missing, malformed, unknown, revoked and expired keys look the same.
    pub(crate) fn unauthorized() -> Self {
        let message = "no valid API key: send a Bulkhead key as `Authorization: Bearer`, `x-api-key`, `api-key` or `x-goog-api-key`, or as `?key=` where Gemini is spoken";
        Self { final_answer: true, ..Self::new(401, ErrorKind::Authentication, "invalid_api_key", message) }
    }

    pub(crate) fn conflicting_keys() -> Self {
        Self::invalid("conflicting_api_keys", "the request carries two different API keys; send exactly one")
    }

    pub(crate) fn not_ready() -> Self {
        let message = "no policy is loaded yet, so no request can be judged; try again shortly";
        Self {
            outcome: Outcome::Refused,
            source: Source::Internal,
            retry_after_seconds: Some(1),
            ..Self::new(503, ErrorKind::Unavailable, "not_ready", message)
        }
    }

    /// The database has not been reached for longer than the policy allows: keys may have been revoked meanwhile.
    pub(crate) fn policy_stale() -> Self {
        let message = "the policy in force could not be confirmed for longer than it allows; try again later";
        Self {
            outcome: Outcome::Refused,
            source: Source::Internal,
            retry_after_seconds: Some(5),
            ..Self::new(503, ErrorKind::Unavailable, "policy_stale", message)
        }
    }

    /// The policy wants no request without a trace, and there is no room for one.
    pub(crate) fn traces_full() -> Self {
        let message =
            "there is no room to record requests, and the policy refuses them then; try again later";
        Self {
            source: Source::Internal,
            retry_after_seconds: Some(5),
            ..Self::new(503, ErrorKind::Unavailable, TRACES_FULL, message)
        }
    }

    /// The policy wants no answer without a trace, and this one's could not be kept.
    pub(crate) fn not_recorded() -> Self {
        let message = "the request could not be recorded, and the policy wants no answer without a record";
        Self {
            outcome: Outcome::Failed,
            source: Source::Internal,
            ..Self::new(503, ErrorKind::Unavailable, "not_recorded", message)
        }
    }

    pub(crate) fn unknown_path() -> Self {
        let served = Operation::ALL.map(Operation::as_str).join(", ");
        let message = format!("this path is not served; served are the paths of {served}");
        Self { final_answer: true, ..Self::new(404, ErrorKind::NotFound, "unknown_path", message) }
    }

    pub(crate) fn method_not_allowed(allow: &'static str) -> Self {
        let message = format!("this path is served with {allow} only");
        Self {
            final_answer: true,
            allow: Some(allow),
            ..Self::new(405, ErrorKind::InvalidRequest, "method_not_allowed", message)
        }
    }

    // --- step 5: admission ------------------------------------------------------------------------

    pub(crate) fn not_allowed(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::invalid(code, message)
    }

    /// No `Retry-After` on purpose: SDKs would sleep until the window rolls over.
    pub(crate) fn budget_exhausted(dialect: Dialect, budget: &str) -> Self {
        let status = if dialect == Dialect::Anthropic { 402 } else { 429 };
        let message = format!("the budget `{budget}` is exhausted for this window");
        Self { final_answer: true, ..Self::new(status, ErrorKind::Quota, "insufficient_quota", message) }
    }

    /// What this node holds of a budget is used up, and nobody can be asked for more.
    pub(crate) fn budget_unknown(budget: &str) -> Self {
        let message = format!(
            "this node has used up its share of the budget `{budget}` and can get no more while the database is away; try again later"
        );
        Self {
            outcome: Outcome::Refused,
            source: Source::Internal,
            retry_after_seconds: Some(5),
            ..Self::new(503, ErrorKind::Unavailable, "budget_unknown", message)
        }
    }

    // --- step 6: the body -------------------------------------------------------------------------

    pub(crate) fn body_too_large(max: usize) -> Self {
        let message = format!("the request body is larger than {max} bytes, or unpacks to more");
        Self { final_answer: true, ..Self::new(413, ErrorKind::TooLarge, "body_too_large", message) }
    }

    pub(crate) fn body_too_slow(deadline: Duration) -> Self {
        let message = format!("the request body did not arrive within {} s", deadline.as_secs());
        Self::new(408, ErrorKind::InvalidRequest, "body_timeout", message)
    }

    pub(crate) fn body_unreadable(error: &pingora::Error) -> Self {
        use pingora::ErrorType::{ConnectionClosed, ReadError, ReadTimedout, WriteError};
        match error.etype() {
            ReadTimedout => {
                Self::new(408, ErrorKind::InvalidRequest, "body_timeout", "the request body stalled")
            }
            ConnectionClosed | ReadError | WriteError => Self::client_gone(),
            _ => Self::invalid("malformed_body", "the request body is not framed as its headers say"),
        }
    }

    pub(crate) fn unknown_encoding() -> Self {
        let message =
            "the Content-Encoding is not one that can be inspected; send identity, gzip, deflate, br or zstd";
        Self { outcome: Outcome::Blocked, ..Self::invalid("uninspectable", message) }
    }

    pub(crate) fn not_json() -> Self {
        let message = "this endpoint takes a JSON body in UTF-8, named once as such; endpoints that take forms and files \
                       (multipart/form-data) are not served";
        Self { outcome: Outcome::Blocked, ..Self::invalid("unsupported_content_type", message) }
    }

    pub(crate) fn undecodable() -> Self {
        let message = "the request body does not decode in its stated Content-Encoding";
        Self { outcome: Outcome::Blocked, ..Self::invalid("uninspectable", message) }
    }

    pub(crate) fn uninspectable() -> Self {
        let message = "the request holds a part that cannot be inspected (binary, token numbers, a text \
                       that stands twice in its object, or in too many encodings), and the policy blocks those";
        Self { outcome: Outcome::Blocked, ..Self::invalid("uninspectable", message) }
    }

    pub(crate) fn bad_request(error: BadRequest) -> Self {
        Self { param: error.param, ..Self::invalid(error.code, error.message) }
    }

    pub(crate) fn bad_json(error: &JsonError) -> Self {
        let message =
            format!("the request body is not JSON: at byte {}, expected {}", error.offset, error.expected);
        Self::invalid("invalid_json", message)
    }

    /// Names the detectors, never the value.
    pub(crate) fn dlp_blocked(direction: &str, detectors: BTreeSet<String>) -> Self {
        let message = if detectors.len() <= DETECTORS_NAMED_MAX {
            format!("the {direction} was blocked by a data-loss-prevention rule")
        } else {
            let count = detectors.len();
            format!("the {direction} was blocked by {count} data-loss-prevention rules, among them these")
        };
        Self {
            kind: ErrorKind::DlpBlocked,
            outcome: Outcome::Blocked,
            detectors: detectors.into_iter().take(DETECTORS_NAMED_MAX).collect(),
            ..Self::invalid("dlp_blocked", message)
        }
    }

    // --- steps 7 to 10: the upstream ----------------------------------------------------------------

    pub(crate) fn upstream_unreachable() -> Self {
        Self::failed(502, ErrorKind::Upstream, "upstream_unreachable", "the upstream could not be reached")
    }

    pub(crate) fn upstream_broken() -> Self {
        Self::failed(502, ErrorKind::Upstream, "upstream_reset", "the upstream broke off its answer")
    }

    pub(crate) fn upstream_timeout() -> Self {
        Self::failed(
            504,
            ErrorKind::UpstreamTimeout,
            "upstream_timeout",
            "the upstream did not answer in time",
        )
    }

    pub(crate) fn answer_too_large(max: usize) -> Self {
        let message =
            format!("the upstream's answer holds more than {max} bytes where it must be inspected whole");
        Self::failed(502, ErrorKind::Upstream, "upstream_answer_too_large", message)
    }

    pub(crate) fn answer_uninspectable() -> Self {
        let message =
            "the upstream's answer is in a form that cannot be inspected, and the policy blocks those";
        Self {
            outcome: Outcome::Blocked,
            source: Source::Upstream,
            ..Self::invalid("uninspectable", message)
        }
    }

    pub(crate) fn internal(doing: &'static str) -> Self {
        let message = format!("an internal error while {doing}; the request id leads to its log entry");
        Self::failed(500, ErrorKind::Upstream, "internal_error", message)
    }

    /// Nobody is left to answer; only the trace sees this.
    pub(crate) fn client_gone() -> Self {
        Self {
            status: 0,
            outcome: Outcome::Failed,
            ..Self::invalid("client_disconnected", "the caller closed the connection")
        }
    }

    /// The running answer is ended at its budget's line.
    #[must_use]
    pub(crate) fn while_streaming(self) -> Self {
        let outcome = if self.kind == ErrorKind::Quota { Outcome::Cut } else { self.outcome };
        Self { outcome, ..self }
    }

    // --- reading -----------------------------------------------------------------------------------

    /// 0 when the caller has left and nothing can be written.
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    pub(crate) fn code(&self) -> &'static str {
        self.code
    }

    pub(crate) fn outcome(&self) -> Outcome {
        self.outcome
    }

    pub(crate) fn source(&self) -> Source {
        self.source
    }

    /// Which limit turned the request away, as labels: whose it is and what it counts.
    pub(crate) fn throttled_by(&self) -> Option<[&'static str; 2]> {
        let (scope, counted) = self.throttled?;
        Some([scope.map_or("share", Scope::as_str), counted.as_str()])
    }

    pub(crate) fn is_client_gone(&self) -> bool {
        self.status == 0
    }

    /// Headers that belong to this refusal, beside the ones every response carries.
    pub(crate) fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        if let Some(seconds) = self.retry_after_seconds {
            headers.push(("retry-after", seconds.to_string()));
        }
        if self.final_answer {
            headers.push(("x-should-retry", "false".to_owned()));
        }
        if let Some(allow) = self.allow {
            headers.push(("allow", allow.to_owned()));
        }
        headers
    }

    /// Hands `write` what the dialect writers need to say it in the caller's terms.
    pub(crate) fn with_info<R>(&self, request_id: &str, write: impl FnOnce(&ErrorInfo<'_>) -> R) -> R {
        let detectors: Vec<&str> = self.detectors.iter().map(String::as_str).collect();
        write(&ErrorInfo {
            kind: self.kind,
            status: self.status,
            code: self.code,
            message: &self.message,
            param: self.param,
            request_id,
            detectors: &detectors,
        })
    }
}

#[cfg(test)]
mod tests;
