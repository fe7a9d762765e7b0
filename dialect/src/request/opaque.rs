//! Finds what DLP cannot read in a request: binary parts and token numbers.

use crate::json::{Document, Kind, Value};

/// Whether any image, sound or file is part of the request: as base64, or in Gemini's file store,
/// where it lies under a name that says nothing.
///
/// Goes by the members' names wherever they stand, not by the place a dialect has for them:
/// providers add places faster than we would learn of them. One look at each member: this runs over
/// every member of every request.
pub(super) fn has_binary_parts(document: &Document<'_>) -> bool {
    document.all_entries().any(|(key, value)| match (value.kind(), key.text().as_ref()) {
        (Kind::String, b"file_data") => !value.is(""),
        (Kind::String, b"url" | b"image_url" | b"file_url" | b"audio_url" | b"video_url") => {
            is_data_url(value)
        }
        // Anthropic's `source: {type: base64, data}`.
        (Kind::String, b"type") => value.is("base64"),
        // OpenAI's `input_audio: {data, format}`.
        (Kind::Object, b"input_audio") => {
            value.get("data").is_some_and(|data| !data.is("") && !data.is_null())
        }
        // Gemini's `inlineData: {mimeType, data}` and `fileData: {mimeType, fileUri}`, in both spellings.
        (Kind::Object, b"inlineData" | b"inline_data" | b"fileData" | b"file_data") => {
            let blob = ["data", "fileUri", "file_uri"].iter().find_map(|name| value.get(name));
            blob.is_some_and(|blob| blob.kind() == Kind::String && !blob.is(""))
        }
        _ => false,
    })
}

fn is_data_url(value: Value<'_, '_>) -> bool {
    value.as_str().is_some_and(|url| {
        let scheme = url.trim_start().as_bytes().get(..5);
        scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"data:"))
    })
}

/// Whether an `input` or `prompt` is given as token numbers: `[1,2]` or `[[1,2],[3]]`.
pub(super) fn is_token_array(value: Value<'_, '_>) -> bool {
    value.items().any(|item| match item.kind() {
        Kind::Number => true,
        _ => item.items().any(|inner| inner.kind() == Kind::Number),
    })
}

/// How many prompts a `prompt` is: an array of numbers is one, an array of anything else is many.
pub(super) fn prompts(value: Value<'_, '_>) -> u64 {
    let many = value.items().filter(|item| item.kind() != Kind::Number).count();
    u64::try_from(many.max(1)).unwrap_or(u64::MAX)
}
