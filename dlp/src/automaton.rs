//! The compiled form of a pattern: an anchored DFA over bytes that reports every end of a match.
//!
//! A match is reported one byte late, on the byte after it or at the end of the text, because only then
//! a word boundary at its end is decided.

use regex_automata::dfa::{Automaton as _, dense, sparse};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use regex_syntax::ast;
use regex_syntax::hir::Hir;
use regex_syntax::hir::translate::TranslatorBuilder;

use crate::view;

/// How deep groups may nest in a pattern; bounds the recursion of everything that walks it.
const NEST_MAX: u32 = 64;

/// What stands before a candidate: what its pattern's first look-around can tell, and an escape that has begun.
///
/// A channel may carry JSON inside JSON, and then `\n` is one character of the value in two bytes. So the
/// letter of such an escape, and the digits of `\uXXXX`, start no candidate and are no word bytes for what
/// follows them. Nobody says which channels carry JSON: the rule is the same for every text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    Text,
    LineFeed,
    CarriageReturn,
    Word,
    NonWord,
    /// One backslash or more: JSON inside JSON inside JSON has two before the letter of an escape.
    Backslash,
    /// `\u` and fewer than four hex digits; so many more belong to it.
    FourDigits,
    ThreeDigits,
    TwoDigits,
    OneDigit,
}

/// The longest escape in bytes: `\uXXXX`.
pub(crate) const ESCAPE_BYTES_MAX: usize = 6;

impl Before {
    /// What a pattern tells apart.
    pub(crate) const SEEN: [Self; 5] =
        [Self::Text, Self::LineFeed, Self::CarriageReturn, Self::Word, Self::NonWord];

    /// What stands inside an escape.
    pub(crate) const ESCAPES: [Self; 5] =
        [Self::Backslash, Self::FourDigits, Self::ThreeDigits, Self::TwoDigits, Self::OneDigit];

    /// How many states there are.
    pub(crate) const COUNT: usize = Self::SEEN.len() + Self::ESCAPES.len();

    const ALL: [Self; Self::COUNT] = {
        let [a, b, c, d, e] = Self::SEEN;
        let [f, g, h, i, j] = Self::ESCAPES;
        [a, b, c, d, e, f, g, h, i, j]
    };

    /// What stands before `position`; the same as stepping over every byte from the start of the text.
    pub(crate) fn at(text: &[u8], position: usize) -> Self {
        let before = text.get(..position).unwrap_or(text);
        // An escape whose letter is in the earlier part has ended before the last byte: read it as plain text.
        let (earlier, last) = before.split_at(before.len().saturating_sub(ESCAPE_BYTES_MAX));
        let start = match earlier.last() {
            None => Self::Text,
            Some(b'\\') => Self::Backslash,
            Some(_) => Self::NonWord,
        };
        last.iter().fold(start, |state, &byte| state.then(byte))
    }

    /// What a pattern sees: an escape that has ended is no word byte.
    pub(crate) fn seen(self) -> Self {
        if Self::SEEN.contains(&self) { self } else { Self::NonWord }
    }

    /// What stands before the byte after this one.
    #[inline]
    pub(crate) fn then(self, byte: u8) -> Self {
        let row = THEN.get(self as usize);
        row.and_then(|row| row.get(usize::from(byte))).copied().unwrap_or(Self::NonWord)
    }

    const fn then_by_rule(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Backslash, b'u') => Self::FourDigits,
            _ if !self.is_in_escape(byte) => Self::from_byte(byte),
            (Self::FourDigits, _) => Self::ThreeDigits,
            (Self::ThreeDigits, _) => Self::TwoDigits,
            (Self::TwoDigits, _) => Self::OneDigit,
            _ => Self::NonWord,
        }
    }

    /// Whether the next byte, if it is this one, is an escape's letter or digit, so that nothing starts at it.
    pub(crate) const fn is_in_escape(self, byte: u8) -> bool {
        match self {
            Self::Text | Self::LineFeed | Self::CarriageReturn | Self::Word | Self::NonWord => false,
            Self::Backslash => matches!(byte, b'n' | b't' | b'r' | b'b' | b'f' | b'u'),
            Self::FourDigits | Self::ThreeDigits | Self::TwoDigits | Self::OneDigit => {
                byte.is_ascii_hexdigit()
            }
        }
    }

    const fn from_byte(byte: u8) -> Self {
        match byte {
            b'\n' => Self::LineFeed,
            b'\r' => Self::CarriageReturn,
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' => Self::Word,
            b'\\' => Self::Backslash,
            _ => Self::NonWord,
        }
    }

    /// A byte that a pattern takes for this, for the automaton's own classification.
    fn sample(self) -> Option<u8> {
        match self {
            Self::Text => None,
            Self::LineFeed => Some(b'\n'),
            Self::CarriageReturn => Some(b'\r'),
            Self::Word => Some(b'a'),
            _ => Some(b' '),
        }
    }
}

/// What stands after each state and byte. A branch instead costs a stream a nanosecond per byte.
static THEN: [[Before; 256]; Before::COUNT] = {
    let mut table = [[Before::NonWord; 256]; Before::COUNT];
    let mut rest: &mut [[Before; 256]] = &mut table;
    let mut states: &[Before] = &Before::ALL;
    while let ([state, other_states @ ..], [row, other_rows @ ..]) = (states, rest) {
        let mut cells: &mut [Before] = row;
        let mut byte = 0;
        while let [cell, other_cells @ ..] = cells {
            *cell = state.then_by_rule(byte);
            byte = byte.wrapping_add(1);
            cells = other_cells;
        }
        (states, rest) = (other_states, other_rows);
    }
    table
};

/// Why a pattern has no automaton.
#[derive(Debug)]
pub(crate) enum BuildError {
    /// The syntax tree is too large for the limit.
    Nfa(Box<thompson::BuildError>),
    /// The automaton is too large for the limit, or needs a feature it does not have.
    Dfa(Box<dense::BuildError>),
}

/// The transitions of an automaton.
enum Transitions {
    /// A row per state: fast, for what all tenants share.
    Dense(dense::DFA<Vec<u32>>),
    /// Only what leads on: a tenth of the memory and half the speed, for a tenant's own.
    Sparse(sparse::DFA<Vec<u8>>),
}

/// Asks whichever automaton it is.
macro_rules! ask {
    ($transitions:expr, $dfa:ident => $question:expr) => {
        match &$transitions {
            Transitions::Dense($dfa) => $question,
            Transitions::Sparse($dfa) => $question,
        }
    };
}

/// How much memory an automaton may take for its speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Built {
    /// Once per process.
    Shared,
    /// Once per tenant.
    Compact,
}

pub(crate) struct Automaton {
    transitions: Transitions,
    /// The start states, in the order of [`Before::SEEN`].
    starts: [Option<StateID>; Before::SEEN.len()],
    /// One byte of every class of bytes that the automaton tells apart.
    alphabet: Box<[u8]>,
    len_min: usize,
    len_max: Option<usize>,
}

/// Reads a pattern the way this crate means it: over the bytes of a view, ASCII classes, ASCII word boundaries.
pub(crate) fn parse(pattern: &str) -> Result<Hir, Box<regex_syntax::Error>> {
    let mut parser = ast::parse::ParserBuilder::new().nest_limit(NEST_MAX).build();
    let mut ast = parser.parse(pattern).map_err(|error| Box::new(error.into()))?;
    view::fold_pattern(&mut ast);
    let mut translator = TranslatorBuilder::new().unicode(false).utf8(false).build();
    translator.translate(pattern, &ast).map_err(|error| Box::new(error.into()))
}

impl Automaton {
    /// Compiles a pattern into at most `bytes_max` bytes of automaton.
    pub(crate) fn compile(hir: &Hir, bytes_max: usize, built: Built) -> Result<Self, BuildError> {
        let config = thompson::Config::new()
            .utf8(false)
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(bytes_max));
        let nfa = thompson::Compiler::new()
            .configure(config)
            .build_from_hir(hir)
            .map_err(|error| BuildError::Nfa(Box::new(error)))?;
        let config = dense::Config::new()
            .match_kind(MatchKind::All)
            .start_kind(regex_automata::dfa::StartKind::Anchored)
            .accelerate(false)
            .dfa_size_limit(Some(bytes_max))
            .determinize_size_limit(Some(bytes_max.saturating_mul(4)));
        let dfa = dense::Builder::new()
            .configure(config)
            .build_from_nfa(&nfa)
            .map_err(|error| BuildError::Dfa(Box::new(error)))?;
        let alphabet = dfa.byte_classes().representatives(..).filter_map(|unit| unit.as_u8()).collect();
        let transitions = match built {
            Built::Shared => Transitions::Dense(dfa),
            Built::Compact => {
                Transitions::Sparse(dfa.to_sparse().map_err(|error| BuildError::Dfa(Box::new(error)))?)
            }
        };
        let properties = hir.properties();
        let starts = Before::SEEN.map(|before| {
            let config = start::Config::new().anchored(Anchored::Yes).look_behind(before.sample());
            // Only a quit byte fails here, and ASCII word boundaries have none.
            ask!(transitions, dfa => dfa.start_state(&config).ok())
        });
        Ok(Self {
            alphabet,
            transitions,
            starts,
            len_min: properties.minimum_len().unwrap_or(0),
            len_max: properties.maximum_len(),
        })
    }

    /// Bytes of the transitions.
    pub(crate) fn bytes(&self) -> usize {
        ask!(self.transitions, dfa => dfa.memory_usage())
    }

    pub(crate) fn len_min(&self) -> usize {
        self.len_min
    }

    pub(crate) fn len_max(&self) -> Option<usize> {
        self.len_max
    }

    /// The state after the first byte of a candidate, unless that byte cannot start one; for [`Before::SEEN`].
    pub(crate) fn enter(&self, before: Before, byte: u8) -> Option<StateID> {
        let start = *self.starts.get(before as usize)?;
        let state = self.step(start?, byte);
        (!self.is_dead(state)).then_some(state)
    }

    #[inline]
    pub(crate) fn step(&self, state: StateID, byte: u8) -> StateID {
        ask!(self.transitions, dfa => dfa.next_state(state, byte))
    }

    #[inline]
    pub(crate) fn finish(&self, state: StateID) -> StateID {
        ask!(self.transitions, dfa => dfa.next_eoi_state(state))
    }

    /// Whether the state is worth a closer look: a match or the end of a candidate.
    #[inline]
    pub(crate) fn is_special(&self, state: StateID) -> bool {
        ask!(self.transitions, dfa => dfa.is_special_state(state))
    }

    #[inline]
    pub(crate) fn is_match(&self, state: StateID) -> bool {
        ask!(self.transitions, dfa => dfa.is_match_state(state))
    }

    /// Whether no longer match can follow.
    ///
    /// A match shows one byte late, and without this its head would live one byte longer still.
    pub(crate) fn is_final(&self, state: StateID) -> bool {
        self.alphabet.iter().all(|&byte| self.is_dead(self.step(state, byte)))
            && !self.is_match(self.finish(state))
    }

    #[inline]
    pub(crate) fn is_dead(&self, state: StateID) -> bool {
        ask!(self.transitions, dfa => dfa.is_dead_state(state) || dfa.is_quit_state(state))
    }
}

#[cfg(test)]
mod tests;
