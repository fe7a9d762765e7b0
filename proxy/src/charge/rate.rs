//! Tokens per minute: what a request may use is taken before it leaves, and what it did not use is given back.
//!
//! 1. Taken is the input and the ceiling that the caller named. Where that is more than the limit the request is refused
//!    for good, as providers do: waiting would not help.
//! 2. Where the caller named none, what answers usually have is taken in its place, but never more than the limit: the ceiling
//!    of a model is far above what it says, and holding that would let one request through at a time. What an answer used
//!    beyond is owed, and those who come next wait for it.

use super::Estimate;
use crate::rejection::Rejection;
use bulkhead_policy::limiter::{CallerLimits, Hold};
use chrono::{DateTime, Utc};

/// More than most answers have.
const OUTPUT_TOKENS_USUAL: u64 = 2_048;

/// What a request needs of a rate.
#[derive(Debug, Clone, Copy)]
struct Need {
    input: u64,
    /// All answers together, at most.
    output: u64,
    choices: u64,
    /// The caller named that most.
    is_named: bool,
}

impl Need {
    /// The tokens to take where `at_once` are the most that there can be.
    fn tokens(self, at_once: u64) -> u64 {
        if self.is_named {
            return self.input.saturating_add(self.output);
        }
        let usual = self.output.min(OUTPUT_TOKENS_USUAL.saturating_mul(self.choices));
        self.input.saturating_add(usual).min(at_once.max(self.input))
    }
}

impl Estimate {
    /// Takes the tokens that the request may use from the rates of its caller.
    ///
    /// # Errors
    /// 429: later, or never where it may use more than a minute has.
    pub(crate) fn hold(&self, limits: &CallerLimits, now: DateTime<Utc>) -> Result<Hold, Rejection> {
        let Some(at_once) = limits.tokens_at_once() else { return Ok(Hold::default()) };
        let need = Need {
            input: self.usual_input,
            output: self.output_tokens,
            choices: self.choices,
            is_named: self.ceiling_is_asked,
        };
        limits.take_tokens(need.tokens(at_once), now).map_err(|refused| Rejection::no_tokens(&refused))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_ceiling_is_held_or_else_what_is_usual() {
        for (input, output, choices, is_named, expected) in [
            (100, 900, 1, true, 1_000),
            (100, 9_900, 1, true, 10_000),
            (100, 90_000, 1, true, 90_100),
            (100, 90_000, 1, false, 100 + OUTPUT_TOKENS_USUAL),
            (100, 90_000, 2, false, 100 + 2 * OUTPUT_TOKENS_USUAL),
            (100, 50, 1, false, 150),
            (9_000, 90_000, 1, false, 10_000),
            (10_000, 90_000, 1, false, 10_000),
            (10_001, 90_000, 1, false, 10_001),
            (100, 0, 1, false, 100),
        ] {
            let need = Need { input, output, choices, is_named };
            assert_eq!(need.tokens(10_000), expected, "{need:?}");
        }
    }
}
