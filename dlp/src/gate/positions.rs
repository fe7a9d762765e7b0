//! What matches of a pattern without fixed text contain, read off its automaton: which bytes can stand where.

use std::collections::BTreeSet;

use super::long_words::is_long_word_byte;
use super::texts::Window;
use crate::automaton::{Automaton, State};
use crate::before::Before;

/// The bytes that can stand at one place of a match.
pub(super) type Place = BTreeSet<u8>;

/// How many places from the start on are looked at.
const PLACES_MAX: usize = 24;

/// A run of fewer digits is found in most texts.
const DIGITS_MIN: usize = 4;

/// A run of digits that starts later than this is no good: its match may start too far before.
const DIGITS_START_MAX: usize = 15;

/// A word of fewer bytes is found in most texts.
const LONG_WORD_MIN: usize = 11;

/// What every match contains.
#[derive(Debug)]
pub(crate) enum Positions {
    /// A run of digits.
    Digits(DigitRun),
    /// One of a few windows.
    Window(Window),
    /// A long run of bytes of words, from its start on.
    LongWord { len: usize },
}

/// At least so many digits in a row, from the `start`th byte of a match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DigitRun {
    pub(super) start: usize,
    pub(super) len: usize,
}

impl Positions {
    /// The rarest of what every match contains; `None` if it is too common.
    pub(super) fn of(automaton: &Automaton) -> Option<Self> {
        let places = places(automaton);
        let digits = longest_run(&places, |byte| byte.is_ascii_digit());
        if digits.len >= DIGITS_MIN && digits.start <= DIGITS_START_MAX {
            return Some(Self::Digits(digits));
        }
        let word = places.iter().take_while(|bytes| bytes.iter().copied().all(is_long_word_byte)).count();
        match Window::rarest(&places) {
            Some(window) if window.is_rare() => Some(Self::Window(window)),
            _ if word >= LONG_WORD_MIN => Some(Self::LongWord { len: word }),
            other => other.map(Self::Window),
        }
    }
}

/// The first of the longest runs of places at which nothing but such bytes can stand.
fn longest_run(places: &[Place], fits: impl Fn(u8) -> bool) -> DigitRun {
    let run_at = |start: usize| {
        let rest = places.get(start..).unwrap_or_default();
        DigitRun { start, len: rest.iter().take_while(|bytes| bytes.iter().all(|&byte| fits(byte))).count() }
    };
    let runs = (0..places.len()).map(run_at);
    runs.fold(DigitRun { start: 0, len: 0 }, |best, run| if run.len > best.len { run } else { best })
}

/// The bytes that can stand at each place of a match, as far as the shortest match goes.
fn places(automaton: &Automaton) -> Vec<Place> {
    let mut places = Vec::new();
    let mut states: BTreeSet<Option<State>> = BTreeSet::from([None]);
    while places.len() < automaton.len_min().min(PLACES_MAX) {
        let (mut bytes, mut next) = (Place::new(), BTreeSet::new());
        for byte in 0..=u8::MAX {
            let reached: Vec<State> =
                states.iter().flat_map(|&state| after(automaton, state, byte)).collect();
            if !reached.is_empty() {
                bytes.insert(byte);
                next.extend(reached.into_iter().map(Some));
            }
        }
        places.push(bytes);
        states = next;
    }
    places
}

/// The states after one more byte; `None` stands for the state before the first.
fn after(automaton: &Automaton, state: Option<State>, byte: u8) -> Vec<State> {
    match state {
        None => Before::SEEN.into_iter().filter_map(|before| automaton.enter(before, byte)).collect(),
        Some(state) => {
            Some(automaton.step(state, byte)).into_iter().filter(|&state| !state.is_dead()).collect()
        }
    }
}
