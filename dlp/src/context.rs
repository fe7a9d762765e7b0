//! Words that must stand before a value whose shape alone does not tell it from harmless text.
//!
//! Only text to the left counts: a word to the right would make a stream hold the value back until it comes.
//! So what a context allows is known when a candidate starts, and one without its context holds nothing.

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::nfa::contiguous::{Builder, NFA};
use aho_corasick::{Anchored, MatchKind};

use crate::automaton::Before;
use crate::rules::Rule;

/// How far before a match its context word may start, in bytes.
pub(crate) const CONTEXT_BYTES: u64 = 64;

/// The context words of rules, looked for together.
#[derive(Debug)]
pub(crate) struct ContextWords {
    automaton: NFA,
    start: StateID,
    /// Per word: the rules that it allows.
    rules: Vec<Vec<usize>>,
    rule_count: usize,
}

impl ContextWords {
    /// The words of these rules, the first of which has the number `first`; none if no rule has any.
    pub(crate) fn new(rules: &[Rule], first: usize) -> Option<Self> {
        let mut words: Vec<&str> = rules.iter().flat_map(|rule| rule.detector.context()).copied().collect();
        if words.is_empty() {
            return None;
        }
        words.sort_unstable();
        words.dedup();
        let of_word = |word: &&str| {
            let with_word =
                rules.iter().zip(first..).filter(|(rule, _)| rule.detector.context().contains(word));
            with_word.map(|(_, index)| index).collect()
        };
        let automaton = Builder::new()
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(true)
            // The words are constants of the catalogue; they fit by far.
            .build(&words)
            .ok()?;
        let start = automaton.start_state(Anchored::No).ok()?;
        let rules_of_words = words.iter().map(of_word).collect();
        Some(Self { automaton, start, rules: rules_of_words, rule_count: first + rules.len() })
    }
}

/// Where in a text matches that need a context may start.
///
/// A word counts in any ASCII case where a word starts: after anything but a letter or digit, so that `MY_SSN`
/// has the word `ssn`, and after an escape of JSON inside JSON, such as `\n`.
#[derive(Default)]
pub(crate) struct Context {
    /// Of the automaton; `None` where nothing that was read can be the beginning of a word.
    state: Option<StateID>,
    previous: u8,
    /// The last 64 positions, the newest in the lowest bit: whether a word starts there.
    word_starts: u64,
    /// Per rule: the last position at which a match of it may start. Empty before the first word.
    allowed_until: Vec<u64>,
    last_allowed: u64,
}

impl Context {
    /// Takes the byte at `position`, with what stands before it.
    pub(crate) fn step(&mut self, words: &ContextWords, position: u64, before: Before, byte: u8) {
        let starts_word = before != Before::Word || !self.previous.is_ascii_alphanumeric();
        self.word_starts = self.word_starts << 1 | u64::from(starts_word);
        self.previous = byte;
        let automaton = &words.automaton;
        let state = automaton.next_state(Anchored::No, self.state.unwrap_or(words.start), byte);
        self.state = (state != words.start).then_some(state);
        if automaton.is_special(state) && automaton.is_match(state) {
            for index in 0..automaton.match_len(state) {
                let word = automaton.match_pattern(state, index);
                let last = automaton.pattern_len(word).saturating_sub(1);
                if last < 64 && self.word_starts >> last & 1 == 1 {
                    self.allow(words, word.as_usize(), position.saturating_sub(last as u64) + CONTEXT_BYTES);
                }
            }
        }
    }

    fn allow(&mut self, words: &ContextWords, word: usize, until: u64) {
        self.allowed_until.resize(words.rule_count, 0);
        for &rule in words.rules.get(word).into_iter().flatten() {
            if let Some(allowed) = self.allowed_until.get_mut(rule) {
                *allowed = until.max(*allowed);
            }
        }
        self.last_allowed = until.max(self.last_allowed);
    }

    /// Forgets the text before, which has no context word; `previous` is its last byte.
    pub(crate) fn skip(&mut self, previous: u8) {
        self.state = None;
        self.word_starts = 0;
        self.previous = previous;
    }

    /// Whether a match of the rule may start at `position`.
    pub(crate) fn allows(&self, rule: u32, position: u64) -> bool {
        let until = usize::try_from(rule).ok().and_then(|rule| self.allowed_until.get(rule));
        until.is_some_and(|&until| position <= until)
    }

    /// Whether what was read so far can change what may start at `position` or after it.
    pub(crate) fn is_open(&self, position: u64) -> bool {
        self.state.is_some() || position <= self.last_allowed && !self.allowed_until.is_empty()
    }
}
