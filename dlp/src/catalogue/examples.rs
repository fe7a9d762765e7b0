//! Documented example values, which are nobody's.

use std::sync::LazyLock;

use super::selector::fits;
use crate::detector::Detector;
use crate::validate;

/// A line of the table: what a selector names, and a pattern in lower case.
struct Example {
    selector: &'static str,
    pattern: String,
}

static EXAMPLES: LazyLock<Vec<Example>> = LazyLock::new(|| {
    let lines = include_str!("examples.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(' '))
        .map(|(selector, pattern)| Example { selector, pattern: pattern.trim().to_ascii_lowercase() })
        .collect()
});

/// So many equal characters in a row are typed, not drawn.
const RUN_MIN: usize = 8;

/// Whether a value that a detector found is a documented example: a test card, a reserved address, a key with
/// a word such as `EXAMPLE` in it, a GitHub or npm token whose checksum shows that it was never issued.
///
/// ```
/// use bulkhead_dlp::{catalogue, is_example};
///
/// let key = catalogue().select("AWS_ACCESS_KEY_ID").remove(0);
/// assert!(is_example(key, b"AKIAIOSFODNN7EXAMPLE"));
/// assert!(!is_example(key, b"AKIAIOSFODNN7QRSTUVW"));
/// ```
#[must_use]
pub fn is_example(detector: &Detector, value: &[u8]) -> bool {
    let lower = value.to_ascii_lowercase();
    let plain: Vec<u8> = lower.iter().copied().filter(u8::is_ascii_alphanumeric).collect();
    let is_listed = EXAMPLES.iter().any(|example| {
        let pattern = example.pattern.as_bytes();
        (fits(&lower, pattern) || fits(&plain, pattern)) && detector.is_named_by(example.selector)
    });
    let is_secret = detector.is_named_by("secret");
    is_listed || is_secret && is_typed(&lower) || is_never_issued(detector, value)
}

fn is_typed(value: &[u8]) -> bool {
    value
        .windows(RUN_MIN)
        .any(|run| run.windows(2).all(|pair| matches!(pair, [left, right] if left == right)))
}

fn is_never_issued(detector: &Detector, value: &[u8]) -> bool {
    matches!(detector.id().as_str(), "GITHUB_TOKEN" | "NPM_TOKEN") && !validate::crc32_base62(value)
}

#[cfg(test)]
mod tests;
