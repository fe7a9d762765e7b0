//! Writes refusals in the caller's dialect, as a body or as the last event of a stream.
//!
//! Shapes follow what the providers' own SDKs parse into typed errors. A text of the request or
//! reply never gets in here: DLP refusals carry detector ids only.

use crate::Dialect;
use crate::json::escape;

/// A refusal, before it has a shape.
#[derive(Clone, Copy, Debug)]
pub struct ErrorInfo<'a> {
    /// What kind of refusal it is; decides the dialect's `type`.
    pub kind: ErrorKind,
    /// The HTTP status of the refusal, or what it would be; Gemini's form repeats it.
    pub status: u16,
    /// Stable code for programs, such as `model_not_allowed`.
    pub code: &'a str,
    /// One sentence for people.
    pub message: &'a str,
    /// The request's parameter that is at fault.
    pub param: Option<&'a str>,
    /// The trace id.
    pub request_id: &'a str,
    /// The detectors that led to the refusal. Their ids are appended to the message, because most
    /// SDKs show nothing else, and stand in an own list.
    pub detectors: &'a [&'a str],
}

/// What kind of refusal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No key, or none that counts.
    Authentication,
    /// The request is malformed, or asks what the policy does not allow.
    InvalidRequest,
    /// The key may not do this.
    Permission,
    /// No such path.
    NotFound,
    /// The body is too large.
    TooLarge,
    /// Too many requests for now.
    RateLimit,
    /// A budget is used up.
    Quota,
    /// DLP forbids it.
    DlpBlocked,
    /// The provider could not be reached or broke off.
    Upstream,
    /// The provider took too long.
    UpstreamTimeout,
    /// Bulkhead cannot judge the request right now.
    Unavailable,
}

impl ErrorKind {
    fn openai_type(self) -> &'static str {
        match self {
            Self::Authentication
            | Self::InvalidRequest
            | Self::NotFound
            | Self::TooLarge
            | Self::DlpBlocked => "invalid_request_error",
            Self::Permission => "permission_error",
            Self::RateLimit => "rate_limit_error",
            Self::Quota => "insufficient_quota",
            Self::Upstream | Self::UpstreamTimeout | Self::Unavailable => "server_error",
        }
    }

    fn anthropic_type(self) -> &'static str {
        match self {
            Self::Authentication => "authentication_error",
            Self::InvalidRequest | Self::DlpBlocked => "invalid_request_error",
            Self::Permission => "permission_error",
            Self::NotFound => "not_found_error",
            Self::TooLarge => "request_too_large",
            Self::RateLimit => "rate_limit_error",
            Self::Quota => "billing_error",
            Self::Upstream => "api_error",
            Self::UpstreamTimeout => "timeout_error",
            Self::Unavailable => "overloaded_error",
        }
    }

    /// The canonical code of Google's APIs (`google.rpc.Code`).
    fn gemini_status(self) -> &'static str {
        match self {
            Self::Authentication => "UNAUTHENTICATED",
            Self::InvalidRequest | Self::TooLarge | Self::DlpBlocked => "INVALID_ARGUMENT",
            Self::Permission => "PERMISSION_DENIED",
            Self::NotFound => "NOT_FOUND",
            Self::RateLimit | Self::Quota => "RESOURCE_EXHAUSTED",
            Self::UpstreamTimeout => "DEADLINE_EXCEEDED",
            Self::Upstream | Self::Unavailable => "UNAVAILABLE",
        }
    }

    /// The `error.code` of a failed response. Clients that speak Responses repeat a failed stream
    /// unless the code is one they know to be final; these are the two that fit.
    fn responses_code(self) -> &'static str {
        match self {
            Self::DlpBlocked => "invalid_prompt",
            Self::Quota => "insufficient_quota",
            _ => "server_error",
        }
    }
}

/// The body of a refusal.
///
/// ```
/// use bulkhead_dialect::error::{ErrorInfo, ErrorKind, body};
/// use bulkhead_dialect::Dialect;
///
/// let info = ErrorInfo {
///     kind: ErrorKind::DlpBlocked,
///     status: 400,
///     code: "dlp_blocked",
///     message: "blocked by policy",
///     param: None,
///     request_id: "018f",
///     detectors: &["AWS_ACCESS_KEY"],
/// };
/// assert_eq!(
///     String::from_utf8(body(Dialect::OpenAi, &info)).unwrap(),
///     r#"{"error":{"message":"blocked by policy (AWS_ACCESS_KEY)","type":"invalid_request_error","param":null,"code":"dlp_blocked","detectors":["AWS_ACCESS_KEY"]}}"#,
/// );
/// ```
#[must_use]
pub fn body(dialect: Dialect, info: &ErrorInfo<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    match dialect {
        Dialect::OpenAi => push_openai(info, &mut out),
        Dialect::Anthropic => push_anthropic(info, &mut out),
        Dialect::Gemini => push_gemini(info, &mut out),
    }
    out
}

fn push_openai(info: &ErrorInfo<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"error\":");
    push_openai_error(info, out);
    out.push(b'}');
}

fn push_openai_error(info: &ErrorInfo<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"message\":");
    push_message(info, out);
    out.extend_from_slice(b",\"type\":");
    push_string(info.kind.openai_type(), out);
    out.extend_from_slice(b",\"param\":");
    match info.param {
        Some(param) => push_string(param, out),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"code\":");
    push_string(info.code, out);
    push_detectors(info, out);
    out.push(b'}');
}

fn push_anthropic(info: &ErrorInfo<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"error\",\"error\":{\"type\":");
    push_string(info.kind.anthropic_type(), out);
    out.extend_from_slice(b",\"message\":");
    push_message(info, out);
    // Not a field of this dialect, and ignored by its SDKs; programs can tell cases apart.
    out.extend_from_slice(b",\"code\":");
    push_string(info.code, out);
    push_detectors(info, out);
    out.extend_from_slice(b"},\"request_id\":");
    push_string(info.request_id, out);
    out.push(b'}');
}

fn push_gemini(info: &ErrorInfo<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{{\"error\":{{\"code\":{}", info.status).as_bytes());
    out.extend_from_slice(b",\"message\":");
    push_message(info, out);
    out.extend_from_slice(b",\"status\":");
    push_string(info.kind.gemini_status(), out);
    out.extend_from_slice(b",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\"");
    out.extend_from_slice(b",\"reason\":");
    push_string(&info.code.to_ascii_uppercase(), out);
    out.extend_from_slice(b",\"domain\":\"bulkhead\",\"metadata\":{\"request_id\":");
    push_string(info.request_id, out);
    if let Some(param) = info.param {
        out.extend_from_slice(b",\"param\":");
        push_string(param, out);
    }
    if !info.detectors.is_empty() {
        // The values of this map are strings.
        out.extend_from_slice(b",\"detectors\":");
        push_string(&info.detectors.join(","), out);
    }
    out.extend_from_slice(b"}}]}}");
}

/// What the stream has said about the response so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResponseSoFar {
    pub(crate) id: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) created_at: u64,
    pub(crate) sequence_number: u64,
}

/// `data: {"error":{..}}` for Chat Completions, Completions and Gemini, which SDKs raise at once,
/// so no `[DONE]` follows; a named `error` event for Anthropic, whose SDKs skip unnamed ones.
pub(crate) fn plain_event(dialect: Dialect, info: &ErrorInfo<'_>) -> Vec<u8> {
    let name = match dialect {
        Dialect::OpenAi | Dialect::Gemini => "",
        Dialect::Anthropic => "event: error\n",
    };
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(&body(dialect, info));
    out.extend_from_slice(b"\n\n");
    out
}

/// `response.failed` with a whole response object, because clients that read the events build one from it, and know by its code
/// whether to ask again; and beside it an error as in Chat Completions. OpenAI's SDKs raise what has one, and would else hand out the
/// event like any other: to a program that does not look for it, a cut answer is a finished one.
pub(crate) fn responses_event(info: &ErrorInfo<'_>, so_far: &ResponseSoFar) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(b"event: response.failed\ndata: {\"type\":\"response.failed\"");
    out.extend_from_slice(format!(",\"sequence_number\":{}", so_far.sequence_number).as_bytes());
    out.extend_from_slice(b",\"error\":");
    push_openai_error(info, &mut out);
    out.extend_from_slice(b",\"response\":{\"id\":");
    match &so_far.id {
        Some(id) => push_string(id, &mut out),
        None => push_string(&format!("resp_{}", info.request_id.replace('-', "")), &mut out),
    }
    out.extend_from_slice(b",\"object\":\"response\",\"created_at\":");
    out.extend_from_slice(so_far.created_at.to_string().as_bytes());
    out.extend_from_slice(b",\"status\":\"failed\",\"error\":{\"code\":");
    push_string(info.kind.responses_code(), &mut out);
    out.extend_from_slice(b",\"message\":");
    push_message(info, &mut out);
    push_detectors(info, &mut out);
    out.extend_from_slice(
        b"},\"incomplete_details\":null,\"instructions\":null,\"max_output_tokens\":null,\"model\":",
    );
    push_string(so_far.model.as_deref().unwrap_or_default(), &mut out);
    out.extend_from_slice(
        b",\"output\":[],\"parallel_tool_calls\":true,\"previous_response_id\":null,\
          \"reasoning\":{\"effort\":null,\"summary\":null},\"temperature\":null,\
          \"text\":{\"format\":{\"type\":\"text\"}},\"tool_choice\":\"auto\",\"tools\":[],\
          \"top_p\":null,\"truncation\":\"disabled\",\"usage\":null,\"user\":null,\
          \"metadata\":{}}}\n\n",
    );
    out
}

fn push_message(info: &ErrorInfo<'_>, out: &mut Vec<u8>) {
    out.push(b'"');
    escape(info.message, out);
    if !info.detectors.is_empty() {
        escape(&format!(" ({})", info.detectors.join(", ")), out);
    }
    out.push(b'"');
}

fn push_detectors(info: &ErrorInfo<'_>, out: &mut Vec<u8>) {
    for (index, detector) in info.detectors.iter().enumerate() {
        let before = if index == 0 { ",\"detectors\":[" } else { "," };
        out.extend_from_slice(before.as_bytes());
        push_string(detector, out);
    }
    if !info.detectors.is_empty() {
        out.push(b']');
    }
}

fn push_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escape(text, out);
    out.push(b'"');
}

#[cfg(test)]
mod tests;
