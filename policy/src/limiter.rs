//! Rate and concurrency limits, by atomics alone.
//!
//! The rate is GCRA (the generic cell rate algorithm): one time per limiter says when the next request would
//! be on schedule, and a request may come early by up to a burst. Unlike a window's counter it admits no
//! double rate around a window's edge, and it knows exactly when the next request will pass.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use chrono::{DateTime, Utc};

const NANOS_PER_MINUTE: u64 = 60_000_000_000;
const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// How much of a minute's requests may come at once: a sixth, so ten seconds' worth, and at least one.
const BURST_PART: u32 = 6;

/// Whole seconds after which a refused request may pass; at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RetryAfter(u32);

impl RetryAfter {
    /// Returns the seconds, as the `Retry-After` header wants them.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        self.0
    }
}

/// Admits so many requests per minute, in bursts of up to ten seconds' worth.
///
/// ```
/// use std::num::NonZeroU32;
/// use bulkhead_policy::limiter::Gcra;
/// use chrono::DateTime;
/// let gcra = Gcra::new(NonZeroU32::new(60).unwrap());
/// let now = DateTime::UNIX_EPOCH;
/// assert_eq!((0..20).filter(|_| gcra.check(now).is_ok()).count(), 10);
/// assert_eq!(gcra.check(now).unwrap_err().seconds(), 1);
/// ```
#[derive(Debug)]
pub struct Gcra {
    interval_nanos: u64,
    /// How far ahead of the clock the schedule may run.
    tolerance_nanos: u64,
    /// When the next request is on schedule, in nanoseconds since the epoch.
    next_nanos: AtomicU64,
}

impl Gcra {
    /// Makes a limiter that has seen nothing yet.
    #[must_use]
    pub fn new(requests_per_minute: NonZeroU32) -> Self {
        let rate = u64::from(requests_per_minute.get());
        let burst = u64::from((requests_per_minute.get() / BURST_PART).max(1));
        // Rounded up: the rate is never exceeded, and a rate beyond one per nanosecond is not divided to
        // nothing.
        let interval_nanos = NANOS_PER_MINUTE.div_ceil(rate);
        Self { interval_nanos, tolerance_nanos: interval_nanos * (burst - 1), next_nanos: AtomicU64::new(0) }
    }

    /// Continues another limiter's schedule at this limiter's rate.
    fn continue_from(&self, other: &Self) {
        self.next_nanos.store(other.next_nanos.load(Ordering::Acquire), Ordering::Release);
    }

    /// Admits one request.
    ///
    /// # Errors
    /// [`RetryAfter`] if it comes too early; a refused request costs nothing.
    pub fn check(&self, now: DateTime<Utc>) -> Result<(), RetryAfter> {
        let now = now.timestamp_nanos_opt().and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or(0);
        let step = |next: u64| {
            // A schedule further ahead than bursts explain means that the clock was set back: start over.
            let next = if next > now.saturating_add(self.ahead_max()) { now } else { next.max(now) };
            (next - now <= self.tolerance_nanos).then(|| next.saturating_add(self.interval_nanos))
        };
        match self.next_nanos.fetch_update(Ordering::AcqRel, Ordering::Acquire, step) {
            Ok(_) => Ok(()),
            Err(next) => {
                let wait = next.saturating_sub(now).saturating_sub(self.tolerance_nanos);
                let seconds = wait.div_ceil(NANOS_PER_SECOND).max(1);
                Err(RetryAfter(u32::try_from(seconds).unwrap_or(u32::MAX)))
            }
        }
    }

    fn ahead_max(&self) -> u64 {
        // A lowered rate inherits a schedule that is at most a minute ahead.
        self.tolerance_nanos + self.interval_nanos.max(NANOS_PER_MINUTE)
    }
}

/// Counts requests that are under way.
#[derive(Debug, Clone, Default)]
pub struct InFlight {
    running: Arc<AtomicU32>,
}

impl InFlight {
    /// Takes a place unless `max` are taken.
    ///
    /// ```
    /// use std::num::NonZeroU32;
    /// use bulkhead_policy::limiter::InFlight;
    /// let in_flight = InFlight::default();
    /// let one = NonZeroU32::new(1);
    /// let guard = in_flight.acquire(one);
    /// assert!(guard.is_some() && in_flight.acquire(one).is_none());
    /// drop(guard);
    /// assert!(in_flight.acquire(one).is_some());
    /// ```
    #[must_use]
    pub fn acquire(&self, max: Option<NonZeroU32>) -> Option<InFlightGuard> {
        let max = max.map_or(u32::MAX, NonZeroU32::get);
        let step = |running: u32| (running < max).then(|| running + 1);
        self.running.fetch_update(Ordering::AcqRel, Ordering::Acquire, step).ok()?;
        Some(InFlightGuard { running: Arc::clone(&self.running) })
    }

    /// Returns how many places are taken.
    #[must_use]
    pub fn running(&self) -> u32 {
        self.running.load(Ordering::Acquire)
    }
}

/// A place among the running requests; dropping it gives it back.
#[derive(Debug)]
pub struct InFlightGuard {
    running: Arc<AtomicU32>,
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.running.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Says which limit turned a request away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Throttled {
    /// Too many requests per minute.
    #[error("more than {limit} requests per minute")]
    Rate {
        /// The limit.
        limit: NonZeroU32,
        /// When to come back.
        retry_after: RetryAfter,
    },
    /// Too many requests at once.
    #[error("more than {limit} requests at once")]
    Concurrency {
        /// The limit.
        limit: NonZeroU32,
    },
}

impl Throttled {
    /// Returns when to come back, in whole seconds; at least 1.
    #[must_use]
    pub const fn retry_after_seconds(&self) -> u32 {
        match self {
            Self::Rate { retry_after, .. } => retry_after.seconds(),
            // Nobody knows when a running request ends; soon is right more often than late.
            Self::Concurrency { .. } => 1,
        }
    }
}

/// The rate and concurrency limits of a tenant or an agent, with their state.
#[derive(Debug)]
pub struct TenantLimiter {
    rate: Option<(NonZeroU32, Gcra)>,
    concurrent_max: Option<NonZeroU32>,
    in_flight: InFlight,
}

impl TenantLimiter {
    /// Makes a limiter; `None` means no limit.
    #[must_use]
    pub fn new(
        requests_per_minute: Option<NonZeroU32>,
        concurrent_requests: Option<NonZeroU32>,
    ) -> Arc<Self> {
        let rate = requests_per_minute.map(|rate| (rate, Gcra::new(rate)));
        Arc::new(Self { rate, concurrent_max: concurrent_requests, in_flight: InFlight::default() })
    }

    /// Returns a limiter with new limits that goes on where `self` is; the same one if nothing changed.
    #[must_use]
    pub fn with_limits(
        self: &Arc<Self>,
        requests_per_minute: Option<NonZeroU32>,
        concurrent_requests: Option<NonZeroU32>,
    ) -> Arc<Self> {
        let rate_now = self.rate.as_ref().map(|(rate, _)| *rate);
        if rate_now == requests_per_minute && self.concurrent_max == concurrent_requests {
            return Arc::clone(self);
        }
        let rate = requests_per_minute.map(|rate| (rate, Gcra::new(rate)));
        if let (Some((_, new)), Some((_, old))) = (&rate, &self.rate) {
            new.continue_from(old);
        }
        Arc::new(Self { rate, concurrent_max: concurrent_requests, in_flight: self.in_flight.clone() })
    }

    /// Admits one request; it counts as running until the guard is dropped.
    ///
    /// Concurrency is looked at first: a request that finds no place does not use up rate.
    ///
    /// # Errors
    /// [`Throttled`] with the limit that stood in the way.
    pub fn admit(&self, now: DateTime<Utc>) -> Result<InFlightGuard, Throttled> {
        let guard = match (self.in_flight.acquire(self.concurrent_max), self.concurrent_max) {
            (Some(guard), _) => guard,
            (None, limit) => return Err(Throttled::Concurrency { limit: limit.unwrap_or(NonZeroU32::MAX) }),
        };
        if let Some((limit, gcra)) = &self.rate {
            gcra.check(now).map_err(|retry_after| Throttled::Rate { limit: *limit, retry_after })?;
        }
        Ok(guard)
    }

    /// Returns how many requests are running.
    #[must_use]
    pub fn running(&self) -> u32 {
        self.in_flight.running()
    }
}

#[cfg(test)]
mod tests;
