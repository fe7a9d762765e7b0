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

impl Estimate {
    /// Takes the tokens that the request may use from the rates of its caller.
    ///
    /// # Errors
    /// 429: later, or never where it may use more than a minute has.
    pub(crate) fn hold(&self, limits: &CallerLimits, now: DateTime<Utc>) -> Result<Hold, Rejection> {
        let Some(at_once) = limits.tokens_at_once() else { return Ok(Hold::default()) };
        let input = self.input_tokens;
        let tokens = if self.ceiling_is_asked {
            input.saturating_add(self.output_tokens)
        } else {
            let usual = self.output_tokens.min(OUTPUT_TOKENS_USUAL.saturating_mul(self.choices));
            input.saturating_add(usual).min(at_once.max(input))
        };
        limits.take_tokens(tokens, now).map_err(|refused| Rejection::no_tokens(&refused))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bulkhead_dialect::Operation;
    use bulkhead_dialect::request::RequestHead;
    use bulkhead_policy::limiter::{AgentLimiter, Limits, TenantLimiter};
    use std::num::NonZeroU32;

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn caller(tokens_per_minute: u32) -> CallerLimits {
        let limits = Limits { tokens_per_minute: NonZeroU32::new(tokens_per_minute), ..Limits::default() };
        CallerLimits::new(TenantLimiter::new(limits, None), AgentLimiter::new(Limits::default(), None), None)
    }

    /// 3 bytes are one input token.
    fn held(limit: u32, input: usize, ceiling: Option<u64>) -> Result<u64, &'static str> {
        let caller = caller(limit);
        let head = RequestHead { max_output_tokens: ceiling, choices: 1, ..RequestHead::default() };
        let estimate = Estimate::new(Operation::Chat, &head, input * 3, None);
        let _hold = estimate.hold(&caller, NOW).map_err(|rejection| rejection.code())?;
        let left = caller.standings(NOW).tokens.map_or(0, |standing| standing.remaining);
        Ok(u64::from(limit) - left)
    }

    #[test]
    fn the_named_ceiling_is_held_or_else_what_is_usual() {
        for (input, ceiling, expected) in [
            (100, Some(900), Ok(1_000)),
            (100, Some(9_900), Ok(10_000)),
            (100, Some(9_901), Err("request_exceeds_rate_limit")),
            (100, None, Ok(100 + OUTPUT_TOKENS_USUAL)),
            (9_000, None, Ok(10_000)),
            (10_000, None, Ok(10_000)),
            (10_001, None, Err("request_exceeds_rate_limit")),
        ] {
            assert_eq!(held(10_000, input, ceiling), expected, "{input} and {ceiling:?}");
        }
    }

    #[test]
    fn without_a_limit_nothing_is_held() {
        let head = RequestHead { max_output_tokens: Some(u64::MAX), choices: 1, ..RequestHead::default() };
        let estimate = Estimate::new(Operation::Chat, &head, 3_000, None);
        assert!(estimate.hold(&caller(0), NOW).is_ok());
    }
}
