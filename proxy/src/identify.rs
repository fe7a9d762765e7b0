//! Step 2: which API key does the request show?

use crate::rejection::Rejection;
use bulkhead_policy::api_key::ApiKey;
use http::{HeaderMap, HeaderName, header};

/// Where SDKs put their key. `Authorization` comes first because it alone needs a scheme.
const KEY_HEADERS: [&str; 3] = ["x-api-key", "api-key", "x-goog-api-key"];

/// Headers that carry a credential of the caller; none of them ever goes upstream.
pub(crate) fn is_credential(name: &HeaderName) -> bool {
    name == header::AUTHORIZATION
        || name == header::PROXY_AUTHORIZATION
        || name == header::COOKIE
        || KEY_HEADERS.contains(&name.as_str())
}

/// Reads the one API key of a request.
///
/// # Errors
/// 401 without a well-formed key, 400 with two different ones: a proxy before us and we might each pick another.
pub(crate) fn api_key(headers: &HeaderMap) -> Result<ApiKey, Rejection> {
    let bearer = headers.get_all(header::AUTHORIZATION).iter().map(|value| bearer_token(value.as_bytes()));
    let plain =
        KEY_HEADERS.iter().flat_map(|name| headers.get_all(*name)).map(|value| value.as_bytes().trim_ascii());
    let mut shown: Option<&[u8]> = None;
    for token in bearer.chain(plain) {
        match shown {
            Some(first) if first != token => return Err(Rejection::conflicting_keys()),
            _ => shown = Some(token),
        }
    }
    let text = shown.and_then(|token| std::str::from_utf8(token).ok()).ok_or_else(Rejection::unauthorized)?;
    ApiKey::parse(text).map_err(|_| Rejection::unauthorized())
}

/// The token of a `Bearer` credential; any other scheme yields itself, which is no key.
fn bearer_token(value: &[u8]) -> &[u8] {
    match value.split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token.trim_ascii(),
        _ => value,
    }
}

#[cfg(test)]
mod tests;
