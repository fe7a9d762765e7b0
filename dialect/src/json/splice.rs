//! Edits on raw bytes.

use std::borrow::Cow;
use std::ops::Range;

/// One edit: these bytes become those.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splice<'e> {
    /// What is replaced; empty to insert.
    pub range: Range<usize>,
    /// What takes its place, already escaped where it lands in a string.
    pub replacement: Cow<'e, [u8]>,
}

impl<'e> Splice<'e> {
    /// An edit of `range`.
    pub fn new(range: Range<usize>, replacement: impl Into<Cow<'e, [u8]>>) -> Self {
        Self { range, replacement: replacement.into() }
    }
}

/// Applies edits that are ordered by their start and do not overlap.
///
/// Edits that break this rule never uncover anything: every byte named by any edit is gone, and a
/// range that starts too early starts where the one before it ended.
///
/// ```
/// use bulkhead_dialect::json::{Splice, splice};
///
/// let masked = splice(br#"{"a":"4111","b":1}"#, &[Splice::new(6..10, b"[card]".as_slice())]);
/// assert_eq!(masked, br#"{"a":"[card]","b":1}"#);
/// ```
#[must_use]
pub fn splice(raw: &[u8], edits: &[Splice<'_>]) -> Vec<u8> {
    let added: usize = edits.iter().map(|edit| edit.replacement.len()).sum();
    let mut out = Vec::with_capacity(raw.len() + added);
    let mut kept = 0;
    for edit in edits {
        let start = edit.range.start.clamp(kept, raw.len().max(kept));
        out.extend_from_slice(raw.get(kept..start).unwrap_or_default());
        out.extend_from_slice(&edit.replacement);
        kept = edit.range.end.clamp(start, raw.len().max(start));
    }
    out.extend_from_slice(raw.get(kept..).unwrap_or_default());
    out
}
