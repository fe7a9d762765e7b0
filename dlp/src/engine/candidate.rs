//! What the engine keeps of a text: candidates, open and closed, and what was decided.

use crate::automaton::State;

use crate::action::Action;
use crate::keyed::{Fingerprint, TokenHash};
use crate::rules::{RuleSet, Start};

/// A candidate that is still open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) start: u64,
    /// The longest valid end so far; 0 while there is none.
    pub(super) end: u64,
    pub(super) state: State,
    pub(super) rule: u32,
    pub(super) dead: bool,
    /// An open-ended match that has won already and is masked as it goes on; see `resolve`.
    pub(super) open: bool,
}

impl Head {
    pub(super) fn new(start: u64, candidate: Start) -> Self {
        let Start { rule, state } = candidate;
        Self { start, end: 0, state, rule, dead: false, open: false }
    }

    /// The first byte whose fate this head can still change.
    pub(super) fn floor(&self) -> u64 {
        if self.open { self.end } else { self.start }
    }
}

/// A closed candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) rule: u32,
}

/// A decided match.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decided {
    pub(super) candidate: Candidate,
    pub(super) fingerprint: Option<Fingerprint>,
}

/// A decided range to replace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) rule: u32,
    /// The rest of the token that takes its place; without one it is the placeholder.
    pub(super) token: Option<TokenHash>,
    /// Whether the placeholder stands in an earlier piece.
    pub(super) continued: bool,
    /// Whether it may be handed out in parts.
    pub(super) divisible: bool,
}

/// What stays as it was when the block happened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frozen {
    pub(super) held_from: u64,
    pub(super) decided: u64,
}

/// The matches that compete for the same bytes. Block rules compete with nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    /// Masks and tokens: both take the value's place.
    Mask,
    Alert,
}

impl Layer {
    pub(super) const COUNT: usize = 2;
    pub(super) const ALL: [Self; Self::COUNT] = [Self::Mask, Self::Alert];

    pub(super) fn of(rules: &RuleSet, rule: u32) -> Option<Self> {
        match rules.rule(rule)?.action {
            Action::Mask | Action::Tokenize => Some(Self::Mask),
            Action::Alert => Some(Self::Alert),
            Action::Block => None,
        }
    }
}
