//! The counters of one ledger: a chain of windows, the newest first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use arc_swap::{ArcSwap, ArcSwapOption};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::{Bounds, BudgetUnit, LedgerKey, Window};

/// One window's counters, in the unit of its ledger.
#[derive(Debug)]
pub(super) struct WindowCount {
    bounds: Bounds,
    /// Settled plus reserved.
    committed: AtomicU64,
    settled: AtomicU64,
    /// The window before this one, until nothing in it is open.
    previous: ArcSwapOption<WindowCount>,
}

impl WindowCount {
    fn new(bounds: Bounds, stored: u64, previous: Option<Arc<Self>>) -> Self {
        Self {
            bounds,
            committed: AtomicU64::new(stored),
            settled: AtomicU64::new(stored),
            previous: ArcSwapOption::new(previous),
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.bounds
    }

    pub(super) fn committed(&self) -> u64 {
        self.committed.load(Ordering::Acquire)
    }

    pub(super) fn settled(&self) -> u64 {
        self.settled.load(Ordering::Acquire)
    }

    fn has_ended(&self, now: DateTime<Utc>) -> bool {
        self.bounds.end.is_some_and(|end| now >= end)
    }

    /// Reserves as much of `wanted` as there is room for under `limit`, but nothing if that is less than
    /// `min`.
    ///
    /// At the limit even an amount of zero finds no room: the budget is used up.
    ///
    /// # Errors
    /// What is left, where that is too little.
    pub(super) fn reserve(&self, min: u64, wanted: u64, limit: u64) -> Result<u64, u64> {
        let mut committed = self.committed();
        loop {
            let room = limit.saturating_sub(committed);
            if room == 0 || room < min {
                return Err(room);
            }
            let taken = wanted.max(min).min(room);
            match self.committed.compare_exchange_weak(
                committed,
                committed.saturating_add(taken),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Ok(taken),
                Err(seen) => committed = seen,
            }
        }
    }

    /// Gives back what was reserved.
    pub(super) fn release(&self, reserved: u64) {
        add(&self.committed, 0, reserved);
    }

    /// Turns a reservation into actual use; returns what was settled before and after.
    ///
    /// `committed` moves first, so that it never shows less than `settled`.
    pub(super) fn settle(&self, reserved: u64, actual: u64) -> (u64, u64) {
        add(&self.committed, actual, reserved);
        let before = add(&self.settled, actual, 0);
        (before, before.saturating_add(actual))
    }

    fn restore(&self, stored: u64) {
        add(&self.committed, stored, 0);
        add(&self.settled, stored, 0);
    }

    /// True if nothing is reserved.
    fn is_closed(&self) -> bool {
        self.committed() == self.settled()
    }
}

/// Adds and subtracts in one step without wrapping; returns the value before.
fn add(counter: &AtomicU64, plus: u64, minus: u64) -> u64 {
    let changed = |value: u64| Some(value.saturating_sub(minus).saturating_add(plus));
    counter.fetch_update(Ordering::AcqRel, Ordering::Acquire, changed).unwrap_or_else(|value| value)
}

/// The count behind the ledgers of one key, shared by all policy revisions that state the same unit and
/// calendar.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) key: LedgerKey,
    pub(super) unit: BudgetUnit,
    pub(super) window: Window,
    pub(super) time_zone: Tz,
    current: ArcSwap<WindowCount>,
}

impl Account {
    /// Opens the window of `now` with what `stored` says is already used in it.
    pub(super) fn new(
        key: LedgerKey,
        unit: BudgetUnit,
        (window, time_zone): (Window, Tz),
        now: DateTime<Utc>,
        stored: impl FnOnce(DateTime<Utc>) -> u64,
    ) -> Self {
        let bounds = window.bounds(time_zone, now);
        let current = ArcSwap::from_pointee(WindowCount::new(bounds, stored(bounds.start), None));
        Self { key, unit, window, time_zone, current }
    }

    /// Returns the window of `now`, opening it if the current one has ended.
    ///
    /// A clock that steps back stays in the current window.
    pub(super) fn window_at(&self, now: DateTime<Utc>) -> Arc<WindowCount> {
        loop {
            let current = self.current.load_full();
            if !current.has_ended(now) {
                return current;
            }
            let bounds = self.window.bounds(self.time_zone, now);
            let next = Arc::new(WindowCount::new(bounds, 0, Some(Arc::clone(&current))));
            // Another request may have opened it first; either way the next look finds it.
            self.current.compare_and_swap(&current, next);
        }
    }

    /// Adds stored use to the current window if it is the one meant.
    pub(super) fn restore(&self, window_start: DateTime<Utc>, stored: u64, now: DateTime<Utc>) {
        let current = self.window_at(now);
        if current.bounds.start == window_start {
            current.restore(stored);
        }
    }

    /// Forgets past windows that are closed. Only the book calls it, under its lock.
    pub(super) fn forget_closed(&self) {
        let mut count = self.current.load_full();
        loop {
            let Some(previous) = count.previous.load_full() else { return };
            // Two owners are the chain and this function: nobody else can get at a past window any more, so it
            // stays as it is. The fence makes visible what its last holder did before letting go.
            let is_ours = Arc::strong_count(&previous) == 2;
            fence(Ordering::Acquire);
            if is_ours && previous.is_closed() {
                count.previous.store(previous.previous.load_full());
            } else {
                count = previous;
            }
        }
    }

    /// True if all windows are over and closed.
    pub(super) fn is_over(&self, now: DateTime<Utc>) -> bool {
        let current = self.current.load();
        current.has_ended(now) && current.is_closed() && current.previous.load().is_none()
    }
}
