//! The transitions of an automaton as one table: a row for each state, a cell for each class of bytes.
//!
//! Every open candidate looks up one cell for each byte of a text, so a cell says all there is to know about the state
//! it leads to.

use std::collections::HashMap;

use regex_automata::dfa::{Automaton as _, dense};
use regex_automata::util::primitives::StateID;

use super::{Starts, State, alphabet, start_ids};

pub(super) struct Table {
    /// The class of each byte.
    classes: [u8; 256],
    /// By state, then class; the class after the last stands for the end of the text.
    cells: Box<[State]>,
    end: usize,
}

impl Table {
    /// The table of what an automaton can reach, and its start states.
    pub(super) fn of(dfa: &dense::DFA<Vec<u32>>) -> (Self, Starts) {
        let alphabet = alphabet(dfa);
        let end = alphabet.len();
        let mut rows =
            Rows { dfa, alphabet: &alphabet, stride: end + 1, known: HashMap::new(), reached: Vec::new() };
        let starts = start_ids(dfa).map(|start| start.map(|id| rows.state(id)));
        // The first row is that of the dead state.
        let mut cells = vec![State::DEAD; rows.stride];
        let mut done = 0;
        while let Some(&id) = rows.reached.get(done) {
            done += 1;
            for &byte in &alphabet {
                cells.push(rows.state(dfa.next_state(id, byte)));
            }
            cells.push(rows.state(dfa.next_eoi_state(id)));
        }
        let mut classes = [0; 256];
        for (class, byte) in classes.iter_mut().zip(0..=u8::MAX) {
            *class = dfa.byte_classes().get(byte);
        }
        (Self { classes, cells: cells.into(), end }, starts)
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.classes) + size_of_val(&*self.cells)
    }

    #[inline]
    pub(super) fn step(&self, state: State, byte: u8) -> State {
        let class = self.classes.get(usize::from(byte)).copied().unwrap_or_default();
        self.cell(state, usize::from(class))
    }

    pub(super) fn finish(&self, state: State) -> State {
        self.cell(state, self.end)
    }

    #[inline]
    fn cell(&self, state: State, class: usize) -> State {
        self.cells.get(state.place() + class).copied().unwrap_or(State::DEAD)
    }
}

/// The states that were reached, in the order of their rows.
struct Rows<'a> {
    dfa: &'a dense::DFA<Vec<u32>>,
    alphabet: &'a [u8],
    stride: usize,
    known: HashMap<StateID, State>,
    reached: Vec<StateID>,
}

impl Rows<'_> {
    fn state(&mut self, id: StateID) -> State {
        if let Some(&known) = self.known.get(&id) {
            return known;
        }
        let state = State::new(self.dfa, self.alphabet, id, (self.reached.len() + 1) * self.stride);
        self.known.insert(id, state);
        if !state.is_dead() {
            self.reached.push(id);
        }
        state
    }
}
