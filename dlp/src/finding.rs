//! What a scan reports, and the text that results from it.

use std::sync::Arc;

use crate::action::Action;
use crate::detector::{Detector, Placeholder};
use crate::keyed::{Fingerprint, Token};

/// One value found; offsets count bytes from the start of the channel's text.
#[derive(Clone, Debug)]
pub struct Match {
    /// The first byte of the value.
    pub start: u64,
    /// The byte after the value.
    pub end: u64,
    /// What found it.
    pub detector: Arc<Detector>,
    /// What the rule does about it.
    pub action: Action,
    /// Tells equal values from others; `None` where the rule set has no key, and for a value without an upper
    /// length, which is never held whole.
    pub fingerprint: Option<Fingerprint>,
}

impl PartialEq for Match {
    fn eq(&self, other: &Self) -> bool {
        (self.start, self.end, self.action, self.detector.id(), self.fingerprint)
            == (other.start, other.end, other.action, other.detector.id(), other.fingerprint)
    }
}

/// One replaced range; offsets count bytes from the start of the channel's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The first byte to remove.
    pub start: u64,
    /// The byte after the last one to remove.
    pub end: u64,
    /// What to put there; `None` where a block goes on that already has its placeholder.
    pub replacement: Option<Replacement>,
}

/// What takes a range's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// The detector's placeholder.
    Placeholder(Placeholder),
    /// A token that stands for the value.
    Token(Token),
    /// The value that a token stands for.
    Value(Arc<str>),
}

impl Replacement {
    /// The text to put there.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Placeholder(placeholder) => placeholder.as_str(),
            Self::Token(token) => token.as_str(),
            Self::Value(value) => value,
        }
    }
}

/// The result for a whole text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scan {
    /// Everything that was found, by start; the blocking match comes last.
    pub matches: Vec<Match>,
    /// What to replace, by start, disjoint.
    pub edits: Vec<Edit>,
    /// The match that blocks the text, if one does. The lists then end where the scan stopped.
    pub blocked: Option<Match>,
}

impl Scan {
    /// Whether nothing was found, so that the text may pass as it is.
    #[must_use]
    pub fn clean(&self) -> bool {
        self.matches.is_empty() && self.edits.is_empty() && self.blocked.is_none()
    }
}

/// The text with every edit made; the edits must be ordered and disjoint.
///
/// Edits that reach beyond the text are cut to it.
///
/// ```
/// assert_eq!(bulkhead_dlp::apply_edits(b"nothing to hide", &[]), b"nothing to hide");
/// ```
#[must_use]
pub fn apply_edits(text: &[u8], edits: &[Edit]) -> Vec<u8> {
    let clamp = |offset: u64| usize::try_from(offset).map_or(text.len(), |offset| offset.min(text.len()));
    let mut out = Vec::with_capacity(text.len());
    let mut from = 0;
    for edit in edits {
        out.extend_from_slice(text.get(from..clamp(edit.start)).unwrap_or_default());
        if let Some(replacement) = &edit.replacement {
            out.extend_from_slice(replacement.as_str().as_bytes());
        }
        from = clamp(edit.end);
    }
    out.extend_from_slice(text.get(from..).unwrap_or_default());
    out
}
