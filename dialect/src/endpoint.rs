//! Which dialect and operation a request line stands for.
//!
//! Only paths whose bodies this crate can read are served; everything else is unknown, because a
//! body nobody reads would pass uninspected and unmetered.

use std::fmt;
use std::str::FromStr;

/// A provider's family of formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// OpenAI and everything compatible with it.
    OpenAi,
    /// Anthropic.
    Anthropic,
}

/// What a request asks the provider to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// OpenAI `/v1/chat/completions`.
    Chat,
    /// OpenAI `/v1/completions`.
    Completions,
    /// OpenAI `/v1/responses`.
    Responses,
    /// OpenAI `/v1/embeddings`.
    Embeddings,
    /// `/v1/models` and `/v1/models/{id}` of either dialect.
    Models,
    /// Anthropic `/v1/messages`.
    Messages,
    /// Anthropic `/v1/messages/count_tokens`.
    CountTokens,
}

/// A dialect and the operation within it; made by [`classify`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The format of bodies, streams and errors.
    pub dialect: Dialect,
    /// What is asked.
    pub operation: Operation,
}

/// A request line that is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unknown {
    /// The dialect the caller most likely speaks, so that the refusal has a shape it understands.
    pub nearest: Dialect,
    /// Why it is not served.
    pub reason: UnknownReason,
}

/// Why a request line is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownReason {
    /// No served path is spelled like this.
    #[error("no such path")]
    NoSuchPath,
    /// The path is served, but not with this method.
    #[error("method not allowed, allowed is {allow}")]
    MethodNotAllowed {
        /// The value of the `Allow` header.
        allow: &'static str,
    },
}

/// A dialect or operation name that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown name, expected one of: {expected}")]
pub struct UnknownName {
    /// The names that exist.
    pub expected: &'static str,
}

impl Dialect {
    /// The name used in policies, metrics and traces.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Dialect {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        match name {
            "openai" => Ok(Self::OpenAi),
            "anthropic" => Ok(Self::Anthropic),
            _ => Err(UnknownName { expected: "openai, anthropic" }),
        }
    }
}

impl Operation {
    /// Every operation, in the order of documentation.
    pub const ALL: [Self; 7] = [
        Self::Chat,
        Self::Completions,
        Self::Responses,
        Self::Embeddings,
        Self::Models,
        Self::Messages,
        Self::CountTokens,
    ];

    /// The name used in policies, metrics and traces.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::Responses => "responses",
            Self::Embeddings => "embeddings",
            Self::Models => "models",
            Self::Messages => "messages",
            Self::CountTokens => "count_tokens",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Operation {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|operation| operation.as_str() == name).ok_or(UnknownName {
            expected: "chat, completions, responses, embeddings, models, messages, count_tokens",
        })
    }
}

/// Tells which endpoint a method and path stand for.
///
/// `path` comes without the query. `anthropic_headers` says whether the request carries
/// `anthropic-version` or another header of that dialect; it decides only where both dialects
/// use one path (`/v1/models`).
///
/// ```
/// use bulkhead_dialect::{classify, Dialect, Operation, UnknownReason};
///
/// let endpoint = classify("POST", "/v1/messages", false)?;
/// assert_eq!((endpoint.dialect, endpoint.operation), (Dialect::Anthropic, Operation::Messages));
///
/// let refused = classify("GET", "/v1/messages", false).unwrap_err();
/// assert_eq!(refused.reason, UnknownReason::MethodNotAllowed { allow: "POST" });
/// # Ok::<(), bulkhead_dialect::Unknown>(())
/// ```
///
/// # Errors
/// [`Unknown`] if the path is not served or the method does not fit. A path in any other than its
/// plain spelling (`//`, `..`, an encoded slash, a trailing slash) is not served: the provider
/// might resolve it to something else than we did.
pub fn classify(method: &str, path: &str, anthropic_headers: bool) -> Result<Endpoint, Unknown> {
    let mount = mount(path);
    let spoken = match mount {
        Some(dialect) => dialect,
        None if anthropic_headers => Dialect::Anthropic,
        None => Dialect::OpenAi,
    };
    let Some(endpoint) = endpoint(unmounted(path), spoken)
        // A mount serves its own dialect only.
        .filter(|endpoint| mount.is_none_or(|dialect| dialect == endpoint.dialect))
    else {
        let anthropic = mount.is_none() && path.starts_with("/v1/messages");
        let nearest = if anthropic { Dialect::Anthropic } else { spoken };
        return Err(Unknown { nearest, reason: UnknownReason::NoSuchPath });
    };
    let allow = if endpoint.operation == Operation::Models { "GET" } else { "POST" };
    if method == allow {
        Ok(endpoint)
    } else {
        let reason = UnknownReason::MethodNotAllowed { allow };
        Err(Unknown { nearest: endpoint.dialect, reason })
    }
}

/// The path as the provider knows it: without our `/openai` or `/anthropic` mount.
///
/// ```
/// assert_eq!(bulkhead_dialect::unmounted("/anthropic/v1/messages"), "/v1/messages");
/// assert_eq!(bulkhead_dialect::unmounted("/v1/messages"), "/v1/messages");
/// ```
#[must_use]
pub fn unmounted(path: &str) -> &str {
    let rest = path.strip_prefix("/openai").or_else(|| path.strip_prefix("/anthropic"));
    rest.filter(|rest| rest.starts_with("/v1/")).unwrap_or(path)
}

fn mount(path: &str) -> Option<Dialect> {
    if path.starts_with("/openai/") {
        Some(Dialect::OpenAi)
    } else if path.starts_with("/anthropic/") {
        Some(Dialect::Anthropic)
    } else {
        None
    }
}

fn endpoint(path: &str, spoken: Dialect) -> Option<Endpoint> {
    let (dialect, operation) = match path {
        "/v1/chat/completions" => (Dialect::OpenAi, Operation::Chat),
        "/v1/completions" => (Dialect::OpenAi, Operation::Completions),
        "/v1/responses" => (Dialect::OpenAi, Operation::Responses),
        "/v1/embeddings" => (Dialect::OpenAi, Operation::Embeddings),
        "/v1/messages" => (Dialect::Anthropic, Operation::Messages),
        "/v1/messages/count_tokens" => (Dialect::Anthropic, Operation::CountTokens),
        "/v1/models" => (spoken, Operation::Models),
        _ => {
            let id = path.strip_prefix("/v1/models/")?;
            is_plain_segment(id).then_some((spoken, Operation::Models))?
        }
    };
    Some(Endpoint { dialect, operation })
}

/// Whether one path segment means the same to every server: printable, no separator in any
/// spelling, no dot segment, and no escape of a character that would make it one.
fn is_plain_segment(segment: &str) -> bool {
    let mut rest = segment.as_bytes();
    if rest.is_empty() || rest.iter().all(|&byte| byte == b'.') {
        return false;
    }
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            if !byte.is_ascii_graphic() || matches!(byte, b'/' | b'\\' | b'?' | b'#') {
                return false;
            }
            continue;
        }
        let Some((hex, tail)) = rest.split_at_checked(2) else { return false };
        let decoded = std::str::from_utf8(hex).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match decoded {
            Some(byte) if byte.is_ascii_graphic() && !b"/\\.%?#".contains(&byte) => rest = tail,
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests;
