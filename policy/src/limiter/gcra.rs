//! One schedule: GCRA with weights.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::schedule::Schedule;
use super::{Nodes, RateKey, RetryAfter};

const NANOS_PER_MINUTE: u64 = 60_000_000_000;
const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// How much of a minute's requests may come at once: a sixth, so ten seconds' worth, and at least one.
const BURST_PART: u32 = 6;
/// How far settlements may push a schedule beyond an empty bucket. Answers whose length nobody named can owe more
/// than was taken for them; beyond ten minutes a tenant would only be locked out.
const DEBT_NANOS_MAX: u64 = 10 * NANOS_PER_MINUTE;

/// Admits so many units per minute, in bursts of a bounded size; what was taken too much can be given back.
///
/// Equal to a bucket of `burst` units that is filled at the rate: the schedule's lead over the clock is what is
/// missing in the bucket. So over any span of time, what was taken less what was given back is at most the rate
/// times the span, and one burst.
///
/// ```
/// use std::num::NonZeroU32;
/// use bulkhead_policy::limiter::Gcra;
/// use chrono::DateTime;
/// let gcra = Gcra::of_requests(NonZeroU32::new(60).unwrap());
/// let now = DateTime::UNIX_EPOCH;
/// assert_eq!((0..20).filter(|_| gcra.take(1, now).is_ok()).count(), 10);
/// assert_eq!(gcra.take(1, now).unwrap_err().seconds(), 1);
/// gcra.give_back(1);
/// assert!(gcra.take(1, now).is_ok());
/// ```
#[derive(Debug, Clone)]
pub struct Gcra {
    per_minute: NonZeroU32,
    burst: u64,
    interval_nanos: u64,
    schedule: Arc<Schedule>,
}

/// What a limit has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Units per minute.
    pub limit: NonZeroU32,
    /// Units that may be taken now.
    pub remaining: u64,
    /// How long until as many may be taken at once as ever.
    pub reset: Duration,
}

impl Gcra {
    /// Makes a limiter of requests, which may come in bursts of ten seconds' worth.
    #[must_use]
    pub fn of_requests(per_minute: NonZeroU32) -> Self {
        Self::new(per_minute, (per_minute.get() / BURST_PART).max(1))
    }

    /// Makes a limiter of tokens, of which a whole minute's may be taken at once, as providers have it: one request
    /// takes thousands.
    #[must_use]
    pub fn of_tokens(per_minute: NonZeroU32) -> Self {
        Self::new(per_minute, per_minute.get())
    }

    /// Has a part of the rate, and the whole burst, on each node.
    pub(super) fn among(self, nodes: &Nodes, key: RateKey) -> Self {
        Self { schedule: Arc::new(Schedule::shared(nodes.clone(), key)), ..self }
    }

    /// Goes on with `known`'s schedule at this rate: what was taken under the one can be given back to the other.
    pub(super) fn continuing(self, known: Option<&Self>) -> Self {
        match known {
            Some(known) => Self { schedule: Arc::clone(&known.schedule), ..self },
            None => self,
        }
    }

    fn new(per_minute: NonZeroU32, burst: u32) -> Self {
        // Rounded up: the rate is never exceeded, and a rate beyond one per nanosecond is not divided to
        // nothing.
        let interval_nanos = NANOS_PER_MINUTE.div_ceil(u64::from(per_minute.get()));
        let burst = u64::from(burst);
        Self { per_minute, burst, interval_nanos, schedule: Arc::default() }
    }

    /// Returns the units per minute.
    #[must_use]
    pub fn per_minute(&self) -> NonZeroU32 {
        self.per_minute
    }

    /// Returns how many units may be taken at once; nobody ever gets more in one piece.
    #[must_use]
    pub fn burst(&self) -> u64 {
        self.burst
    }

    /// Takes `units`, all or none.
    ///
    /// # Errors
    /// [`RetryAfter`] if they are not there yet; a refusal costs nothing. More than [`burst`](Self::burst) are never there.
    pub fn take(&self, units: u64, now: DateTime<Utc>) -> Result<(), RetryAfter> {
        self.take_leaving(0, units, now)
    }

    /// Takes `units` if the bucket then still holds one `part`-th of a burst; 0: no matter what it holds.
    pub(super) fn take_leaving(&self, part: u64, units: u64, now: DateTime<Utc>) -> Result<(), RetryAfter> {
        let now = nanos(now);
        self.schedule.want(self.interval_nanos.saturating_mul(units), now);
        let burst = self.burst_nanos();
        let kept = burst.checked_div(part).unwrap_or(0);
        let cost = self.cost(units);
        let step = |next: u64| {
            let after = self.on_clock(next, now).saturating_add(cost);
            (after - now <= burst - kept).then_some(after)
        };
        match self.schedule.next_nanos.fetch_update(Ordering::AcqRel, Ordering::Acquire, step) {
            Ok(_) => Ok(()),
            Err(next) => {
                let after = self.on_clock(next, now).saturating_add(cost).saturating_add(kept);
                Err(RetryAfter::nanos(self.schedule.usually((after - now).saturating_sub(burst))))
            }
        }
    }

    /// Gives back units that were taken and not used.
    pub fn give_back(&self, units: u64) {
        self.schedule.want_less(self.interval_nanos.saturating_mul(units));
        let cost = self.cost(units);
        // Time that it gives back and that is over already is lost with the next taking: the bucket was full.
        let step = |next: u64| Some(next.saturating_sub(cost));
        let _always = self.schedule.next_nanos.fetch_update(Ordering::AcqRel, Ordering::Acquire, step);
    }

    /// Takes units that are used already: those who come next wait for them, for ten minutes at most.
    pub fn owe(&self, units: u64, now: DateTime<Utc>) {
        let now = nanos(now);
        self.schedule.want(self.interval_nanos.saturating_mul(units), now);
        let cost = self.cost(units);
        let most = now.saturating_add(self.burst_nanos()).saturating_add(self.debt_nanos_max());
        let step = |next: u64| Some(self.on_clock(next, now).saturating_add(cost).min(most));
        let _always = self.schedule.next_nanos.fetch_update(Ordering::AcqRel, Ordering::Acquire, step);
    }

    /// Says what is left.
    #[must_use]
    pub fn standing(&self, now: DateTime<Utc>) -> Standing {
        let now = nanos(now);
        let lead = self.on_clock(self.schedule.next_nanos.load(Ordering::Acquire), now) - now;
        let remaining = self.burst_nanos().saturating_sub(lead) / self.cost(1).max(1);
        Standing {
            limit: self.per_minute,
            remaining,
            reset: Duration::from_nanos(self.schedule.usually(lead)),
        }
    }

    /// Returns how long `units` take at this node's part of the rate.
    pub(super) fn cost(&self, units: u64) -> u64 {
        self.schedule.stretched(self.interval_nanos.saturating_mul(units))
    }

    /// Returns how long `units`, and a burst, take at the part that this node usually has.
    pub(super) fn usual_costs(&self, units: u64) -> (u64, u64) {
        let cost = |units| self.schedule.usually_stretched(self.interval_nanos.saturating_mul(units));
        (cost(units), cost(self.burst))
    }

    /// Returns how far the schedule may run ahead of the clock.
    pub(super) fn burst_nanos(&self) -> u64 {
        self.cost(self.burst)
    }

    fn debt_nanos_max(&self) -> u64 {
        self.schedule.stretched(DEBT_NANOS_MAX)
    }

    /// The schedule, but not behind the clock.
    fn on_clock(&self, next: u64, now: u64) -> u64 {
        // One further ahead than bursts and debts explain means that the clock was set back: start over. A lowered
        // rate inherits a schedule that is at most a minute ahead.
        let ahead_max = self.burst_nanos().max(NANOS_PER_MINUTE).saturating_add(self.debt_nanos_max());
        if next > now.saturating_add(ahead_max) { now } else { next.max(now) }
    }
}

impl RetryAfter {
    fn nanos(wait: u64) -> Self {
        Self(u32::try_from(wait.div_ceil(NANOS_PER_SECOND).max(1)).unwrap_or(u32::MAX))
    }
}

/// Nanoseconds since the epoch.
pub(super) fn nanos(at: DateTime<Utc>) -> u64 {
    at.timestamp_nanos_opt().and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or(0)
}
