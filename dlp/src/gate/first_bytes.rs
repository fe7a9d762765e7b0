//! The gate of a pattern without fixed text: the first bytes that its automaton takes.

use std::collections::BTreeSet;

use regex_automata::util::primitives::StateID;

use super::{WINDOW, is_word_before};
use crate::automaton::{Automaton, Before};

/// The bytes that can be first, second and third in a match.
#[derive(Debug)]
pub(crate) struct FirstBytes {
    pub(super) window: [BTreeSet<u8>; WINDOW],
    at_word_start: bool,
}

impl FirstBytes {
    /// Reads them off the automaton; `at_word_start` if no match starts after a word byte.
    pub(crate) fn of(automaton: &Automaton, at_word_start: bool) -> Self {
        let mut window: [BTreeSet<u8>; WINDOW] = Default::default();
        let mut states: BTreeSet<Option<StateID>> = BTreeSet::from([None]);
        for bytes in &mut window {
            let mut next = BTreeSet::new();
            for byte in 0..=u8::MAX {
                let reached: Vec<StateID> =
                    states.iter().flat_map(|state| after(automaton, *state, byte)).collect();
                if !reached.is_empty() {
                    bytes.insert(byte);
                    next.extend(reached.into_iter().map(Some));
                }
            }
            states = next;
        }
        Self { window, at_word_start }
    }

    /// Whether a match may start here: the automaton takes as many bytes as its shortest match has.
    pub(super) fn opens(&self, automaton: &Automaton, text: &[u8], at: usize) -> bool {
        if self.at_word_start && is_word_before(text, at) || text.len() - at < automaton.len_min() {
            return false;
        }
        let Some((&first, rest)) = text.get(at..).and_then(<[u8]>::split_first) else { return false };
        let before = Before::at(text, at);
        // What starts after an escape starts as after any byte that is no word byte.
        let before = if Before::SEEN.contains(&before) { before } else { Before::NonWord };
        let Some(mut state) = automaton.enter(before, first) else { return false };
        for &byte in rest.iter().take(automaton.len_min().saturating_sub(1)) {
            state = automaton.step(state, byte);
            if automaton.is_dead(state) {
                return false;
            }
        }
        true
    }
}

/// The states after one more byte; `None` stands for the state before the first.
fn after(automaton: &Automaton, state: Option<StateID>, byte: u8) -> Vec<StateID> {
    match state {
        None => Before::SEEN.into_iter().filter_map(|before| automaton.enter(before, byte)).collect(),
        Some(state) => {
            Some(automaton.step(state, byte)).into_iter().filter(|&state| !automaton.is_dead(state)).collect()
        }
    }
}
