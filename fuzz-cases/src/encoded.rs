//! Values in other notations: found in up to two around each other, at the place where they stand.

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use bulkhead_dlp::{Action, Rule, RuleSet, catalogue};

const VALUES: [&str; 4] = [
    "to jane.doe@example.com today",
    "the key is AKIAIOSFODNN7EXAMPLE",
    "pay with 4111 1111 1111 1111 now",
    "ghp_0123456789abcdefghijABCDEFGHIJ012345",
];

type Notation = fn(&str) -> String;

const NOTATIONS: [Notation; 8] = [
    str::to_owned,
    |text| each_byte(text, |out, byte| write!(out, "%{byte:02X}")),
    |text| each_byte(text, |out, byte| write!(out, "&#{byte};")),
    |text| each_byte(text, |out, byte| write!(out, "&#x{byte:x};")),
    |text| each_byte(text, |out, byte| write!(out, "\\u{byte:04x}")),
    |text| each_byte(text, |out, byte| write!(out, "\\x{byte:02x}")),
    |text| each_byte(text, |out, byte| write!(out, "{byte:02x}")),
    base64,
];

/// The input's first three bytes pick a value and two notations; what follows stands around the value.
pub fn encoded(input: &[u8]) {
    static RULES: LazyLock<RuleSet> = LazyLock::new(|| {
        let detectors = catalogue().select("*").into_iter().map(Arc::clone);
        RuleSet::new(detectors.map(|detector| Rule::new(detector, Action::Mask)).collect(), Vec::new())
    });
    let &[value, inner, outer, ref around @ ..] = input else { return };
    let [inner, outer] = [inner, outer].map(|notation| NOTATIONS[usize::from(notation) % NOTATIONS.len()]);
    let value = outer(&inner(VALUES[usize::from(value) % VALUES.len()]));
    let (before, after) = around.split_at(around.len() / 2);
    let text = [before, b" ", value.as_bytes(), b" ", after].concat();

    let found = RULES.scan_deep(&text);
    let (from, to) = (before.len() as u64, (text.len() - after.len()) as u64);
    let is_covered = found.scan.edits.iter().any(|edit| edit.start < to && edit.end > from);
    assert!(is_covered || !found.complete, "a value has passed");
    let mut last = 0;
    for edit in &found.scan.edits {
        assert!(last <= edit.start && edit.start < edit.end && edit.end <= text.len() as u64);
        last = edit.end;
    }
    // What was there to see is still seen, if something encoded around it does not hide it.
    let is_hidden = |start, end| found.scan.edits.iter().any(|edit| edit.start <= start && end <= edit.end);
    for plain in RULES.scan(&text).edits {
        assert!((plain.start..plain.end).all(|at| is_hidden(at, at + 1)), "a plain value has passed");
    }
}

fn each_byte(text: &str, write: impl Fn(&mut String, u8) -> std::fmt::Result) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        write(&mut out, byte).expect("a string takes everything");
    }
    out
}

fn base64(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits = chunk.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}
