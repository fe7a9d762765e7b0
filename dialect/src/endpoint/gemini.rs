//! Gemini's paths: `/v1beta/models/{model}:{method}`. Model and method stand in the path alone.

use std::borrow::Cow;

use super::Operation;

/// A model's name is at most this long.
const MODEL_BYTES_MAX: usize = 256;

/// What a path calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call<'p> {
    /// `gemini-2.5-flash`, or with its collection where that is not `models`: `tunedModels/mine`.
    pub(crate) model: Cow<'p, str>,
    pub(crate) method: Method,
}

/// What is asked of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Generate,
    StreamGenerate,
    CountTokens,
    Embed,
    BatchEmbed,
}

impl Method {
    pub(crate) fn operation(self) -> Operation {
        match self {
            Self::Generate | Self::StreamGenerate => Operation::GenerateContent,
            Self::CountTokens => Operation::CountTokens,
            Self::Embed | Self::BatchEmbed => Operation::Embeddings,
        }
    }
}

impl<'p> Call<'p> {
    /// Reads a path without mount and query.
    ///
    /// `None` for anything that two servers could read in two ways: a second colon, a method in
    /// another spelling, something behind it, an escape of anything but a letter of the name.
    pub(crate) fn read(path: &'p str) -> Option<Self> {
        let path = path.strip_prefix("/v1beta/").or_else(|| path.strip_prefix("/v1/"))?;
        let (collection, rest) = path.split_once('/')?;
        let (id, method) = rest.split_once(':')?;
        let method = match method {
            "generateContent" => Method::Generate,
            "streamGenerateContent" => Method::StreamGenerate,
            "countTokens" => Method::CountTokens,
            "embedContent" => Method::Embed,
            "batchEmbedContents" => Method::BatchEmbed,
            _ => return None,
        };
        let id = decoded(id)?;
        let model = match collection {
            "models" => id,
            "tunedModels" => Cow::Owned(format!("tunedModels/{id}")),
            _ => return None,
        };
        (model.len() <= MODEL_BYTES_MAX).then_some(Self { model, method })
    }

    /// Whether a body's `model` names this call's model: `models/gemini-2.5-flash`.
    pub(crate) fn is_model(&self, name: &str) -> bool {
        name.strip_prefix("models/").unwrap_or(name) == self.model
    }
}

/// A model's id without percent-escapes. What may be escaped are the characters that mean
/// themselves either way (RFC 3986 section 2.3).
fn decoded(id: &str) -> Option<Cow<'_, str>> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let mut name = Cow::Borrowed(id);
    if id.contains('%') {
        let mut parts = id.split('%');
        let mut plain = String::from(parts.next()?);
        for part in parts {
            let (hex, rest) = part.split_at_checked(2)?;
            let is_hex = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
            let byte = u8::from_str_radix(hex, 16).ok().filter(|byte| is_hex && is_name(*byte))?;
            plain.push(char::from(byte));
            plain.push_str(rest);
        }
        name = Cow::Owned(plain);
    }
    let dots = name.bytes().all(|byte| byte == b'.');
    (!dots && name.bytes().all(is_name)).then_some(name)
}

#[cfg(test)]
mod tests;
