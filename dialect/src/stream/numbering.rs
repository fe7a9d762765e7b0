//! Whether what has no number can be told from what has the number 0, and what has no name from what has one.

use crate::json::Value;

/// What is numbered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Level {
    /// Choices, candidates, content blocks, output items.
    Choice,
    /// Tool calls.
    Call,
}

/// How the texts of one reply were numbered so far.
///
/// Some providers leave numbers out, always or where they are 0; none does so now and then. A client may take a
/// missing number for 0 or not, so that a text of one kind could hide between pieces of the other.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Numbering {
    choices: Seen,
    calls: Seen,
    names: Seen,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// With the number 0, or with a name.
    zero: bool,
    none: bool,
}

impl Numbering {
    pub(super) fn note(&mut self, level: Level, number: Option<Value<'_, '_>>) {
        let seen = match level {
            Level::Choice => &mut self.choices,
            Level::Call => &mut self.calls,
        };
        match number.and_then(|number| number.as_integer()) {
            Some(0) => seen.zero = true,
            Some(_) => {}
            // Neither is a number in quotes.
            None => seen.none = true,
        }
    }

    /// Whether the name of an event with text stands in front of its data: some clients leave out those without.
    pub(super) fn note_name(&mut self, is_named: bool) {
        self.names.zero |= is_named;
        self.names.none |= !is_named;
    }

    pub(super) fn is_ambiguous(&self) -> bool {
        [self.choices, self.calls, self.names].into_iter().any(|seen| seen.zero && seen.none)
    }
}
