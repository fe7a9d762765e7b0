//! How many input tokens a request may come to.
//!
//! 1. Text is at most as many tokens as it has bytes, and JSON around it takes more bytes than the model's own framing takes
//!    tokens: the size of a body is a bound that needs no look at it. Base64 is left out of it.
//! 2. Images, sound and files cost by the providers' own rules, of which the dearest case counts.
//! 3. What a provider keeps and the request only names (a conversation, a prompt, a cache, a file) cannot be measured
//!    here: each counts as `KEPT_TOKENS`.
//! 4. Closer is [`count`], which reads every string of a body.

use crate::json::{Document, Kind, StringSpan, Value, unescape};
use crate::tokens::{Counter, Encoding};
use crate::{Dialect, Endpoint, Operation};

use super::is_a;
use super::opaque::{data_url, has_media, is_token_array};

/// What the provider's own words around tools take: Anthropic says up to 800 tokens, for tools of its own.
const TOOLS_TOKENS: u64 = 1_000;
/// Most of what is kept is smaller, and little is larger than half of a usual window.
const KEPT_TOKENS: u64 = 100_000;
/// Base64 bytes of sound that are a token, at least: Gemini counts 32 tokens a second, of which speech fills 500 bytes when it
/// is compressed as far as it goes.
const AUDIO_BYTES_PER_TOKEN: u64 = 16;
/// A part most likely takes a fifth of the dearest case.
const LIKELY_PART: u64 = 5;
/// Around each conversation, beside what its names take.
const FRAMING_TOKENS: u64 = 16;

/// What a request carries beside its text, and what it asks for that has a price of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Whether an image, sound or file is part of the request, as base64, or in Gemini's file store.
    pub is_binary: bool,
    /// Images, however they are given.
    pub images: u64,
    /// Sound, in bytes of base64.
    pub audio_bytes: u64,
    /// Files that are no image and no sound, in bytes of base64.
    pub file_bytes: u64,
    /// All base64, in bytes.
    pub base64_bytes: u64,
    /// Conversations, prompts, caches and files that the provider keeps or fetches.
    pub kept: u64,
    /// Whether the model may call tools.
    pub has_tools: bool,
    /// Whether the answer shall be spoken.
    pub speaks: bool,
    /// Whether input shall be cached for an hour.
    pub long_cache: bool,
}

impl Parts {
    /// Looks once at each member of a request.
    pub(super) fn of(document: &Document<'_>) -> Self {
        Look::at(document).parts
    }

    /// Whether sound is part of the request.
    #[must_use]
    pub fn has_audio(&self) -> bool {
        self.audio_bytes > 0
    }

    /// The most that these parts come to in tokens.
    fn tokens_max(&self, dialect: Dialect, model: &str) -> u64 {
        let images = self.images.saturating_mul(image_tokens(dialect, model));
        let tools = if self.has_tools { TOOLS_TOKENS } else { 0 };
        images
            .saturating_add(self.audio_bytes.div_ceil(AUDIO_BYTES_PER_TOKEN))
            // A page that is mostly text takes as many tokens as its file has bytes, compressed.
            .saturating_add(self.file_bytes)
            .saturating_add(self.kept.saturating_mul(KEPT_TOKENS))
            .saturating_add(tools)
    }
}

/// What a look at the members finds.
///
/// Goes by the members' names wherever they stand, not by the place a dialect has for them: providers add places faster than
/// we would learn of them.
#[derive(Default)]
struct Look {
    parts: Parts,
    /// Where the strings begin that are base64.
    base64: Vec<usize>,
    /// Files, by their blocks, and those of them whose content is in the request.
    files: u64,
    contents: u64,
    /// Whether an object says that it is one of those that [`Self::picture`] looks for.
    may_have_pictures: bool,
}

impl Look {
    fn at(document: &Document<'_>) -> Self {
        let mut look = Self::default();
        for (key, value) in document.all_entries() {
            match (value.kind(), key.text().as_ref()) {
                (Kind::String, b"type") => look.block(value),
                (Kind::String, b"ttl") => look.parts.long_cache |= value.is("1h"),
                (Kind::String, b"file_data") if !value.is("") => look.file(value),
                (Kind::String, b"url" | b"image_url" | b"file_url" | b"audio_url" | b"video_url") => {
                    look.url(value);
                }
                (Kind::String, b"image_base64") if !value.is("") => {
                    look.base64(value);
                }
                (Kind::Object, b"source") => look.source(value),
                // OpenAI's `input_audio: {data, format}`.
                (Kind::Object, b"input_audio") => {
                    if let Some(data) = value.get("data").filter(|data| !data.is("") && !data.is_null()) {
                        look.sound(data);
                    }
                }
                (Kind::Object, b"inlineData" | b"inline_data" | b"fileData" | b"file_data") => {
                    look.gemini(value);
                }
                (Kind::Array, b"modalities" | b"responseModalities" | b"response_modalities") => {
                    look.parts.speaks |= value.items().any(|item| item.text().eq_ignore_ascii_case(b"audio"));
                }
                _ => {}
            }
        }
        if look.may_have_pictures {
            document.all_objects().for_each(|object| look.picture(object));
        }
        look.parts.is_binary |= has_media(document);
        let root = document.root();
        look.parts.kept += look.files.saturating_sub(look.contents) + kept(root);
        look.parts.has_tools = ["tools", "functions"].iter().any(|name| root.get(name).is_some());
        look.base64.sort_unstable();
        look
    }

    fn block(&mut self, kind: Value<'_, '_>) {
        self.may_have_pictures |= kind.is("image_generation_call") || kind.is("image");
        match kind.text().as_ref() {
            // Anthropic's `source: {type: base64, data}`.
            b"base64" => self.parts.is_binary = true,
            b"image" | b"image_url" | b"input_image" => self.parts.images += 1,
            b"document" | b"file" | b"input_file" => self.files += 1,
            b"item_reference" => self.parts.kept = self.parts.kept.max(1),
            _ => {}
        }
    }

    fn base64(&mut self, data: Value<'_, '_>) -> u64 {
        self.parts.is_binary = true;
        let Some(span) = data.span() else { return 0 };
        self.base64.push(span.raw.start);
        let bytes = span.raw.len() as u64;
        self.parts.base64_bytes += bytes;
        bytes
    }

    fn file(&mut self, data: Value<'_, '_>) {
        self.contents += 1;
        self.parts.file_bytes += self.base64(data);
    }

    fn sound(&mut self, data: Value<'_, '_>) {
        self.parts.audio_bytes += self.base64(data);
    }

    /// Pictures under names that are text, or a link, elsewhere.
    fn picture(&mut self, object: Value<'_, '_>) {
        let member = |name: &str| object.get(name).filter(|value| value.span().is_some() && !value.is(""));
        if let Some(made) = member("result").filter(|_| is_a(object, "image_generation_call")) {
            self.parts.images += 1;
            self.base64(made);
        }
        let is_link = |image: &Value<'_, '_>| image.text().starts_with(b"http");
        if let Some(image) = member("image").filter(|image| is_a(object, "image") && !is_link(image)) {
            self.base64(image);
        }
    }

    /// Images were counted by their blocks.
    fn url(&mut self, url: Value<'_, '_>) {
        match data_url(url) {
            None => {}
            Some(media) if media.starts_with("image/") => {
                self.base64(url);
            }
            Some(media) if media.starts_with("audio/") => self.sound(url),
            Some(_) => self.file(url),
        }
    }

    /// Anthropic's source of an image or a document.
    fn source(&mut self, source: Value<'_, '_>) {
        let is = |name: &str, of: &str| {
            source.get(name).is_some_and(|value| value.text().starts_with(of.as_bytes()))
        };
        match source.get("data") {
            Some(data) if is("type", "base64") && is("media_type", "image/") => {
                self.base64(data);
            }
            Some(data) if is("type", "base64") => self.file(data),
            _ if is("type", "text") || is("type", "content") => self.contents += 1,
            _ => {}
        }
    }

    /// Gemini's `inlineData: {mimeType, data}` and `fileData: {mimeType, fileUri}`, in both spellings.
    fn gemini(&mut self, part: Value<'_, '_>) {
        let member = |names: &[&str]| {
            let found = names.iter().find_map(|name| part.get(name));
            found.filter(|value| value.kind() == Kind::String && !value.is(""))
        };
        let media = member(&["mimeType", "mime_type"]);
        let is = |kind: &[u8]| media.is_some_and(|media| media.text().starts_with(kind));
        let (data, uri) = (member(&["data"]), member(&["fileUri", "file_uri"]));
        self.parts.is_binary |= uri.is_some();
        self.parts.images += u64::from(is(b"image/"));
        match data {
            Some(data) if is(b"image/") => {
                self.base64(data);
            }
            Some(data) if is(b"audio/") => self.sound(data),
            Some(data) => self.file(data),
            None if uri.is_some() && !is(b"image/") => self.parts.kept += 1,
            None => {}
        }
    }
}

/// What the provider keeps of a conversation, or of a prompt, for the request to name.
fn kept(root: Value<'_, '_>) -> u64 {
    let names = ["previous_response_id", "conversation", "cachedContent", "cached_content"];
    let named =
        names.iter().filter(|name| root.get(name).is_some_and(|value| !value.is_null() && !value.is("")));
    let prompt = root.get("prompt").is_some_and(|prompt| prompt.kind() == Kind::Object);
    named.count() as u64 + u64::from(prompt)
}

/// The most that one image takes.
fn image_tokens(dialect: Dialect, model: &str) -> u64 {
    match dialect {
        // 2,833 and eight tiles of 5,667: its images cost as much as those of the larger model, at a lower price.
        Dialect::OpenAi if model.contains("gpt-4o-mini") => 48_169,
        // 1,536 patches, weighted by up to 2.46, or up to 10,000 in the original size.
        Dialect::OpenAi => 10_000,
        // A 750th of its pixels after it was scaled down; up to 4,784 for the newest models.
        Dialect::Anthropic => 5_000,
        // 258 for each tile; a picture ten times as long as high has thirty.
        Dialect::Gemini => 8_000,
    }
}

/// The most input tokens that a request of so many bytes comes to, without looking at its text.
///
/// ```
/// use bulkhead_dialect::Dialect;
/// use bulkhead_dialect::request::input::{Parts, bound};
/// assert_eq!(bound(&Parts::default(), Dialect::OpenAi, "gpt-5", 300), 300);
/// let parts = Parts { images: 1, base64_bytes: 200, ..Parts::default() };
/// assert_eq!(bound(&parts, Dialect::Anthropic, "claude-opus-5", 300), 5_100);
/// ```
#[must_use]
pub fn bound(parts: &Parts, dialect: Dialect, model: &str, body_len: usize) -> u64 {
    (body_len as u64).saturating_sub(parts.base64_bytes).saturating_add(parts.tokens_max(dialect, model))
}

/// How closely a request's text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// As many tokens as it may be, nearly: exact where the model's encoding is public, half as much again as the
    /// table says elsewhere, because other encodings make more tokens. Slow: not for an event loop.
    Ceiling,
    /// As many as it most likely is: by the table, about three nanoseconds per byte.
    Likely,
}

/// Counts the input tokens of a request, framing and parts included; never more than [`bound`].
///
/// ```
/// use bulkhead_dialect::json::{Document, Limits};
/// use bulkhead_dialect::classify;
/// use bulkhead_dialect::request::input::{Reading, count};
///
/// let body = br#"{"model":"gpt-5","messages":[{"role":"user","content":"The quick brown fox jumps over the lazy dog."}]}"#;
/// let document = Document::parse(body, &Limits::REQUEST)?;
/// let endpoint = classify("POST", "/v1/chat/completions", None).unwrap();
/// let tokens = count(endpoint, "gpt-5", &document, Reading::Ceiling);
/// assert!((17..40).contains(&tokens), "the provider counts 17, framing included: {tokens}");
/// # Ok::<(), bulkhead_dialect::json::JsonError>(())
/// ```
#[must_use]
pub fn count(endpoint: Endpoint, model: &str, document: &Document<'_>, reading: Reading) -> u64 {
    let look = Look::at(document);
    let dearest = look.parts.tokens_max(endpoint.dialect, model);
    let parts = if reading == Reading::Likely { dearest / LIKELY_PART } else { dearest };
    let text = match (reading, Encoding::of(model)) {
        (Reading::Ceiling, Some(encoding)) => look.texts(document, |text| encoding.count(text)),
        (Reading::Ceiling, None) => look.texts(document, by_table).saturating_mul(3).div_ceil(2),
        (Reading::Likely, _) => look.texts(document, by_table),
    };
    text.saturating_add(numbers(endpoint.operation, document.root()))
        .saturating_add(FRAMING_TOKENS)
        .saturating_add(parts)
        .min(bound(&look.parts, endpoint.dialect, model, document.raw().len()))
}

fn by_table(text: &[u8]) -> u64 {
    let mut counter = Counter::default();
    counter.push(text);
    counter.tokens()
}

impl Look {
    /// The tokens of all strings but base64, and one for each member: what a model is shown of names, roles and schemas is no
    /// more than their JSON.
    fn texts(&self, document: &Document<'_>, tokens: impl Fn(&[u8]) -> u64) -> u64 {
        let of = |span: StringSpan| {
            if self.base64.binary_search(&span.raw.start).is_ok() {
                return 0;
            }
            let raw = document.raw().get(span.raw).unwrap_or_default();
            let text = if span.escaped { unescape(raw) } else { raw.into() };
            tokens(&text).saturating_add(u64::from(span.is_key))
        };
        document.strings().map(of).fold(0, u64::saturating_add)
    }
}

/// Text that is given as token numbers: each has a digit and a comma.
fn numbers(operation: Operation, root: Value<'_, '_>) -> u64 {
    let name = if operation == Operation::Completions { "prompt" } else { "input" };
    let numbers = root.get(name).filter(|value| is_token_array(*value));
    numbers.map_or(0, |numbers| numbers.raw().len() as u64 / 2)
}

#[cfg(test)]
mod tests;
