//! Steps 6 and 10, inspecting: texts to verdicts, edits to bytes.
//!
//! - [`whole`]: a complete body, JSON or not.
//! - [`joined`]: values split over the texts of a request.
//! - [`known`]: what was clean before; [`history`]: how much of a conversation that is.
//! - [`names`]: values that are told by their names.
//! - [`disjoint`]: ranges of a body, found by where they stand.
//! - [`stream`]: an answer's event stream, with verdicts that reach over events.
//!
//! Both end in the same three things: bytes that may leave, findings for the trace, or a block.

pub(crate) mod disjoint;
pub(crate) mod history;
pub(crate) mod joined;
pub(crate) mod known;
#[cfg(test)]
mod matrix;
pub(crate) mod names;
pub(crate) mod stream;
pub(crate) mod whole;

use bulkhead_dialect::json::Document;
use bulkhead_dialect::request::is_ambiguous;
use bulkhead_dlp::{Action, Match, TextRules};
use bulkhead_policy::trace::{Direction, FINDINGS_MAX, FindingRecord};
use history::History;
use known::CleanTexts;
use std::borrow::Cow;
use std::sync::Arc;
use whole::Inspected;

/// How much may be tried to find a value that is split into very many pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// No more than the others on an event loop can wait for.
    Little,
    Full,
}

/// Inspects a request's body: its strings, each alone and joined with those beside it. What `clean` knows is not
/// looked at again. `None` where little effort is not enough.
pub(crate) fn request(
    rules: &TextRules,
    document: &Document<'_>,
    clean: &CleanTexts,
    effort: Effort,
) -> Option<Inspected> {
    if rules.is_empty() {
        return Some(Inspected::default());
    }
    let (rule_set, raw) = (rules.rules(), document.raw());
    let history = History::of(document, rule_set, clean);
    let new = document.without(history.known().to_vec());
    let mut inspected = whole::json(rules, raw, &new, Direction::Request, Some(clean));
    let texts = history.texts();
    // One reader takes the first of them, another the last: what adjoins is not known.
    inspected.incomplete |= texts.is_ambiguous || is_ambiguous(document);
    joined::inspect(rule_set, raw, &texts.parts, clean, effort, &mut inspected).then(|| {
        history.remember(&inspected, clean);
        inspected
    })
}

/// What the detectors found in one direction; never a value.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) kept: Vec<FindingRecord>,
    pub(crate) total: u64,
    pub(crate) strictest: Option<Action>,
    alerted: bool,
}

impl Findings {
    /// Adds one match that stands at `start..end` of `channel`.
    pub(crate) fn add(
        &mut self,
        found: &Match,
        direction: Direction,
        channel: Cow<'static, str>,
        at: (u64, u64),
    ) {
        self.total += 1;
        self.strictest = self.strictest.max(Some(found.action));
        self.alerted |= found.action == Action::Alert;
        if self.kept.len() < FINDINGS_MAX {
            self.kept.push(FindingRecord {
                detector: Arc::from(found.detector.id().as_ref()),
                category: Arc::from(found.detector.category()),
                direction,
                channel,
                start: at.0,
                end: at.1,
                action: found.action,
                fingerprint: found.fingerprint.map(|fingerprint| fingerprint.to_string().into()),
            });
        }
    }

    /// Whether something was found that passed in clear.
    pub(crate) fn has_alerts(&self) -> bool {
        self.alerted
    }

    /// Takes over everything `other` holds.
    pub(crate) fn append(&mut self, other: Self) {
        self.total += other.total;
        self.strictest = self.strictest.max(other.strictest);
        self.alerted |= other.alerted;
        let room = FINDINGS_MAX.saturating_sub(self.kept.len());
        self.kept.extend(other.kept.into_iter().take(room));
    }
}
