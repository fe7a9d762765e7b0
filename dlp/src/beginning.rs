//! What the end of a text may be the beginning of, where the text stops before a value is whole.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex_syntax::hir::literal::Extractor;

use crate::action::Action;
use crate::automaton;
use crate::catalogue::patterns;
use crate::rules::RuleSet;
use crate::view;

/// Shorter fixed texts stand in ordinary words. That of JSON web tokens is as short: `eyJ`.
const FIXED_BYTES_MIN: usize = 3;

/// So much of a longer fixed text counts as well.
const CUT_BYTES_MIN: usize = 6;

/// A year has four digits, and so have most numbers of prose.
const ORDINARY_DIGITS_MAX: usize = 4;

/// Few words of a language are longer.
const WORD_BYTES_MAX: usize = 24;

/// What the held end of a text may be the beginning of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Beginning {
    /// Any word: nothing speaks for a value.
    Word,
    /// A longer number, an address, several words: more likely than not no value, but half of one if it is.
    Value,
    /// A secret: the fixed text that only this kind of secret begins with is there.
    Secret,
}

/// The fixed texts with which the built-in detectors' values begin, by detector.
static FIXED: LazyLock<HashMap<&'static str, Vec<Box<[u8]>>>> =
    LazyLock::new(|| patterns().map(|(id, pattern)| (id, fixed_texts(pattern))).collect());

impl RuleSet {
    /// Judges the end of a text that a scanner still holds, for whoever must let it go or wait.
    ///
    /// Alert rules hide nothing, so their fixed texts do not count.
    ///
    /// ```
    /// use bulkhead_dlp::{Action, Beginning, Rule, RuleSet, catalogue};
    ///
    /// let detector = catalogue().select("AWS_ACCESS_KEY_ID").remove(0).clone();
    /// let rules = RuleSet::new(vec![Rule::new(detector, Action::Mask)], Vec::new());
    /// assert_eq!(rules.beginning(b"AKIAIOS"), Beginning::Secret);
    /// assert_eq!(rules.beginning(b"4111 1111 "), Beginning::Value);
    /// assert_eq!(rules.beginning(b"done."), Beginning::Word);
    /// ```
    #[must_use]
    pub fn beginning(&self, held: &[u8]) -> Beginning {
        let view = view::fold(&String::from_utf8_lossy(held));
        let hiding = self.rules().filter(|rule| rule.action != Action::Alert).map(|rule| rule.detector);
        let secrets = hiding.filter(|detector| detector.is_named_by("secret"));
        let mut fixed = secrets.filter_map(|detector| FIXED.get(detector.id().as_str())).flatten();
        if fixed.any(|text| begins_in(view.as_bytes(), text)) {
            return Beginning::Secret;
        }
        let digits = view.bytes().filter(u8::is_ascii_digit).count();
        let is_ordinary = digits <= ORDINARY_DIGITS_MAX
            && view.len() <= WORD_BYTES_MAX
            && !view.contains('@')
            && view.split_ascii_whitespace().nth(1).is_none();
        if is_ordinary { Beginning::Word } else { Beginning::Value }
    }
}

/// The texts of which every match begins with one, if they look like nothing else.
fn fixed_texts(pattern: &str) -> Vec<Box<[u8]>> {
    // What is found in any case are words.
    let pattern = if pattern.starts_with("(?i)") { "" } else { pattern };
    let Ok(hir) = automaton::parse(pattern) else { return Vec::new() };
    let prefixes = Extractor::new().limit_class(8).extract(&hir);
    let texts = prefixes.literals().unwrap_or_default().iter().map(|literal| literal.as_bytes());
    texts.filter(|text| text.len() >= FIXED_BYTES_MIN && is_telling(text)).map(Box::from).collect()
}

/// `https://` and `password` begin values too, and half of the texts that are none.
fn is_telling(text: &[u8]) -> bool {
    text.iter().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase() || b"-_".contains(byte))
}

/// Whether a fixed text, or so much of it that it looks like nothing else, begins with a word of `text`.
fn begins_in(text: &[u8], fixed: &[u8]) -> bool {
    let is_start = |at: usize| {
        let before = at.checked_sub(1).and_then(|before| text.get(before));
        before.is_none_or(|byte| !byte.is_ascii_alphanumeric())
    };
    let begins_with = |rest: &[u8]| {
        rest.starts_with(fixed) || rest.len() >= CUT_BYTES_MIN && is_telling(rest) && fixed.starts_with(rest)
    };
    (0..text.len()).filter(|at| is_start(*at)).any(|at| begins_with(text.get(at..).unwrap_or_default()))
}

#[cfg(test)]
mod tests;
