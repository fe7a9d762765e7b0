//! Words that must stand before a value whose shape alone does not tell it from harmless text.
//!
//! Only text to the left counts: a word to the right would make a stream hold the value back until it comes.
//! So what a context allows is known when a candidate starts, and one without its context holds nothing.

use std::mem;
use std::sync::Arc;

use crate::before::Before;
use crate::detector::Detector;
use crate::trie::{Builder, Node, Text, Trie};

/// How far before a match its context word may start, in bytes.
pub(crate) const CONTEXT_BYTES: u64 = 64;

/// A byte of a word after which a context word may start.
const UNDERSCORE: u8 = b'_';

/// The context words of rules, looked for together.
#[derive(Debug)]
pub(crate) struct ContextWords {
    /// The words, by their place in `rules`.
    words: Trie,
    /// By their first byte, which is asked for at every word of a text.
    firsts: Box<[Option<Node>; 256]>,
    /// Per word: the rules that it allows.
    rules: Vec<Vec<usize>>,
    rule_count: usize,
}

impl ContextWords {
    /// The words of these rules' detectors, the first of which has the number `first`; none if none has any.
    pub(crate) fn new(detectors: &[Arc<Detector>], first: usize) -> Option<Self> {
        let mut words: Vec<&str> =
            detectors.iter().flat_map(|detector| detector.context()).copied().collect();
        if words.is_empty() {
            return None;
        }
        words.sort_unstable();
        words.dedup();
        let of_word = |word: &&str| {
            let with_word =
                detectors.iter().zip(first..).filter(|(detector, _)| detector.context().contains(word));
            with_word.map(|(_, index)| index).collect()
        };
        let rules_of_words = words.iter().map(of_word).collect();
        let texts: Vec<Text<'_>> = words
            .iter()
            .zip(0..)
            .map(|(word, id)| Text { bytes: word.as_bytes(), ignore_case: true, id })
            .collect();
        let mut builder = Builder::new(&texts);
        let root = builder.root(|_| true);
        let words = builder.build();
        let mut firsts = Box::new([None; 256]);
        for (first, byte) in firsts.iter_mut().zip(0..=u8::MAX) {
            *first = words.step(root, byte);
        }
        Some(Self { words, firsts, rules: rules_of_words, rule_count: first + detectors.len() })
    }

    /// Whether a byte need not be stepped over while no word has begun; see [`Context::passes`].
    pub(crate) fn is_quiet(&self, before: Before, byte: u8) -> bool {
        let first = self.firsts.get(usize::from(byte)).copied().flatten();
        byte != UNDERSCORE && (before == Before::Word || first.is_none())
    }
}

/// Where in a text matches that need a context may start.
///
/// A word counts in any ASCII case where a word starts: after anything but a letter or digit, so that `MY_SSN`
/// has the word `ssn`, and after an escape of JSON inside JSON, such as `\n`.
#[derive(Default)]
pub(crate) struct Context {
    /// The words that have begun: where, and what was read of them. Few: each starts where a word does.
    begun: Vec<(u64, Node)>,
    previous: u8,
    /// Per rule: the last position at which a match of it may start. Empty before the first word.
    allowed_until: Vec<u64>,
    last_allowed: u64,
}

impl Context {
    /// Takes the byte at `position`, with what stands before it.
    #[inline]
    pub(crate) fn step(&mut self, words: &ContextWords, position: u64, before: Before, byte: u8) {
        let starts_word = before != Before::Word || !self.previous.is_ascii_alphanumeric();
        self.previous = byte;
        if !self.begun.is_empty() {
            self.step_begun(words, byte);
        }
        if starts_word && let Some(&Some(node)) = words.firsts.get(usize::from(byte)) {
            self.begun.push((position, node));
        }
    }

    /// Whether bytes that are [quiet](ContextWords::is_quiet) may be passed over from here on.
    #[inline]
    pub(crate) fn passes(&self) -> bool {
        self.begun.is_empty() && self.previous != UNDERSCORE
    }

    /// Notes the last of the bytes that were passed over.
    #[inline]
    pub(crate) fn pass(&mut self, last: u8) {
        self.previous = last;
    }

    fn step_begun(&mut self, words: &ContextWords, byte: u8) {
        let mut begun = mem::take(&mut self.begun);
        begun.retain_mut(|(start, node)| {
            let Some(next) = words.words.step(*node, byte) else { return false };
            *node = next;
            for &word in words.words.ends(next) {
                self.allow(words, word, *start + CONTEXT_BYTES);
            }
            !words.words.is_leaf(next)
        });
        self.begun = begun;
    }

    fn allow(&mut self, words: &ContextWords, word: u32, until: u64) {
        self.allowed_until.resize(words.rule_count, 0);
        for &rule in words.rules.get(word as usize).into_iter().flatten() {
            if let Some(allowed) = self.allowed_until.get_mut(rule) {
                *allowed = until.max(*allowed);
            }
        }
        self.last_allowed = until.max(self.last_allowed);
    }

    /// Forgets the text before, which has no context word; `previous` is its last byte.
    pub(crate) fn skip(&mut self, previous: u8) {
        self.begun.clear();
        self.previous = previous;
    }

    /// Whether a match of the rule may start at `position`.
    pub(crate) fn allows(&self, rule: u32, position: u64) -> bool {
        let until = usize::try_from(rule).ok().and_then(|rule| self.allowed_until.get(rule));
        until.is_some_and(|&until| position <= until)
    }

    /// Whether a match of any rule may start at `position`.
    #[inline]
    pub(crate) fn allows_any(&self, position: u64) -> bool {
        position <= self.last_allowed && !self.allowed_until.is_empty()
    }

    /// Whether what was read so far can change what may start at `position` or after it.
    #[inline]
    pub(crate) fn is_open(&self, position: u64) -> bool {
        !self.begun.is_empty() || self.allows_any(position)
    }
}
