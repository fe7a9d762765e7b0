//! Base64 and hex: long runs of their digits that hold text.

use std::ops::Range;

/// The shortest run that is looked at: 18 bytes of base64, 12 of hex.
const RUN_BYTES_MIN: usize = 24;

/// How much of a run is decoded to see whether it holds text: 24 bytes of base64.
const HEAD_BYTES: usize = 32;

/// How many places in front of a run are tried as the encoded value's start, behind the punctuation it may contain.
const STARTS_MAX: usize = 8;

/// What a byte is in base64: its number, or one of these.
const LINE_END: u8 = 0xfd;
const OTHER: u8 = 0xff;

/// By byte: the number of a base64 digit, in either alphabet (RFC 4648, sections 4 and 5).
static DIGITS: [u8; 256] = {
    let mut digits = [OTHER; 256];
    let mut cells: &mut [u8] = &mut digits;
    let mut byte = 0_u8;
    while let [cell, others @ ..] = cells {
        *cell = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'\r' | b'\n' => LINE_END,
            _ => OTHER,
        };
        byte = byte.wrapping_add(1);
        cells = others;
    }
    digits
};

fn digit(byte: u8) -> u8 {
    DIGITS.get(usize::from(byte)).copied().unwrap_or(OTHER)
}

fn is_digit(byte: &u8) -> bool {
    digit(*byte) < 64
}

/// Calls `each` with every run that holds text, and the text.
pub(super) fn texts(text: &[u8], mut each: impl FnMut(Range<usize>, &[u8])) {
    let mut at = 0;
    while let Some(window) = text.get(at..at + RUN_BYTES_MIN) {
        // From the window's end: in prose this looks at every fourth byte or so.
        if let Some(last) = window.iter().rposition(|byte| !is_digit(byte)) {
            at += last + 1;
            continue;
        }
        let run = at..run_end(text, at);
        at = run.end;
        let source = text.get(run.clone()).unwrap_or_default();
        for (start, decoded) in base64(source).into_iter().chain(hex(source)) {
            each(run.start + start..run.end, &decoded);
        }
    }
}

/// The end of a run: over line breaks, with the padding.
fn run_end(text: &[u8], start: usize) -> usize {
    let count =
        |at: usize| text.get(at..).unwrap_or_default().iter().take_while(|byte| is_digit(byte)).count();
    let mut end = start + count(start);
    loop {
        let rest = text.get(end..).unwrap_or_default();
        // As JSON inside JSON has it, a line break is written out.
        let breaks: [&[u8]; 4] = [b"\r\n", b"\n", b"\\r\\n", b"\\n"];
        let line_break =
            breaks.into_iter().find(|line_break| rest.starts_with(line_break)).map_or(0, <[u8]>::len);
        let line = if line_break == 0 { 0 } else { count(end + line_break) };
        if line == 0 {
            let padding = rest.iter().take(2).take_while(|&&byte| byte == b'=').count();
            return end + padding;
        }
        end += line_break + line;
    }
}

/// The text in a run of base64, and where in the run it starts.
fn base64(run: &[u8]) -> Option<(usize, Vec<u8>)> {
    // In front of the value there may be a path or a name that looks like digits too.
    let behind = run.iter().take(2 * HEAD_BYTES).zip(1..).filter(|(byte, _)| !byte.is_ascii_alphanumeric());
    let mut starts = std::iter::once(0).chain(behind.map(|(_, at)| at)).take(STARTS_MAX);
    let start = starts.find(|&start| {
        let rest = run.get(start..).unwrap_or_default();
        rest.len() >= RUN_BYTES_MIN && is_text(&decode_base64(rest.get(..HEAD_BYTES).unwrap_or(rest)))
    })?;
    Some((start, decode_base64(run.get(start..)?)))
}

fn decode_base64(run: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(run.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0_u32, 0);
    let mut bytes = run.iter();
    while let Some(&byte) = bytes.next() {
        if byte == b'\\' {
            // The letter of a line break that is written out.
            bytes.next();
            continue;
        }
        let digit = digit(byte);
        if digit >= 64 {
            continue;
        }
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            decoded.push((bits >> count & 0xff) as u8);
        }
    }
    decoded
}

/// The text in a run of hex digits, and where in the run it starts.
fn hex(run: &[u8]) -> Option<(usize, Vec<u8>)> {
    let prefix = if run.starts_with(b"0x") || run.starts_with(b"0X") { 2 } else { 0 };
    let digits = run.get(prefix..)?;
    if digits.len() < RUN_BYTES_MIN
        || !digits.iter().all(|byte| byte.is_ascii_hexdigit() || digit(*byte) == LINE_END)
    {
        return None;
    }
    // A digit in front of the value shifts the pairs.
    let mut starts = [0, 1].into_iter();
    starts.find_map(|start| {
        let rest = digits.get(start..)?;
        let is_text = is_text(&decode_hex(rest.get(..HEAD_BYTES).unwrap_or(rest)));
        is_text.then(|| (prefix + start, decode_hex(rest)))
    })
}

fn decode_hex(digits: &[u8]) -> Vec<u8> {
    let values = digits.iter().filter_map(|&digit| char::from(digit).to_digit(16));
    let values: Vec<u8> = values.filter_map(|value| u8::try_from(value).ok()).collect();
    values.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect()
}

/// Whether the beginning of something decoded is mostly text.
fn is_text(head: &[u8]) -> bool {
    let whole = head.utf8_chunks();
    let readable = whole.map(|chunk| chunk.valid().chars().filter(|c| !c.is_control() || c.is_whitespace()));
    let readable: usize = readable.flatten().map(char::len_utf8).sum();
    !head.is_empty() && readable * 8 >= head.len() * 7
}
