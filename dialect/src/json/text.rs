//! The inside of a JSON string: decoding, encoding, and the way back from decoded to raw offsets.

use std::borrow::Cow;
use std::fmt;

use memchr::memchr;

/// One escape: how many raw bytes it takes and which character it means.
struct Escape {
    raw_len: usize,
    character: char,
}

/// Decodes the raw bytes between a string's quotes.
///
/// A lone surrogate becomes U+FFFD. Borrows where there is no escape.
///
/// ```
/// use bulkhead_dialect::json::unescape;
///
/// assert_eq!(unescape(br"\u0041KIA").as_ref(), b"AKIA");
/// assert_eq!(unescape(br"\ud83d\ude00").as_ref(), "\u{1f600}".as_bytes());
/// ```
#[must_use]
pub fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr(b'\\', raw) else { return Cow::Borrowed(raw) };
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    let mut plain = Some(first);
    while let Some(run) = plain {
        let (text, escaped) = rest.split_at_checked(run).unwrap_or((rest, &[]));
        out.extend_from_slice(text);
        let escape = escape_at(escaped);
        out.extend_from_slice(escape.character.encode_utf8(&mut [0; 4]).as_bytes());
        rest = escaped.get(escape.raw_len..).unwrap_or_default();
        plain = memchr(b'\\', rest);
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

/// Appends `text` as the inside of a JSON string.
///
/// ```
/// let mut out = Vec::new();
/// bulkhead_dialect::json::escape("say \"hi\"\n", &mut out);
/// assert_eq!(out, br#"say \"hi\"\n"#);
/// ```
pub fn escape(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for &byte in text.as_bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
                out.extend_from_slice(b"\\u00");
                out.extend([digit(byte >> 4), digit(byte & 15)]);
            }
            _ => out.push(byte),
        }
    }
}

/// The raw offset of a decoded offset, never inside an escape, a surrogate pair or a character:
/// an offset that falls into one is moved to its start.
///
/// For many offsets of one string use [`RawOffsets`].
///
/// ```
/// use bulkhead_dialect::json::raw_offset;
///
/// assert_eq!(raw_offset(br"a\u0041b", 2), 7);
/// assert_eq!(raw_offset(br"\u00e9!", 1), 0); // inside the two bytes of one escaped character
/// ```
#[must_use]
pub fn raw_offset(raw: &[u8], decoded_offset: usize) -> usize {
    RawOffsets::new(raw).floor(decoded_offset)
}

/// Maps decoded offsets of one string to raw offsets, in one pass for ascending offsets.
#[derive(Clone)]
pub struct RawOffsets<'a> {
    raw: &'a [u8],
    /// A boundary between characters, and the same place in the decoded text.
    at: usize,
    decoded: usize,
    /// The first escape at or behind `at`, or the end.
    next_escape: usize,
}

/// The raw boundaries around a decoded offset; equal where the offset is one itself.
struct Around {
    floor: usize,
    ceil: usize,
}

impl<'a> RawOffsets<'a> {
    /// Starts at the front of a string's raw bytes.
    #[must_use]
    pub fn new(raw: &'a [u8]) -> Self {
        let next_escape = memchr(b'\\', raw).unwrap_or(raw.len());
        Self { raw, at: 0, decoded: 0, next_escape }
    }

    /// The last boundary at or before `decoded`: where a masked range begins.
    pub fn floor(&mut self, decoded: usize) -> usize {
        self.around(decoded).floor
    }

    /// The first boundary at or behind `decoded`: where a masked range ends.
    pub fn ceil(&mut self, decoded: usize) -> usize {
        self.around(decoded).ceil
    }

    fn around(&mut self, decoded: usize) -> Around {
        if decoded < self.decoded {
            *self = Self::new(self.raw);
        }
        loop {
            let wanted = self.at.saturating_add(decoded - self.decoded);
            if wanted <= self.next_escape || self.next_escape >= self.raw.len() {
                let wanted = wanted.min(self.raw.len());
                let floor = character_start(self.raw, wanted);
                // Not before `at`: broken UTF-8 behind an escape must not reach back over it.
                let floor = floor.max(self.at);
                self.decoded += floor - self.at;
                self.at = floor;
                let ceil = if floor == wanted { wanted } else { character_end(self.raw, wanted) };
                return Around { floor, ceil };
            }
            let escaped = self.raw.get(self.next_escape..).unwrap_or_default();
            let escape = escape_at(escaped);
            let before = self.decoded + (self.next_escape - self.at);
            let after = before + escape.character.len_utf8();
            let end = self.next_escape + escape.raw_len;
            if decoded < after {
                return Around { floor: self.next_escape, ceil: end };
            }
            self.at = end;
            self.decoded = after;
            let rest = self.raw.get(end..).unwrap_or_default();
            self.next_escape = memchr(b'\\', rest).map_or(self.raw.len(), |step| end + step);
        }
    }
}

impl fmt::Debug for RawOffsets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawOffsets").field("at", &self.at).finish_non_exhaustive()
    }
}

/// Reads the escape that `raw` begins with. A malformed one, which a parsed document does not
/// have, is one raw byte long and means U+FFFD.
fn escape_at(raw: &[u8]) -> Escape {
    let character = match raw.get(1) {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode_escape(raw),
        _ => return Escape { raw_len: raw.len().min(1), character: char::REPLACEMENT_CHARACTER },
    };
    Escape { raw_len: 2, character }
}

fn unicode_escape(raw: &[u8]) -> Escape {
    let Some(unit) = code_unit(raw) else {
        return Escape { raw_len: 1, character: char::REPLACEMENT_CHARACTER };
    };
    let pair = match unit {
        0xd800..0xdc00 => raw.get(6..).and_then(code_unit),
        _ => None,
    };
    if let Some(low @ 0xdc00..0xe000) = pair {
        let code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        return Escape { raw_len: 12, character };
    }
    // A lone surrogate is no character.
    let character = char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER);
    Escape { raw_len: 6, character }
}

/// The four hex digits of the `\uXXXX` that `raw` begins with.
fn code_unit(raw: &[u8]) -> Option<u32> {
    let digits = raw.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
}

/// The start of the UTF-8 character that byte `at` belongs to; `at` where the bytes are broken.
fn character_start(raw: &[u8], at: usize) -> usize {
    if !raw.get(at).is_some_and(|&byte| is_continuation(byte)) {
        return at;
    }
    for back in 1..=3 {
        let Some(&byte) = at.checked_sub(back).and_then(|start| raw.get(start)) else { break };
        if !is_continuation(byte) {
            let width = match byte {
                0xc0..0xe0 => 2,
                0xe0..0xf0 => 3,
                0xf0..0xf8 => 4,
                _ => 1,
            };
            return if width > back { at - back } else { at };
        }
    }
    at
}

/// Behind the continuation bytes that follow from `at` on, at most three.
fn character_end(raw: &[u8], at: usize) -> usize {
    let rest = raw.get(at..).unwrap_or_default();
    at + rest.iter().take(3).take_while(|&&byte| is_continuation(byte)).count()
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}
