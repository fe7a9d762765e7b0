//! Whether what has no number can be told from what has the number 0.

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
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
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

    pub(super) fn is_ambiguous(&self) -> bool {
        [self.choices, self.calls].into_iter().any(|seen| seen.zero && seen.none)
    }
}
