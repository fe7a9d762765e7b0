//! Rate and concurrency limits, by atomics alone.
//!
//! - A rate is GCRA (the generic cell rate algorithm): one time per limiter says when the next unit would be on
//!   schedule, and units may come early by up to a burst. Unlike a window's counter it admits no double rate around a
//!   window's edge, and it knows exactly when the next request will pass.
//! - Tokens are taken before a request is forwarded, as many as it may need, and what it did not use is given back. A
//!   request that needs more than a minute has is refused at once and never waits.
//! - A request is held to the limits of its key, its agent and its tenant, all of them. One that a limit refuses takes
//!   nothing of the others.
//! - Where several nodes serve, each has its part of a rate, by what is wanted there, and the burst: [`Sharing`] has the protocol.
//!   Places at the same time are each node's own.
//! - Where a tenant's own limit is short, its agents are served fairly: see [`CallerLimits`].
//! - What a request takes it gives back when its guard is dropped, whatever ends it.

mod bytes;
mod caller;
mod fair;
mod gcra;
mod nodes;
mod places;
mod schedule;
mod sharing;

use std::fmt;
use std::num::NonZeroU32;

pub use bytes::ByteCount;
pub use caller::{Admission, AgentLimiter, CallerLimits, Hold, KeyLimiter, Standings, TenantLimiter};
pub use gcra::{Gcra, Standing};
pub use nodes::{Nodes, RateKey};
pub use places::{InFlight, InFlightGuard};
pub use sharing::{COUNTS_FOR, PartAsk, Portion, Sharing, WHOLE, fitting_part};

/// What a tenant, an agent or a key may have; `None` means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Requests per minute.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Tokens per minute, input and output together.
    pub tokens_per_minute: Option<NonZeroU32>,
    /// Requests at the same time.
    pub concurrent_requests: Option<NonZeroU32>,
}

impl Limits {
    /// Returns the lower of each.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        let lower = |a: Option<NonZeroU32>, b: Option<NonZeroU32>| a.into_iter().chain(b).min();
        Self {
            requests_per_minute: lower(self.requests_per_minute, other.requests_per_minute),
            tokens_per_minute: lower(self.tokens_per_minute, other.tokens_per_minute),
            concurrent_requests: lower(self.concurrent_requests, other.concurrent_requests),
        }
    }
}

/// Whole seconds after which a refused request may pass; at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RetryAfter(u32);

impl RetryAfter {
    /// Nobody knows when a running request ends; soon is right more often than late.
    const SOON: Self = Self(1);

    /// Returns the seconds, as the `Retry-After` header wants them.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        self.0
    }
}

/// Whose limit it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The API key's.
    Key,
    /// The agent's.
    Agent,
    /// The tenant's.
    Tenant,
}

impl Scope {
    /// Returns the name used in messages and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Agent => "agent",
            Self::Tenant => "tenant",
        }
    }
}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Counted {
    /// Requests per minute.
    #[default]
    Requests,
    /// Tokens per minute.
    Tokens,
    /// Requests at the same time.
    Concurrency,
}

impl Counted {
    /// Returns the name used in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Concurrency => "concurrency",
        }
    }

    const fn unit(self) -> &'static str {
        match self {
            Self::Requests => "requests per minute",
            Self::Tokens => "tokens per minute",
            Self::Concurrency => "requests at once",
        }
    }
}

/// Says which limit turned a request away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub struct Throttled {
    /// Whose limit.
    pub scope: Scope,
    /// What it counts.
    pub counted: Counted,
    /// The limit.
    pub limit: NonZeroU32,
    /// There is some left, but the tenant's other agents have not had their share of it.
    pub is_kept_for_others: bool,
    /// When to come back.
    pub retry_after: RetryAfter,
}

impl fmt::Display for Throttled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scope, limit, unit) = (self.scope.as_str(), self.limit, self.counted.unit());
        if self.is_kept_for_others {
            write!(f, "what is left of the {scope}'s {limit} {unit} is for its other agents")
        } else {
            write!(f, "more than the {limit} {unit} of the {scope}")
        }
    }
}

/// Why a request gets no tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoTokens {
    /// There are not enough now.
    #[error(transparent)]
    Throttled(#[from] Throttled),
    /// There will never be.
    #[error("the request may use {asked} tokens, more than the {limit} tokens per minute of the {}", .scope.as_str())]
    TooLarge {
        /// What it may need.
        asked: u64,
        /// Whose limit.
        scope: Scope,
        /// The limit.
        limit: NonZeroU32,
    },
}

#[cfg(test)]
mod tests;
