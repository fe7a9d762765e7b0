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

/// Parameters of a query that carry a credential of the caller: a key, and Google's names for an access token.
const KEY_PARAMETER: &str = "key";
const TOKEN_PARAMETERS: [&str; 2] = ["access_token", "oauth_token"];

/// Whether a query's parameter carries a credential of the caller; none of them ever goes upstream.
pub(crate) fn is_credential_parameter(name: &str) -> bool {
    let names = TOKEN_PARAMETERS.iter().chain([&KEY_PARAMETER]);
    names.into_iter().any(|credential| name.eq_ignore_ascii_case(credential))
}

/// Reads the one API key of a request. `query` is where the caller's dialect allows a key there.
///
/// # Errors
/// 401 without a well-formed key, 400 with two different ones: a proxy before us and we might each pick another.
pub(crate) fn api_key(headers: &HeaderMap, query: Option<&str>) -> Result<ApiKey, Rejection> {
    let bearer = headers.get_all(header::AUTHORIZATION).iter().map(|value| bearer_token(value.as_bytes()));
    let plain =
        KEY_HEADERS.iter().flat_map(|name| headers.get_all(*name)).map(|value| value.as_bytes().trim_ascii());
    let pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    // A key consists of characters that need no escape.
    let asked = pairs.filter(|(name, _)| *name == KEY_PARAMETER).map(|(_, value)| value.as_bytes());
    let mut shown: Option<&[u8]> = None;
    for token in bearer.chain(plain).chain(asked) {
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
