//! The compiled form of a pattern: an anchored DFA over bytes that reports every end of a match.
//!
//! A match is reported one byte late, on the byte after it or at the end of the text, because only then
//! a word boundary at its end is decided.

mod compact;
mod table;

use regex_automata::dfa::{self, dense};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use regex_syntax::ast;
use regex_syntax::hir::Hir;
use regex_syntax::hir::translate::TranslatorBuilder;

use crate::before::Before;
use crate::view;
use compact::Compact;
use table::Table;

/// How deep groups may nest in a pattern; bounds the recursion of everything that walks it.
const NEST_MAX: u32 = 64;

/// Why a pattern has no automaton.
#[derive(Debug)]
pub(crate) enum BuildError {
    /// The syntax tree is too large for the limit.
    Nfa(Box<thompson::BuildError>),
    /// The automaton is too large for the limit, or needs a feature it does not have.
    Dfa(Box<dense::BuildError>),
    /// What only leads on takes more than the limit: so it is where nearly every byte leads elsewhere.
    TooLarge,
}

/// Where a candidate stands in its automaton, and what that means for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct State(u32);

impl State {
    /// No match can follow.
    pub(crate) const DEAD: Self = Self(1 << 31);
    const MATCH: u32 = 1 << 30;
    const LAST: u32 = 1 << 29;

    /// The state at a place of the transitions. They are far shorter than 2^29: the limits of patterns see to that.
    fn new(dfa: &impl dfa::Automaton, alphabet: &[u8], id: StateID, place: usize) -> Self {
        let place = u32::try_from(place).ok().filter(|&place| place < Self::LAST);
        let (Some(place), false) = (place, is_dead(dfa, id)) else { return Self::DEAD };
        if !dfa.is_match_state(id) {
            return Self(place);
        }
        let mut next = alphabet.iter().map(|&byte| dfa.next_state(id, byte));
        let is_last = next.all(|next| is_dead(dfa, next)) && !dfa.is_match_state(dfa.next_eoi_state(id));
        Self(place | Self::MATCH | if is_last { Self::LAST } else { 0 })
    }

    #[inline]
    fn place(self) -> usize {
        (self.0 & (Self::LAST - 1)) as usize
    }

    /// Whether it is worth a closer look: a match or the end of a candidate.
    #[inline]
    pub(crate) fn is_special(self) -> bool {
        self.0 >= Self::LAST
    }

    #[inline]
    pub(crate) fn is_dead(self) -> bool {
        self == Self::DEAD
    }

    #[inline]
    pub(crate) fn is_match(self) -> bool {
        self.0 & Self::MATCH != 0
    }

    /// Whether it is a match that no longer one can follow.
    ///
    /// A match shows one byte late, and without this its head would live one byte longer still.
    #[inline]
    pub(crate) fn is_last(self) -> bool {
        self.0 & Self::LAST != 0
    }
}

fn is_dead(dfa: &impl dfa::Automaton, state: StateID) -> bool {
    dfa.is_dead_state(state) || dfa.is_quit_state(state)
}

/// Where candidates start, in the order of [`Before::SEEN`].
type Starts = [Option<State>; Before::SEEN.len()];

/// The start states by what stands before them.
fn start_ids(dfa: &impl dfa::Automaton) -> [Option<StateID>; Before::SEEN.len()] {
    Before::SEEN.map(|before| {
        let config = start::Config::new().anchored(Anchored::Yes).look_behind(before.sample());
        // Only a quit byte fails here, and ASCII word boundaries have none.
        dfa.start_state(&config).ok()
    })
}

/// One byte of every class of bytes that an automaton tells apart, by class.
fn alphabet(dfa: &dense::DFA<Vec<u32>>) -> Box<[u8]> {
    dfa.byte_classes().representatives(..).filter_map(|unit| unit.as_u8()).collect()
}

/// The transitions of an automaton.
#[expect(
    clippy::large_enum_variant,
    reason = "every byte of a candidate asks the table, a tenant's own are few"
)]
enum Transitions {
    /// For what all tenants share.
    Dense(Table),
    /// For a tenant's own.
    Compact(Compact),
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
    starts: Starts,
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
            .start_kind(dfa::StartKind::Anchored)
            .accelerate(false)
            .dfa_size_limit(Some(bytes_max))
            .determinize_size_limit(Some(bytes_max.saturating_mul(4)));
        let dfa = dense::Builder::new()
            .configure(config)
            .build_from_nfa(&nfa)
            .map_err(|error| BuildError::Dfa(Box::new(error)))?;
        let (transitions, starts) = match built {
            Built::Shared => {
                let (table, starts) = Table::of(&dfa);
                (Transitions::Dense(table), starts)
            }
            Built::Compact => {
                let (compact, starts) = Compact::of(&dfa).map_err(BuildError::Dfa)?;
                (Transitions::Compact(compact), starts)
            }
        };
        let properties = hir.properties();
        let automaton = Self {
            transitions,
            starts,
            len_min: properties.minimum_len().unwrap_or(0),
            len_max: properties.maximum_len(),
        };
        if automaton.bytes() <= bytes_max { Ok(automaton) } else { Err(BuildError::TooLarge) }
    }

    /// Bytes of the transitions.
    pub(crate) fn bytes(&self) -> usize {
        match &self.transitions {
            Transitions::Dense(table) => table.bytes(),
            Transitions::Compact(compact) => compact.bytes(),
        }
    }

    pub(crate) fn len_min(&self) -> usize {
        self.len_min
    }

    pub(crate) fn len_max(&self) -> Option<usize> {
        self.len_max
    }

    /// The state after the first byte of a candidate, unless that byte cannot start one; for [`Before::SEEN`].
    pub(crate) fn enter(&self, before: Before, byte: u8) -> Option<State> {
        let start = *self.starts.get(before as usize)?;
        let state = self.step(start?, byte);
        (!state.is_dead()).then_some(state)
    }

    #[inline]
    pub(crate) fn step(&self, state: State, byte: u8) -> State {
        match &self.transitions {
            Transitions::Dense(table) => table.step(state, byte),
            Transitions::Compact(compact) => compact.step(state, byte),
        }
    }

    pub(crate) fn finish(&self, state: State) -> State {
        match &self.transitions {
            Transitions::Dense(table) => table.finish(state),
            Transitions::Compact(compact) => compact.finish(state),
        }
    }
}
