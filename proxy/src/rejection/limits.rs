//! Refusals of step 5 and 6 because something is short: a rate, a place, memory.

use super::{Rejection, Source};
use bulkhead_dialect::error::ErrorKind;
use bulkhead_policy::limiter::{Counted, NoTokens, Throttled};

impl Rejection {
    /// `Retry-After` stays small: SDKs sleep for it, some without a cap.
    pub(crate) fn throttled(throttled: &Throttled) -> Self {
        let code = match throttled.counted {
            Counted::Requests | Counted::Tokens => "rate_limit_exceeded",
            Counted::Concurrency => "concurrency_limit_exceeded",
        };
        let seconds = throttled.retry_after.seconds().clamp(1, 60);
        Self {
            retry_after_seconds: Some(seconds),
            throttled: Some(((!throttled.is_kept_for_others).then_some(throttled.scope), throttled.counted)),
            ..Self::new(429, ErrorKind::RateLimit, code, throttled.to_string())
        }
    }

    /// A request that is larger than a whole minute's tokens gets the status that providers give it, but is not to be
    /// repeated.
    pub(crate) fn no_tokens(refused: &NoTokens) -> Self {
        match refused {
            NoTokens::Throttled(throttled) => Self::throttled(throttled),
            NoTokens::TooLarge { .. } => {
                let message = format!("{refused}; make the input or the answer's ceiling smaller");
                let code = "request_exceeds_rate_limit";
                Self { final_answer: true, ..Self::new(429, ErrorKind::RateLimit, code, message) }
            }
        }
    }

    pub(crate) fn tenant_memory_full(max: u64) -> Self {
        let message = format!("the tenant's requests hold more than {max} bytes at once");
        let code = "memory_limit_exceeded";
        Self { retry_after_seconds: Some(1), ..Self::new(429, ErrorKind::RateLimit, code, message) }
    }

    pub(crate) fn memory_full() -> Self {
        let message = "there is no room for more bodies; try again shortly";
        Self {
            source: Source::Internal,
            retry_after_seconds: Some(1),
            ..Self::new(503, ErrorKind::Unavailable, "overloaded", message)
        }
    }
}
