//! From tokens back to values, in answers.
//!
//! - A token counts where it stands as it was made, in any letter case, and where a model cut it short: without
//!   its bracket, or with at least [`HASH_KEPT_MIN`] characters of its hash, if only one token of the request
//!   fits and what follows cannot go on with it.
//! - Held is only a text's end that one of the request's tokens starts with.
//! - In a string of a text that is JSON itself, as the arguments of tool calls are, the value is escaped.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use memchr::memchr;

use crate::finding::{Edit, Replacement};
use crate::keyed::{TOKEN_HASH_LEN, Token};

/// The tokens that one request may have; values beyond are masked.
const TOKENS_MAX: usize = 10_000;

/// The longest value that is put back. A provider may repeat a token as often as it likes, so this bounds how much
/// larger an answer becomes.
const VALUE_BYTES_MAX: usize = 256;

/// With fewer characters of its hash than this, a token that was cut short stays as it is.
const HASH_KEPT_MIN: usize = 6;

/// The tokens of one request and the values they stand for.
///
/// ```
/// use bulkhead_dlp::{Action, Replacement, Rule, RuleSet, TokenMap, ValueKey, apply_edits, catalogue};
///
/// let detector = catalogue().select("EMAIL_ADDRESS").remove(0).clone();
/// let rules = RuleSet::new(vec![Rule::new(detector, Action::Tokenize)], Vec::new())
///     .with_value_key(ValueKey::new(&[7; 32]));
/// let text = b"jane@example.com";
/// let scan = rules.scan(text);
/// let Some(Replacement::Token(token)) = &scan.edits[0].replacement else { unreachable!() };
/// let mut tokens = TokenMap::default();
/// assert!(tokens.insert(token, text));
/// let answer = format!("I wrote to {}.", token.as_str().to_lowercase());
/// assert_eq!(apply_edits(answer.as_bytes(), &tokens.restore(answer.as_bytes())), b"I wrote to jane@example.com.");
/// ```
#[derive(Default)]
pub struct TokenMap {
    /// By the token's text in upper case.
    values: BTreeMap<Box<str>, Arc<str>>,
}

impl TokenMap {
    /// Notes what a token stands for; false if the value must be masked instead.
    ///
    /// That is so where there are too many tokens, where the token stands for another value already, for a value
    /// that is too long, and for one with a backslash: nobody can say whether that belongs to it or to JSON
    /// around it.
    #[must_use]
    pub fn insert(&mut self, token: &Token, value: &[u8]) -> bool {
        let has_room = self.values.len() < TOKENS_MAX;
        let fits = |value: &&str| value.len() <= VALUE_BYTES_MAX && !value.contains('\\');
        let Some(value) = std::str::from_utf8(value).ok().filter(fits) else { return false };
        match self.values.entry(token.as_str().to_ascii_uppercase().into()) {
            Entry::Occupied(known) => **known.get() == *value,
            Entry::Vacant(entry) => {
                if has_room {
                    entry.insert(value.into());
                }
                has_room
            }
        }
    }

    /// Whether no token was noted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The edits that put values in their tokens' places in a whole text, by start, disjoint.
    #[must_use]
    pub fn restore(&self, text: &[u8]) -> Vec<Edit> {
        let mut edits = Vec::new();
        if !self.is_empty() && memchr(b'[', text).is_some() {
            let mut restorer = Restorer::default();
            restorer.push(self, text);
            restorer.finish(self);
            edits.extend(restorer.take_edits());
        }
        edits
    }

    /// The value of the only token that `prefix` can have been cut from.
    fn value_of_cut(&self, prefix: &str) -> Option<Arc<str>> {
        let mut fitting = self.starting_with(prefix);
        let (token, value) = fitting.next().filter(|_| fitting.next().is_none())?;
        // Behind its hash a token has but the closing bracket.
        let hash_kept = (prefix.len() + TOKEN_HASH_LEN + 1).saturating_sub(token.len());
        (hash_kept >= HASH_KEPT_MIN).then(|| Arc::clone(value))
    }

    /// The tokens that start with `prefix`, which is in upper case.
    fn starting_with<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Arc<str>)> {
        let from = self
            .values
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .map(|(token, value)| (&**token, value));
        from.take_while(move |(token, _)| token.starts_with(prefix))
    }
}

impl fmt::Debug for TokenMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values are what must not be seen.
        f.debug_struct("TokenMap").field("tokens", &self.values.len()).finish_non_exhaustive()
    }
}

/// Finds the tokens in one text as it arrives.
#[derive(Debug, Default)]
pub(crate) struct Restorer {
    position: u64,
    /// What may become a token, in upper case. A token has no second opening bracket, so there is never more
    /// than one.
    open: String,
    /// Where that starts; `position` while there is nothing.
    start: u64,
    nesting: Nesting,
    edits: Vec<Edit>,
}

impl Restorer {
    pub(crate) fn push(&mut self, tokens: &TokenMap, text: &[u8]) {
        for &byte in text {
            self.step(tokens, byte);
        }
    }

    /// Ends the text: a token that is cut short here will not go on.
    pub(crate) fn finish(&mut self, tokens: &TokenMap) {
        self.cut_short(tokens, None);
        self.start = self.position;
    }

    /// The offset below which every byte is final.
    pub(crate) fn released(&self) -> u64 {
        self.start
    }

    pub(crate) fn take_edits(&mut self) -> impl Iterator<Item = Edit> {
        self.edits.drain(..)
    }

    fn step(&mut self, tokens: &TokenMap, byte: u8) {
        if !self.open.is_empty() {
            self.go_on(tokens, byte);
        }
        if self.open.is_empty() && byte == b'[' {
            self.start = self.position;
            self.open.push('[');
        }
        self.position += 1;
        self.nesting = self.nesting.then(byte);
        if self.open.is_empty() {
            self.start = self.position;
        }
    }

    fn go_on(&mut self, tokens: &TokenMap, byte: u8) {
        self.open.push(char::from(byte.to_ascii_uppercase()));
        let fitting = tokens.starting_with(&self.open).next();
        match fitting.map(|(token, value)| (token.len(), Arc::clone(value))) {
            Some((len, value)) if len == self.open.len() => self.put(&value, self.position + 1),
            Some(_) => {}
            None => {
                self.open.pop();
                self.cut_short(tokens, Some(byte));
            }
        }
    }

    /// Ends the candidate, which has not become a whole token.
    fn cut_short(&mut self, tokens: &TokenMap, next: Option<u8>) {
        let goes_on = next.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if let Some(value) = tokens.value_of_cut(&self.open).filter(|_| !goes_on) {
            self.put(&value, self.position + u64::from(next == Some(b']')));
        }
        self.open.clear();
    }

    /// Replaces the candidate, up to `end`.
    fn put(&mut self, value: &Arc<str>, end: u64) {
        let value = if self.nesting == Nesting::String { escape(value) } else { Arc::clone(value) };
        self.edits.push(Edit { start: self.start, end, replacement: Some(Replacement::Value(value)) });
        self.open.clear();
    }
}

/// Where in a JSON text a byte stands, if the text is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Nesting {
    /// Nothing but white space so far.
    #[default]
    Start,
    /// It is none.
    Plain,
    Outside,
    String,
    Escape,
}

impl Nesting {
    fn then(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Start, byte) if byte.is_ascii_whitespace() => Self::Start,
            (Self::Start, b'{' | b'[') | (Self::String, b'"') => Self::Outside,
            (Self::Start | Self::Plain, _) => Self::Plain,
            (Self::Outside, b'"') | (Self::Escape, _) => Self::String,
            (Self::Outside, _) => Self::Outside,
            (Self::String, b'\\') => Self::Escape,
            (Self::String, _) => Self::String,
        }
    }
}

/// The value as it stands in a JSON string. It has no backslash.
fn escape(value: &str) -> Arc<str> {
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '"' => escaped.push_str("\\\""),
            '\0'..'\x20' => escaped.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => escaped.push(character),
        }
    }
    escaped.into()
}

#[cfg(test)]
mod tests;
