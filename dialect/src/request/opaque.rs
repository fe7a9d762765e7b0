//! Tells what DLP cannot read in a request: binary parts and token numbers.

use crate::json::{Document, Kind, StringSpan, Value, unescape};

/// How much of a string tells what it is.
const START_BYTES: usize = 256;
/// Shorter ones are no picture; many words begin with a few letters of base64.
const MEDIA_BYTES_MIN: usize = 32;
/// How the base64 begins of pictures, sound, films, PDF and the archives that documents are.
const MEDIA: [&str; 16] = [
    "iVBORw0KGg",
    "/9j/2",
    "/9j/4",
    "/9j/7",
    "R0lGODdh",
    "R0lGODlh",
    "SUkqA",
    "TU0AK",
    "UklGR",
    "SUQzA",
    "SUQzB",
    "T2dnUw",
    "ZkxhQ",
    "GkXfo",
    "JVBERi0",
    "UEsDBB",
];

/// What those begin with, films among them, and `_` for `/`; an escape may stand for any of it.
const FIRST: &[u8] = b"Ai/_RSTUZGJ\\";

/// The beginning of what follows the scheme of a data URL, in lower case.
///
/// Readers of URLs leave out white space and control characters, also within the scheme.
pub(super) fn data_url(value: Value<'_, '_>) -> Option<String> {
    let url = value.as_str()?;
    let visible = url.chars().filter(|c| !c.is_whitespace() && !c.is_control());
    let start: String = visible.take(START_BYTES).map(|c| c.to_ascii_lowercase()).collect();
    start.strip_prefix("data:").map(String::from)
}

/// Whether any string is base64 that begins like that of a picture, of sound or of a file.
///
/// Goes by the first bytes alone: signatures, cursors and encrypted reasoning are base64 as well, and no parts.
pub(super) fn has_media(document: &Document<'_>) -> bool {
    document
        .strings()
        .any(|span| !span.is_key && span.raw.len() >= MEDIA_BYTES_MIN && is_media(document, &span))
}

/// Whether the first bytes may be those of base64 with such a beginning. Hardly any text's are, and all strings of all requests
/// are asked.
fn may_be_media(raw: &[u8]) -> bool {
    const TOLD_BY: usize = 8;
    // White space may stand between, as itself or as an escape; so may anything that is escaped.
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=-_\\\t\r\n".contains(byte);
    let start = raw.trim_ascii_start();
    start.first().is_some_and(|first| FIRST.contains(first)) && start.iter().take(TOLD_BY).all(is_part)
}

fn is_media(document: &Document<'_>, span: &StringSpan) -> bool {
    let raw = document.raw().get(span.raw.clone()).unwrap_or_default();
    if !may_be_media(raw) {
        return false;
    }
    // An escape that is cut at the end does not matter.
    let start = raw.get(..START_BYTES).unwrap_or(raw);
    let plain = if span.escaped { unescape(start) } else { start.into() };
    let standard = |byte: u8| match byte {
        b'-' => b'+',
        b'_' => b'/',
        _ => byte,
    };
    let in_lines = plain.trim_ascii().iter().filter(|byte| !b"\t\r\n".contains(byte));
    let base64: Vec<u8> = in_lines.map(|byte| standard(*byte)).collect();
    let is_film = base64.starts_with(b"AAAA") && base64.get(6..10) == Some(b"Z0eX");
    (is_film || MEDIA.iter().any(|start| base64.starts_with(start.as_bytes())))
        && base64.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Limits;

    #[test]
    fn a_file_is_told_however_its_base64_is_written() {
        let is_told = |text: &str| {
            let body = format!("{{\"x\":\"{text}\"}}");
            has_media(&Document::parse(body.as_bytes(), &Limits::REQUEST).unwrap())
        };
        let rest = "A1b2".repeat(12);
        for media in MEDIA.into_iter().chain(["AAAAIGZ0eX"]) {
            assert!(FIRST.contains(&media.as_bytes()[0]), "{media}");
            let (first, others) = media.split_at(1);
            let escaped = format!("\\u{:04x}{others}", media.as_bytes()[0]);
            let url = media.replace('/', "_");
            for start in [media, &escaped, &url, &format!("  {media}"), &format!("\\n{first}\\r\\n{others}")]
            {
                assert!(is_told(&format!("{start}{rest}")), "{start}");
            }
            assert!(!is_told(&format!("{media} is how such files begin, and so on")), "{media}");
            assert!(!is_told(&format!("x{media}{rest}")), "{media}");
        }
    }
}
