//! What is sensitive in a text, where it stands, and what takes its place.
//!
//! Bytes in, findings out: this crate knows no tenant, no HTTP and no storage. A [`RuleSet`] pairs
//! detectors with actions; it scans a whole text with [`RuleSet::scan`] or a channel of a stream with a
//! [`StreamScanner`]. Both run one engine, so they cannot disagree:
//!
//! - The result is a function of the bytes alone, never of where they were cut.
//! - A byte below [`StreamScanner::released`] is never part of a later match.
//! - Memory is bounded: by the longest match of the enabled detectors and by [`HEADS_MAX`] candidates.
//!   Over that bound the text is blocked, never passed.
//!
//! ```
//! use std::sync::Arc;
//! use bulkhead_dlp::{Action, Rule, RuleSet, apply_edits, catalogue};
//!
//! let rules = catalogue().select("pii.*").into_iter()
//!     .map(|detector| Rule::new(Arc::clone(detector), Action::Mask))
//!     .collect();
//! let rules = RuleSet::new(rules, Vec::new());
//! let text = b"write to jane@example.com today";
//! let scan = rules.scan(text);
//! assert_eq!(apply_edits(text, &scan.edits), b"write to [EMAIL_ADDRESS] today");
//! ```

#![warn(missing_docs)]

mod action;
mod automaton;
mod before;
mod beginning;
mod catalogue;
mod context;
mod custom;
mod detector;
mod encoded;
mod engine;
mod finding;
mod gate;
mod keyed;
mod member;
mod restore;
mod rules;
mod stream;
mod texts;
mod trie;
mod validate;
mod view;

#[cfg(test)]
mod law;

pub use action::{Action, UnknownAction};
pub use beginning::Beginning;
pub use catalogue::{Catalogue, catalogue, is_example};
pub use custom::{CompileError, CompileLimits, CustomDetector, CustomPattern};
pub use detector::{CUSTOM, Detector, DetectorId, Placeholder};
pub use encoded::DeepScan;
pub use engine::{HEADS_MAX, HOLD_LIMIT};
pub use finding::{Edit, Match, Replacement, Scan, apply_edits};
pub use keyed::{Fingerprint, Token, ValueKey};
pub use restore::TokenMap;
pub use rules::{Rule, RuleRef, RuleSet};
pub use stream::StreamScanner;
pub use texts::{TextRules, TextScanner};
pub use view::visible_len;
