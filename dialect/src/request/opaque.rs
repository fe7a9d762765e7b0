//! Finds what DLP cannot read in a request: binary parts and token numbers.

use crate::json::{Document, Kind, Value};

/// Whether any image, sound or file is part of the request as base64.
///
/// Goes by the members' names wherever they stand, not by the place a dialect has for them:
/// providers add places faster than we would learn of them.
pub(super) fn has_binary_parts(document: &Document<'_>) -> bool {
    document.all_entries().any(|(key, value)| match value.kind() {
        Kind::String => {
            let data_url = ["url", "image_url", "file_url", "audio_url", "video_url"];
            key.is("file_data") && !value.is("")
                || data_url.iter().any(|name| key.is(name)) && is_data_url(value)
        }
        // OpenAI `input_audio: {data, format}`; Anthropic `source: {type: base64, data}`.
        Kind::Object => {
            let has_data = value.get("data").is_some_and(|data| !data.is("") && !data.is_null());
            let base64 = value.get("type").is_some_and(|kind| kind.is("base64"));
            has_data && (key.is("input_audio") || base64)
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
