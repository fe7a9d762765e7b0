//! The counters of one ledger: a chain of windows, the newest first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::mpsc::Sender;

use arc_swap::{ArcSwap, ArcSwapOption};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::window::WindowCount;
use super::{BudgetUnit, LedgerKey, Window};

/// How long before a window began something may still belong to it: longer than any request waits for its body.
const BEFORE_IT_BEGAN: TimeDelta = TimeDelta::hours(1);

/// The count behind the ledgers of one key, shared by all policy revisions that state the same unit and
/// calendar.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) key: LedgerKey,
    pub(super) unit: BudgetUnit,
    pub(super) window: Window,
    pub(super) time_zone: Tz,
    /// As the newest policy states it, in the unit.
    limit: AtomicU64,
    /// Who asks for what the windows may hold; `None`: they hold the whole limit.
    lessee: Option<Sender<Arc<Self>>>,
    /// The lessee looks after it.
    is_active: AtomicBool,
    current: ArcSwap<WindowCount>,
    /// The next window, with what it was granted before it began.
    upcoming: ArcSwapOption<WindowCount>,
}

impl Account {
    /// Opens the window of `now`.
    pub(super) fn new(
        key: LedgerKey,
        unit: BudgetUnit,
        (window, time_zone): (Window, Tz),
        limit: u64,
        lessee: Option<Sender<Arc<Self>>>,
        now: DateTime<Utc>,
    ) -> Self {
        let first = WindowCount::new(window.bounds(time_zone, now), if lessee.is_some() { 0 } else { limit });
        Self {
            key,
            unit,
            window,
            time_zone,
            limit: AtomicU64::new(limit),
            lessee,
            is_active: AtomicBool::new(false),
            current: ArcSwap::from_pointee(first),
            upcoming: ArcSwapOption::empty(),
        }
    }

    pub(super) fn is_leased(&self) -> bool {
        self.lessee.is_some()
    }

    /// Tells the lessee to look after it.
    pub(super) fn activate(this: &Arc<Self>) {
        if let Some(lessee) = &this.lessee
            && !this.is_active.swap(true, Ordering::AcqRel)
        {
            // Gone with the process's end: then nothing is asked for any more.
            let _gone = lessee.send(Arc::clone(this));
        }
    }

    /// Lets the lessee drop it if nothing in it is in use; false if something is.
    pub(super) fn deactivate(&self) -> bool {
        let is_in_use = || {
            self.current.load().is_in_use()
                || self.upcoming.load().as_ref().is_some_and(|next| next.is_in_use())
        };
        if is_in_use() {
            return false;
        }
        self.is_active.store(false, Ordering::Release);
        // Something may have come to wait between the two, and have found it active.
        !is_in_use() || self.is_active.swap(true, Ordering::AcqRel)
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Acquire)
    }

    /// Goes by another limit from now on; only the book calls it, under its lock.
    pub(super) fn set_limit(&self, limit: u64) {
        let before = self.limit.swap(limit, Ordering::AcqRel);
        if before == limit {
            return;
        }
        let current = self.current.load();
        if self.is_leased() {
            // What was granted by the old limit and is free goes back; what is needed is asked for by the new one.
            current.give_back();
            if let Some(upcoming) = &*self.upcoming.load() {
                upcoming.give_back();
            }
        } else {
            current.regrant(limit);
        }
    }

    /// Returns the window of `now`, opening it if the current one has ended.
    ///
    /// A request may have come shortly before the current window began, and a clock may be set back a little: both stay in it. Where
    /// the clock had been far ahead, the window of `now` is opened anew, and knows from its first grant what was used of it.
    pub(super) fn window_at(&self, now: DateTime<Utc>) -> Arc<WindowCount> {
        loop {
            let current = self.current.load_full();
            // What holds its whole limit asks nobody, and would know nothing of what was used.
            let has_begun = now >= current.bounds().start - BEFORE_IT_BEGAN || !self.is_leased();
            if has_begun && !current.has_ended(now) {
                return current;
            }
            let bounds = self.window.bounds(self.time_zone, now);
            let upcoming = self.upcoming.load_full().filter(|next| next.bounds() == bounds);
            let granted = if self.is_leased() { 0 } else { self.limit() };
            let next = upcoming.unwrap_or_else(|| Arc::new(WindowCount::new(bounds, granted)));
            next.follow(&current);
            // Another request may have opened it first; either way the next look finds it.
            let before = self.current.compare_and_swap(&current, Arc::clone(&next));
            if Arc::ptr_eq(&before, &current) {
                // Opened again after a clock was set back, it would come before itself.
                self.upcoming.compare_and_swap(&Some(next), None);
            }
        }
    }

    /// Returns the window after the current one, so that something may be granted in it before it begins; `None` if there is none.
    pub(super) fn window_after(&self, current: &WindowCount) -> Option<Arc<WindowCount>> {
        let bounds = self.window.bounds(self.time_zone, current.bounds().end?);
        if let Some(upcoming) = self.upcoming.load_full().filter(|next| next.bounds() == bounds) {
            return Some(upcoming);
        }
        let next = Arc::new(WindowCount::new(bounds, 0));
        self.upcoming.store(Some(Arc::clone(&next)));
        Some(next)
    }

    /// Returns the windows that something may be granted in: the current one and the next, if it was thought of.
    pub(super) fn windows(&self, now: DateTime<Utc>) -> Vec<Arc<WindowCount>> {
        let current = self.window_at(now);
        let upcoming = self.upcoming.load_full().filter(|next| next.bounds() != current.bounds());
        [Some(current), upcoming].into_iter().flatten().collect()
    }

    /// Forgets past windows that are closed. Only the book calls it, under its lock.
    pub(super) fn forget_closed(&self) {
        let mut count = self.current.load_full();
        loop {
            let Some(previous) = count.previous() else { return };
            // Two owners are the chain and this function: nobody else can get at a past window any more, so it
            // stays as it is. The fence makes visible what its last holder did before letting go.
            let is_ours = Arc::strong_count(&previous) == 2;
            fence(Ordering::Acquire);
            if is_ours && previous.is_closed() {
                count.skip(&previous);
            } else {
                count = previous;
            }
        }
    }

    /// True if all windows are over and closed.
    pub(super) fn is_over(&self, now: DateTime<Utc>) -> bool {
        let current = self.current.load();
        current.has_ended(now) && current.is_closed() && current.previous().is_none()
    }
}
