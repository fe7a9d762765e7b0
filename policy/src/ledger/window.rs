//! One window's counters, and what this process holds of the window.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use chrono::{DateTime, TimeDelta, Utc};

use super::Bounds;
use super::lease::LeaseAnswer;

/// How far ahead of its use a node asks, by the rate at which it used what it had; it asks again when half is left.
const AHEAD: TimeDelta = TimeDelta::seconds(10);
/// Rates over less than this are noise.
const RATE_OVER: TimeDelta = TimeDelta::seconds(1);
/// A node that has needed nothing for so long gives back what it holds.
const IDLE: TimeDelta = TimeDelta::seconds(10);
/// A lease is prolonged so often while something is held.
const RENEW: TimeDelta = TimeDelta::seconds(20);
/// How long the answer that nothing is left is taken for granted.
const DRAINED: TimeDelta = TimeDelta::seconds(1);

/// How many counts the process has opened.
static OPENED: AtomicU64 = AtomicU64::new(0);

/// The counters of one window, in the unit of its ledger.
///
/// What the process has committed (settled or reserved) is always `granted - free`.
#[derive(Debug)]
pub(super) struct WindowCount {
    bounds: Bounds,
    /// Tells it from the process's other counts.
    opening: u64,
    /// What may still be reserved. Below zero after settlements above their reservations. The one number that the
    /// request path decides by.
    free: AtomicI64,
    settled: AtomicU64,
    /// What requests wait for.
    waiting: AtomicU64,
    /// In all; changes under the lock of `pace`.
    granted: AtomicU64,
    /// As of the last answer.
    others_settled: AtomicU64,
    /// More is held than was granted, until the next answer: the process goes without one.
    is_ungranted: AtomicBool,
    pace: Mutex<Pace>,
    /// The window before this one, until nothing in it is open.
    previous: ArcSwapOption<WindowCount>,
}

/// How the process asks.
#[derive(Debug, Default)]
struct Pace {
    number: u64,
    asked_at: Option<DateTime<Utc>>,
    /// Committed then.
    committed: u64,
    /// When it was last seen that more or less was committed, and how much.
    moved_at: Option<DateTime<Utc>>,
    seen: u64,
    /// Less free than this: time to ask.
    low: u64,
    /// What the database knows to be granted.
    told: u64,
    /// The last ask has no answer, so more may have been granted than is known here.
    is_unanswered: bool,
    /// Since when nothing was left for what waited.
    drained_at: Option<DateTime<Utc>>,
}

impl Pace {
    /// Whether the database goes by what this process goes by.
    fn is_told(&self, granted: u64) -> bool {
        !self.is_unanswered && self.told == granted
    }
}

/// What all have settled before and after something, as far as is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) before: u64,
    pub(super) after: u64,
}

/// What to ask for, in totals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) have: u64,
    pub(super) need: u64,
    pub(super) want: u64,
    pub(super) number: u64,
}

impl WindowCount {
    pub(super) fn new(bounds: Bounds, granted: u64) -> Self {
        Self {
            bounds,
            opening: OPENED.fetch_add(1, Ordering::Relaxed),
            free: AtomicI64::new(signed(granted)),
            settled: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            granted: AtomicU64::new(clamped(granted)),
            others_settled: AtomicU64::new(0),
            is_ungranted: AtomicBool::new(false),
            pace: Mutex::default(),
            previous: ArcSwapOption::empty(),
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.bounds
    }

    pub(super) fn opening(&self) -> u64 {
        self.opening
    }

    /// What may still be reserved.
    pub(super) fn free(&self) -> u64 {
        u64::try_from(self.free.load(Ordering::Acquire)).unwrap_or(0)
    }

    fn granted(&self) -> u64 {
        self.granted.load(Ordering::Acquire)
    }

    /// Settled plus reserved by this process.
    pub(super) fn committed(&self) -> u64 {
        let granted = signed(self.granted());
        u64::try_from(granted.saturating_sub(self.free.load(Ordering::Acquire))).unwrap_or(0)
    }

    /// Settled by this process.
    pub(super) fn settled(&self) -> u64 {
        self.settled.load(Ordering::Acquire)
    }

    /// Settled by all others, as of the last answer.
    pub(super) fn others_settled(&self) -> u64 {
        self.others_settled.load(Ordering::Acquire)
    }

    /// What all have settled, as far as is known.
    pub(super) fn used(&self) -> Used {
        let used = self.settled().saturating_add(self.others_settled());
        Used { before: used, after: used }
    }

    pub(super) fn is_ungranted(&self) -> bool {
        self.is_ungranted.load(Ordering::Acquire)
    }

    pub(super) fn has_ended(&self, now: DateTime<Utc>) -> bool {
        self.bounds.end.is_some_and(|end| now >= end)
    }

    /// Reserves as much of `wanted` as is free, but nothing if that is less than `min`.
    ///
    /// Where nothing is free, not even an amount of zero finds room: what is held is used up.
    ///
    /// # Errors
    /// What is free, where that is too little.
    pub(super) fn reserve(&self, min: u64, wanted: u64) -> Result<u64, u64> {
        let mut free = self.free.load(Ordering::Acquire);
        loop {
            let room = u64::try_from(free).unwrap_or(0);
            if room == 0 || room < min {
                return Err(room);
            }
            let taken = wanted.max(min).min(room);
            match self.free.compare_exchange_weak(
                free,
                free - signed(taken),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Ok(taken),
                Err(seen) => free = seen,
            }
        }
    }

    /// Gives back what was reserved.
    pub(super) fn release(&self, reserved: u64) {
        self.add_free(signed(reserved));
    }

    /// Turns a reservation into actual use; returns what all have settled before and after, as far as is known.
    pub(super) fn settle(&self, reserved: u64, actual: u64) -> Used {
        // First, so that what is committed never shows less than what is settled.
        self.add_free(signed(reserved).saturating_sub(signed(actual)));
        let add = |settled: u64| Some(settled.saturating_add(actual));
        let before =
            self.settled.fetch_update(Ordering::AcqRel, Ordering::Acquire, add).unwrap_or_else(|now| now);
        let before = before.saturating_add(self.others_settled());
        Used { before, after: before.saturating_add(actual) }
    }

    fn add_free(&self, change: i64) {
        let add = |free: i64| Some(free.saturating_add(change));
        let _never_fails = self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
    }

    /// True if nothing is reserved.
    pub(super) fn is_closed(&self) -> bool {
        self.committed() == self.settled()
    }

    /// Changes what is granted, and with it what is free.
    fn grant(&self, granted: u64) {
        let before = self.granted.swap(clamped(granted), Ordering::AcqRel);
        self.add_free(signed(granted).saturating_sub(signed(before)));
    }

    /// Grants exactly `granted` in all.
    pub(super) fn regrant(&self, granted: u64) {
        let _pace = self.lock();
        self.grant(granted);
    }

    /// Takes out of use what is free; the next ask gives it back.
    pub(super) fn give_back(&self) {
        let mut pace = self.lock();
        pace.drained_at = None;
        self.take_free(u64::MAX);
    }

    /// Takes at most so much of what is free out of use. Call it with the lock of `pace` held.
    fn take_free(&self, most: u64) {
        let part = |free: i64| u64::try_from(free).unwrap_or(0).min(most);
        let take = |free: i64| Some(free - signed(part(free)));
        let free = self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, take);
        self.granted.fetch_sub(free.map_or(0, part), Ordering::AcqRel);
    }

    /// Lets `amount` be reserved although nobody granted it, if that stays under `limit` as far as this process knows.
    pub(super) fn go_without(&self, amount: u64, limit: u64) -> bool {
        let _pace = self.lock();
        // Covers what is overdrawn too: otherwise it would not be free.
        let more = signed(amount.max(1)).saturating_sub(self.free.load(Ordering::Acquire));
        let known = self.committed().saturating_add(self.others_settled()).saturating_add(amount);
        let fits = known <= clamped(limit);
        if fits {
            // First, so that whoever takes of it sees that.
            self.is_ungranted.store(true, Ordering::Release);
            self.grant(self.granted().saturating_add(u64::try_from(more).unwrap_or(0)));
        }
        fits
    }

    /// Takes note that a request waits for so much, or no longer does.
    pub(super) fn wait(&self, amount: u64) {
        self.change_waiting(|waiting| waiting.saturating_add(amount));
    }

    pub(super) fn wait_no_longer(&self, amount: u64) {
        self.change_waiting(|waiting| waiting.saturating_sub(amount));
    }

    /// Amounts that callers name may be as large as a number can be. What was too much to count is missing when others leave, until
    /// who waits for it says so again in the next round.
    fn change_waiting(&self, change: impl Fn(u64) -> u64) {
        let _never_fails =
            self.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, |waiting| Some(change(waiting)));
    }

    /// Whether something waits, is reserved or is held, or the database does not know yet what was given back.
    pub(super) fn is_in_use(&self) -> bool {
        let is_told = self.lock().is_told(self.granted());
        !is_told || self.waiting.load(Ordering::Acquire) > 0 || self.free() > 0 || !self.is_closed()
    }

    /// Whether an answer said lately that nothing is left of the budget.
    pub(super) fn is_drained(&self, now: DateTime<Utc>) -> bool {
        self.lock().drained_at.is_some_and(|at| now.signed_duration_since(at).abs() < DRAINED)
    }

    /// What to ask for now, if anything.
    pub(super) fn ask(&self, now: DateTime<Utc>) -> Option<Totals> {
        let mut pace = self.lock();
        let (free, committed) = (self.free(), self.committed());
        let waiting = self.waiting.load(Ordering::Acquire);
        let since = |at: Option<DateTime<Utc>>| at.map_or(TimeDelta::MAX, |at| (now - at).abs());
        let grown = committed.saturating_sub(pace.committed);
        let ahead = per(grown, since(pace.asked_at).max(RATE_OVER), AHEAD);
        if committed != pace.seen || pace.moved_at.is_none() {
            (pace.seen, pace.moved_at) = (committed, Some(now));
        }
        let is_idle = waiting == 0 && since(pace.moved_at) >= IDLE;
        let is_due = since(pace.asked_at) >= RENEW && (free > 0 || !self.is_closed());
        self.take_free(if waiting > 0 {
            0
        } else if is_idle {
            u64::MAX
        } else if pace.drained_at.is_some() && since(pace.drained_at) >= DRAINED {
            // What a request came for that got too little of it: it is all that is left for others. Once is enough.
            pace.drained_at = None;
            free.saturating_sub(ahead)
        } else if is_due {
            // What was enough for so long is enough for others too.
            free.saturating_sub(ahead) / 2
        } else {
            0
        });
        let is_untold = !pace.is_told(self.granted()) && since(pace.asked_at) >= RATE_OVER;
        let (need, want) = if waiting > free {
            let need = committed.saturating_add(waiting);
            (need, need.saturating_add(ahead.max(waiting)))
        } else if !is_idle && free < pace.low {
            (0, committed.saturating_add(ahead))
        } else if is_due || is_untold {
            (0, 0)
        } else {
            return None;
        };
        pace.committed = committed;
        Some(self.totals(&mut pace, (need, want), now))
    }

    /// What to ask for so that the window begins with something, if it was not asked for yet.
    pub(super) fn ask_ahead(&self, want: u64, now: DateTime<Utc>) -> Option<Totals> {
        let mut pace = self.lock();
        (pace.number == 0 && want > 0).then(|| self.totals(&mut pace, (0, want), now))
    }

    /// What to ask for to give back all that is free: the process ends.
    pub(super) fn ask_nothing(&self, now: DateTime<Utc>) -> Totals {
        let mut pace = self.lock();
        self.take_free(u64::MAX);
        self.totals(&mut pace, (0, 0), now)
    }

    fn totals(&self, pace: &mut Pace, (need, want): (u64, u64), now: DateTime<Utc>) -> Totals {
        pace.asked_at = Some(now);
        pace.number += 1;
        pace.is_unanswered = true;
        Totals { have: self.granted(), need, want, number: pace.number }
    }

    /// Goes by an answer to an ask that needed `need`.
    pub(super) fn answered(&self, need: u64, answer: &LeaseAnswer, now: DateTime<Utc>) {
        let mut pace = self.lock();
        self.grant(answer.granted);
        self.is_ungranted.store(false, Ordering::Release);
        self.others_settled.store(answer.others_settled, Ordering::Release);
        (pace.told, pace.is_unanswered) = (clamped(answer.granted), false);
        pace.low = self.free() / 2;
        if need > 0 {
            pace.drained_at = (answer.granted < need).then_some(now);
        }
    }

    /// What the last answer left free.
    pub(super) fn slice(&self) -> u64 {
        self.lock().low.saturating_mul(2)
    }

    /// Puts the window behind `previous`.
    pub(super) fn follow(&self, previous: &Arc<Self>) {
        self.previous.store(Some(Arc::clone(previous)));
    }

    pub(super) fn previous(&self) -> Option<Arc<Self>> {
        self.previous.load_full()
    }

    /// Leaves out the window before this one.
    pub(super) fn skip(&self, previous: &Self) {
        self.previous.store(previous.previous());
    }

    fn lock(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The largest amount that is counted; the database has signed numbers.
fn clamped(amount: u64) -> u64 {
    amount.min(i64::MAX.unsigned_abs())
}

fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

/// How much it would be in `ahead` at the rate of `amount` in `over`.
fn per(amount: u64, over: TimeDelta, ahead: TimeDelta) -> u64 {
    let millis = |span: TimeDelta| u128::from(span.num_milliseconds().unsigned_abs().max(1));
    let much = u128::from(amount) * millis(ahead) / millis(over);
    u64::try_from(much).unwrap_or(u64::MAX)
}
