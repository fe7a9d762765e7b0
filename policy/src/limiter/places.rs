//! Places among the running requests.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

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
        self.acquire_below(max.map_or(u32::MAX, NonZeroU32::get))
    }

    /// Takes a place if fewer than `max` are taken.
    pub(super) fn acquire_below(&self, max: u32) -> Option<InFlightGuard> {
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
