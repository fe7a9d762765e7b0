//! Which dialect and operation a request line stands for.
//!
//! Only paths whose bodies this crate can read are served; everything else is unknown, because a
//! body nobody reads would pass uninspected and unmetered.

use std::fmt;
use std::str::FromStr;

pub(crate) mod gemini;

/// A provider's family of formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// OpenAI and everything compatible with it.
    OpenAi,
    /// Anthropic.
    Anthropic,
    /// Google's Gemini API.
    Gemini,
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
    /// OpenAI `/v1/embeddings`, Gemini `:embedContent` and `:batchEmbedContents`.
    Embeddings,
    /// The list of models, and one of them, of any dialect.
    Models,
    /// Anthropic `/v1/messages`.
    Messages,
    /// Anthropic `/v1/messages/count_tokens`, Gemini `:countTokens`.
    CountTokens,
    /// Gemini `:generateContent` and `:streamGenerateContent`.
    GenerateContent,
    /// OpenAI `/v1/moderations`.
    Moderations,
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
    /// Every dialect, in the order of documentation.
    pub const ALL: [Self; 3] = [Self::OpenAi, Self::Anthropic, Self::Gemini];

    /// The name used in policies, metrics and traces.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
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
        let named = Self::ALL.into_iter().find(|dialect| dialect.as_str() == name);
        named.ok_or(UnknownName { expected: "openai, anthropic, gemini" })
    }
}

impl Operation {
    /// Every operation, in the order of documentation.
    pub const ALL: [Self; 9] = [
        Self::Chat,
        Self::Completions,
        Self::Responses,
        Self::Embeddings,
        Self::Models,
        Self::Messages,
        Self::CountTokens,
        Self::GenerateContent,
        Self::Moderations,
    ];

    /// Whether providers charge nothing for it, whatever number of tokens its answer names: the answer to
    /// [`Self::CountTokens`] names those of a request that was never made.
    #[must_use]
    pub fn is_free(self) -> bool {
        matches!(self, Self::Models | Self::CountTokens | Self::Moderations)
    }

    /// Whether an answer is made of choices that are written side by side, each to its own end.
    #[must_use]
    pub fn has_choices(self) -> bool {
        matches!(self, Self::Chat | Self::Completions | Self::GenerateContent)
    }

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
            Self::GenerateContent => "generate_content",
            Self::Moderations => "moderations",
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
            expected: "chat, completions, responses, embeddings, models, messages, count_tokens, generate_content, moderations",
        })
    }
}

/// Tells which endpoint a method and path stand for.
///
/// `path` comes without the query. `spoken` is the dialect that the headers speak, if they speak
/// one (`anthropic-version`, `x-goog-api-key`); it decides only where dialects share a path
/// (`/v1/models`).
///
/// ```
/// use bulkhead_dialect::{classify, Dialect, Operation, UnknownReason};
///
/// let endpoint = classify("POST", "/v1/messages", None)?;
/// assert_eq!((endpoint.dialect, endpoint.operation), (Dialect::Anthropic, Operation::Messages));
///
/// let endpoint = classify("POST", "/v1beta/models/gemini-2.5-flash:streamGenerateContent", None)?;
/// assert_eq!((endpoint.dialect, endpoint.operation), (Dialect::Gemini, Operation::GenerateContent));
///
/// let refused = classify("GET", "/v1/messages", None).unwrap_err();
/// assert_eq!(refused.reason, UnknownReason::MethodNotAllowed { allow: "POST" });
/// # Ok::<(), bulkhead_dialect::Unknown>(())
/// ```
///
/// # Errors
/// [`Unknown`] if the path is not served or the method does not fit. A path in any other than its
/// plain spelling (`//`, `..`, an encoded slash, a trailing slash) is not served: the provider
/// might resolve it to something else than we did.
pub fn classify(method: &str, path: &str, spoken: Option<Dialect>) -> Result<Endpoint, Unknown> {
    let mount = mount(path);
    let nearest = mount.or_else(|| path_dialect(path)).or(spoken).unwrap_or(Dialect::OpenAi);
    let Some(endpoint) = endpoint(method, unmounted(path), nearest)
        // A mount serves its own dialect only.
        .filter(|endpoint| mount.is_none_or(|dialect| dialect == endpoint.dialect))
    else {
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

/// The path as the provider knows it: without our `/openai`, `/anthropic` or `/gemini` mount.
///
/// ```
/// assert_eq!(bulkhead_dialect::unmounted("/anthropic/v1/messages"), "/v1/messages");
/// assert_eq!(bulkhead_dialect::unmounted("/v1/messages"), "/v1/messages");
/// ```
#[must_use]
pub fn unmounted(path: &str) -> &str {
    let rest = mount(path).and_then(|dialect| path.strip_prefix('/')?.strip_prefix(dialect.as_str()));
    rest.filter(|rest| rest.starts_with("/v1/") || rest.starts_with("/v1beta/")).unwrap_or(path)
}

fn mount(path: &str) -> Option<Dialect> {
    let (first, _) = path.strip_prefix('/')?.split_once('/')?;
    first.parse().ok()
}

/// The dialect that alone has paths like this one.
fn path_dialect(path: &str) -> Option<Dialect> {
    if path.starts_with("/v1/messages") {
        Some(Dialect::Anthropic)
    } else if path.starts_with("/v1beta/") {
        Some(Dialect::Gemini)
    } else {
        None
    }
}

fn endpoint(method: &str, path: &str, spoken: Dialect) -> Option<Endpoint> {
    let (dialect, operation) = match path {
        "/v1/chat/completions" => (Dialect::OpenAi, Operation::Chat),
        "/v1/completions" => (Dialect::OpenAi, Operation::Completions),
        "/v1/responses" => (Dialect::OpenAi, Operation::Responses),
        "/v1/embeddings" => (Dialect::OpenAi, Operation::Embeddings),
        "/v1/moderations" => (Dialect::OpenAi, Operation::Moderations),
        "/v1/messages" => (Dialect::Anthropic, Operation::Messages),
        "/v1/messages/count_tokens" => (Dialect::Anthropic, Operation::CountTokens),
        "/v1/models" => (spoken, Operation::Models),
        "/v1beta/models" => (Dialect::Gemini, Operation::Models),
        _ => match gemini::Call::read(path) {
            // Elsewhere a model's name may contain a colon, and is only asked for with GET.
            Some(call) if method != "GET" || spoken == Dialect::Gemini => {
                (Dialect::Gemini, call.method.operation())
            }
            _ => {
                let (spoken, id) = match path.strip_prefix("/v1beta/models/") {
                    Some(id) => (Dialect::Gemini, id),
                    None => (spoken, path.strip_prefix("/v1/models/")?),
                };
                let is_plain = is_plain_segment(id) && !(spoken == Dialect::Gemini && id.contains(':'));
                is_plain.then_some((spoken, Operation::Models))?
            }
        },
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
