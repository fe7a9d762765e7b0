//! Step 8: the request as the upstream gets it, and the head of the reply as the caller gets it.
//!
//! Both heads are written from scratch: what is not copied on purpose does not pass.

use crate::identify::{is_credential, is_credential_parameter};
use crate::rate_headers::is_rate_limit;
use bulkhead_dialect::{Dialect, Endpoint, unmounted};
use bulkhead_policy::address::BaseUrl;
use bulkhead_policy::compile::Upstream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use pingora::http::{RequestHeader, ResponseHeader};
use secrecy::ExposeSecret;
use std::borrow::Cow;

/// Headers of one connection, not of the message; each side has its own.
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// Request headers that we set ourselves, that say where the agent is, or that would make another request of it.
const NOT_FORWARDED: [&str; 10] = [
    "host",
    "content-length",
    "content-encoding",
    "accept-encoding",
    "expect",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-http-method-override",
];

pub(crate) const X_REQUEST_ID: &str = "x-request-id";
pub(crate) const REQUEST_ID: &str = "request-id";
pub(crate) const POLICY_REVISION: &str = "x-bulkhead-policy-revision";
pub(crate) const COST_USD: &str = "x-bulkhead-cost-usd";

/// Whether `connection` names this header as belonging to the connection only.
fn nominated(connection: &HeaderMap, name: &HeaderName) -> bool {
    let values = connection.get_all(header::CONNECTION).iter();
    let mut tokens = values.flat_map(|value| value.as_bytes().split(|b| *b == b','));
    tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(name.as_str().as_bytes()))
}

/// Writes the upstream's request head: the tenant's credential in, the agent's key out.
pub(crate) fn request_head(
    caller: &RequestHeader,
    endpoint: Endpoint,
    upstream: &Upstream,
    body_len: usize,
) -> pingora::Result<RequestHeader> {
    let path = unmounted(caller.uri.path());
    let query = caller.uri.query().map(forwarded_query).unwrap_or_default();
    let mark = if query.is_empty() { "" } else { "?" };
    let target = format!("{}{path}{mark}{query}", upstream.base.path_prefix);
    let mut head =
        RequestHeader::build(caller.method.clone(), target.as_bytes(), Some(caller.headers.len() + 4))?;
    for (name, value) in forwarded_headers(&caller.headers) {
        head.append_header(name.clone(), value.clone())?;
    }
    head.insert_header(header::HOST, authority(&upstream.base))?;
    head.insert_header(header::ACCEPT_ENCODING, "identity")?;
    if caller.method != Method::GET {
        head.insert_header(header::CONTENT_LENGTH, body_len)?;
    }
    if let Some(credential) = &upstream.credential {
        let secret = credential.secret.expose_secret();
        let (name, value) = match endpoint.dialect {
            Dialect::OpenAi => (header::AUTHORIZATION, format!("Bearer {secret}")),
            Dialect::Anthropic => (HeaderName::from_static("x-api-key"), secret.to_owned()),
            Dialect::Gemini => (HeaderName::from_static("x-goog-api-key"), secret.to_owned()),
        };
        let mut value = HeaderValue::from_str(&value).map_err(|_| {
            pingora::Error::explain(pingora::ErrorType::InternalError, "credential is no header value")
        })?;
        value.set_sensitive(true);
        head.insert_header(name, value)?;
    }
    Ok(head)
}

/// Host and port as an upstream expects to be called; the scheme's own port is left out.
fn authority(base: &BaseUrl) -> String {
    let host = if base.host.contains(':') { format!("[{}]", base.host) } else { base.host.clone() };
    let default_port = if base.tls { 443 } else { 80 };
    if base.port == default_port { host } else { format!("{host}:{}", base.port) }
}

/// The caller's headers that go upstream.
fn forwarded_headers(headers: &HeaderMap) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    headers.iter().filter(|(name, _)| {
        let dropped = HOP_BY_HOP.contains(&name.as_str())
            || NOT_FORWARDED.contains(&name.as_str())
            || is_credential(name)
            || name.as_str().starts_with("x-bulkhead-")
            || nominated(headers, name);
        !dropped
    })
}

/// Everything of the head that goes upstream in the caller's own words.
pub(crate) fn forwarded_texts(caller: &RequestHeader) -> impl Iterator<Item = Cow<'_, [u8]>> {
    let query = caller.uri.query().map(|query| Cow::Owned(forwarded_query(query).into_bytes()));
    let headers = forwarded_headers(&caller.headers).map(|(_, value)| Cow::Borrowed(value.as_bytes()));
    std::iter::once(Cow::Borrowed(caller.uri.path().as_bytes())).chain(query).chain(headers)
}

/// The query as it goes upstream: plain names only, and no credential.
fn forwarded_query(query: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let kept = query.split('&').filter(|pair| {
        let name = pair.split('=').next().unwrap_or("");
        !name.is_empty() && name.bytes().all(is_plain) && !is_credential_parameter(name)
    });
    kept.collect::<Vec<_>>().join("&")
}

/// Whether a content type names characters other than those in which texts are inspected.
pub(crate) fn names_other_charset(content_type: &[u8]) -> bool {
    let named = content_type.to_ascii_lowercase();
    named.split(|byte| matches!(byte, b';' | b',')).any(|part| {
        let charset = part.trim_ascii().strip_prefix(b"charset").map(<[u8]>::trim_ascii_start);
        let charset = charset.and_then(|rest| rest.strip_prefix(b"=")).map(<[u8]>::trim_ascii);
        charset.is_some_and(|charset| {
            !matches!(charset, b"utf-8" | b"utf8" | b"\"utf-8\"" | b"\"utf8\"" | b"us-ascii")
        })
    })
}

/// The content type of an answer that was inspected as UTF-8, so that its reader takes it for that, too.
fn in_utf8(content_type: &HeaderValue) -> HeaderValue {
    if !names_other_charset(content_type.as_bytes()) {
        return content_type.clone();
    }
    let media = content_type.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    let named = [media.trim_ascii(), b"; charset=utf-8"].concat();
    HeaderValue::from_bytes(&named).unwrap_or_else(|_| HeaderValue::from_static("text/plain; charset=utf-8"))
}

/// Writes the head of the reply, with the provider's headers whose value `passes`. The caller adds framing.
pub(crate) fn response_head(
    upstream: &ResponseHeader,
    ours: &[(HeaderName, HeaderValue)],
    passes: impl Fn(&HeaderValue) -> bool,
) -> pingora::Result<ResponseHeader> {
    let mut head = ResponseHeader::build(upstream.status, Some(upstream.headers.len() + ours.len() + 2))?;
    let tells_limits = ours.iter().any(|(name, _)| is_rate_limit(name));
    for (name, value) in &upstream.headers {
        if HOP_BY_HOP.contains(&name.as_str())
            || name == header::CONTENT_LENGTH
            || name == header::SET_COOKIE
            || name == header::CONTENT_ENCODING
            || name.as_str().starts_with("x-bulkhead-")
            || nominated(&upstream.headers, name)
            || tells_limits && is_rate_limit(name)
            || !passes(value)
        {
            continue;
        }
        if name == header::CONTENT_TYPE {
            if !head.headers.contains_key(header::CONTENT_TYPE) {
                head.insert_header(name.clone(), in_utf8(value))?;
            }
            continue;
        }
        // Ours name the trace; the provider's own stay readable beside them.
        if name == X_REQUEST_ID || name == REQUEST_ID {
            head.append_header("x-upstream-request-id", value.clone())?;
        } else {
            head.append_header(name.clone(), value.clone())?;
        }
    }
    for (name, value) in ours {
        head.insert_header(name.clone(), value.clone())?;
    }
    Ok(head)
}

#[cfg(test)]
mod tests;
