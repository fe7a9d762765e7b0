//! Fixed texts that have begun: one opening stands for every detector whose texts begin like what was read.
//!
//! When a text is complete, its detectors have a head each, which goes on where the text ends. Until then the
//! opening holds the bytes back, and nothing that a detector of any layer could still win is decided.

use std::mem;

use super::{Engine, Head, Window};
use crate::before::Before;
use crate::rules::{RuleSet, Start};
use crate::trie::Node;

/// A fixed text of at least one detector that has begun and is not complete.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    pub(super) start: u64,
    /// What stands before it, as patterns see it.
    pub(super) before: Before,
    pub(super) node: Node,
}

impl Engine {
    /// Steps every opening by one byte; whether one of them has ended.
    pub(super) fn step_openings(&mut self, rules: &RuleSet, window: Window<'_>, byte: u8) -> bool {
        let texts = rules.fixed_texts();
        let mut openings = mem::take(&mut self.openings);
        let count = openings.len();
        openings.retain_mut(|opening| {
            let Some(node) = texts.step(opening.node, byte) else { return false };
            opening.node = node;
            for &rule in texts.ends(node) {
                self.begin(rules, window, *opening, rule);
            }
            !texts.is_leaf(node)
        });
        self.openings = openings;
        self.openings.len() < count
    }

    /// Begins the head of a rule whose fixed text is complete with the byte at hand.
    fn begin(&mut self, rules: &RuleSet, window: Window<'_>, opening: Opening, rule: u32) {
        let Opening { start, before, .. } = opening;
        let read = window.get(start, self.position + 1).and_then(<[u8]>::split_first);
        let (Some((&first, rest)), Some(detector)) = (read, rules.detector(rule)) else { return };
        let automaton = detector.automaton();
        let Some(entered) = automaton.enter(before, first) else { return };
        let state = rest.iter().fold(entered, |state, &byte| automaton.step(state, byte));
        if !state.is_dead() && !self.is_lost(rules, start, rule) {
            let place = self.heads.partition_point(|other| other.start <= start);
            self.heads.insert(place, Head::new(start, Start { rule, state }));
        }
    }

    /// The start of the first opening.
    pub(super) fn first_opening(&self) -> Option<u64> {
        self.openings.first().map(|opening| opening.start)
    }
}
