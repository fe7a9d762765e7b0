//! The transitions of an automaton that lead on, and no others: a tenth of a table's memory and half its speed.

use regex_automata::dfa::{Automaton as _, dense, sparse};
use regex_automata::util::primitives::StateID;

use super::{Starts, State, alphabet, start_ids};

pub(super) struct Compact {
    dfa: sparse::DFA<Vec<u8>>,
    alphabet: Box<[u8]>,
}

impl Compact {
    /// The transitions of an automaton, and its start states.
    pub(super) fn of(dfa: &dense::DFA<Vec<u32>>) -> Result<(Self, Starts), Box<dense::BuildError>> {
        let compact = Self { dfa: dfa.to_sparse().map_err(Box::new)?, alphabet: alphabet(dfa) };
        let starts = start_ids(&compact.dfa).map(|start| start.map(|id| compact.state(id)));
        Ok((compact, starts))
    }

    pub(super) fn bytes(&self) -> usize {
        self.dfa.memory_usage()
    }

    #[inline]
    pub(super) fn step(&self, state: State, byte: u8) -> State {
        self.next(state, |dfa, id| dfa.next_state(id, byte))
    }

    pub(super) fn finish(&self, state: State) -> State {
        self.next(state, |dfa, id| dfa.next_eoi_state(id))
    }

    fn next(&self, state: State, next: impl FnOnce(&sparse::DFA<Vec<u8>>, StateID) -> StateID) -> State {
        match StateID::new(state.place()) {
            Ok(id) if !state.is_dead() => self.state(next(&self.dfa, id)),
            _ => State::DEAD,
        }
    }

    fn state(&self, id: StateID) -> State {
        State::new(&self.dfa, &self.alphabet, id, id.as_usize())
    }
}
