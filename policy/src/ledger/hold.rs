//! A budget that can be drawn on, and what one request holds of it.

use std::mem;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::account::Account;
use super::window::{Used, WindowCount};
use super::{Amount, AtLimit, BudgetSpec, BudgetUnit, LedgerKey, Subject};
use crate::ids::BudgetId;
use crate::trace::BudgetRecord;

/// One budget for one subject, as one policy revision states it.
///
/// Ledgers of later revisions share the count as long as unit, window and time zone stay the same.
///
/// ```
/// use bulkhead_policy::ids::{BudgetId, TenantId};
/// use bulkhead_policy::ledger::*;
/// use chrono::DateTime;
/// let spec = BudgetSpec {
///     id: BudgetId::new("day"), scope: BudgetScope::Tenant, unit: BudgetUnit::Tokens, limit: 100,
///     window: Window::Day, time_zone: chrono_tz::UTC, models: vec![], at_limit: AtLimit::Refuse,
///     when_unreachable: WhenUnreachable::Refuse, alert_at: vec![],
/// };
/// let now = DateTime::UNIX_EPOCH;
/// let key = LedgerKey { tenant: TenantId::fresh(now), budget: spec.id.clone(), subject: Subject::Tenant };
/// let ledger = Ledger::new(key, spec, now);
/// let hold = ledger.reserve(Amount { tokens: 80, ..Amount::default() }, now)?;
/// assert!(ledger.reserve(Amount { tokens: 30, ..Amount::default() }, now).is_err());
/// hold.settle(Amount { tokens: 60, ..Amount::default() });
/// assert_eq!(ledger.state(now).settled, 60);
/// # Ok::<(), Exhausted>(())
/// ```
#[derive(Debug)]
pub struct Ledger {
    spec: BudgetSpec,
    account: Arc<Account>,
}

/// Says that a budget has no room for what was wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("budget {budget}: {left} {unit} left of {limit}")]
pub struct Exhausted {
    /// The budget.
    pub budget: BudgetId,
    /// Whose count it was.
    pub subject: Subject,
    /// What it counts.
    pub unit: BudgetUnit,
    /// Its limit, in the unit.
    pub limit: u64,
    /// What was neither used nor reserved, in the unit.
    pub left: u64,
    /// When its window ends; `None`: never.
    pub resets_at: Option<DateTime<Utc>>,
    /// What its policy wants done.
    pub at_limit: AtLimit,
}

/// A look at a ledger's current window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Start of the window.
    pub window_start: DateTime<Utc>,
    /// End of the window; `None`: never.
    pub window_end: Option<DateTime<Utc>>,
    /// Used, in the unit, as far as is known here.
    pub settled: u64,
    /// Used and reserved, in the unit.
    pub committed: u64,
    /// The most that may be, in the unit.
    pub limit: u64,
}

impl Ledger {
    /// Opens a ledger with a count of its own, which holds the whole limit; [`super::LedgerBook::open`] is the way to share
    /// counts.
    #[must_use]
    pub fn new(key: LedgerKey, spec: BudgetSpec, now: DateTime<Utc>) -> Arc<Self> {
        let account = Account::new(key, spec.unit, (spec.window, spec.time_zone), spec.limit, None, now);
        Self::over(Arc::new(account), spec)
    }

    pub(super) fn over(account: Arc<Account>, spec: BudgetSpec) -> Arc<Self> {
        Arc::new(Self { spec, account })
    }

    #[cfg(test)]
    pub(super) fn shares_count_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.account, &other.account)
    }

    /// Returns what the ledger counts for whom.
    #[must_use]
    pub fn key(&self) -> &LedgerKey {
        &self.account.key
    }

    /// Returns the budget behind it.
    #[must_use]
    pub fn spec(&self) -> &BudgetSpec {
        &self.spec
    }

    /// Returns the current window's numbers, with what others have settled as far as this process knows.
    #[must_use]
    pub fn state(&self, now: DateTime<Utc>) -> State {
        let count = self.account.window_at(now);
        // `settled` first: read the other way round it could have passed `committed` meanwhile.
        let settled = count.settled();
        let others = count.others_settled();
        State {
            window_start: count.bounds().start,
            window_end: count.bounds().end,
            settled: settled.saturating_add(others),
            committed: count.committed().max(settled).saturating_add(others),
            limit: self.spec.limit,
        }
    }

    /// Says whether anything at all could be reserved, now or after asking for more.
    ///
    /// # Errors
    /// [`Exhausted`] if not.
    pub fn check(&self, now: DateTime<Utc>) -> Result<(), Exhausted> {
        let count = self.account.window_at(now);
        // Whether it is drained is asked last: that takes a lock.
        let has_more = count.free() > 0 || self.account.is_leased() && !count.is_drained(now);
        if has_more { Ok(()) } else { Err(self.exhausted(&count, 0)) }
    }

    /// Says whether `amount` is not there and not to be had either, as far as is known at the `clock`.
    #[must_use]
    pub fn is_used_up(&self, amount: Amount, now: DateTime<Utc>, clock: DateTime<Utc>) -> bool {
        let amount = amount.in_unit(self.spec.unit).max(1);
        let count = self.account.window_at(now);
        count.free() < amount && (!self.account.is_leased() || count.is_drained(clock))
    }

    /// Says how much a request waits for, where more than is held here may be had; `None`: no use to wait.
    ///
    /// What waits is asked for by the [`super::Lessee`]. The request belongs to the window of `now`; an answer that nothing is left is old
    /// or new by the `clock`, which has gone on since.
    #[must_use]
    pub fn wait_for(&self, wanted: Amount, now: DateTime<Utc>, clock: DateTime<Utc>) -> Option<Waiting> {
        let amount = wanted.in_unit(self.spec.unit).max(1);
        let count = self.account.window_at(now);
        if count.free() >= amount || self.is_used_up(wanted, now, clock) {
            return None;
        }
        count.wait(amount);
        // After the count: the lessee looks for what waits when it has let go of an account.
        Account::activate(&self.account);
        Some(Waiting { count, amount })
    }

    /// Lets a request draw on the budget although nobody can be asked, as long as this process knows of no more use than
    /// the limit; false if that is over.
    #[must_use]
    pub fn go_without(&self, amount: Amount, now: DateTime<Utc>) -> bool {
        let count = self.account.window_at(now);
        count.go_without(amount.in_unit(self.spec.unit), self.spec.limit)
    }

    /// Reserves the ledger's part of `amount`.
    ///
    /// # Errors
    /// [`Exhausted`] if there is no room for all of it.
    pub fn reserve(self: &Arc<Self>, amount: Amount, now: DateTime<Utc>) -> Result<Hold, Exhausted> {
        self.reserve_up_to(amount, amount, now)
    }

    /// Reserves as much of `wanted` as there is room for, at least `min`.
    ///
    /// # Errors
    /// [`Exhausted`] if there is no room for `min`.
    pub fn reserve_up_to(
        self: &Arc<Self>,
        min: Amount,
        wanted: Amount,
        now: DateTime<Utc>,
    ) -> Result<Hold, Exhausted> {
        let count = self.account.window_at(now);
        let unit = self.spec.unit;
        match count.reserve(min.in_unit(unit), wanted.in_unit(unit)) {
            Ok(reserved) => {
                let is_ungranted = count.is_ungranted();
                Ok(Hold { ledger: Arc::clone(self), count, reserved, is_ungranted })
            }
            Err(left) => Err(self.exhausted(&count, left)),
        }
    }

    /// Returns how the ledger stands for a request that it refuses.
    #[must_use]
    pub fn record(&self, now: DateTime<Utc>) -> BudgetRecord {
        let count = self.account.window_at(now);
        self.record_of(&count, count.used())
    }

    fn record_of(&self, count: &WindowCount, used: Used) -> BudgetRecord {
        BudgetRecord {
            budget: self.spec.id.clone(),
            subject: self.key().subject,
            unit: self.spec.unit,
            window_start: count.bounds().start,
            limit: self.spec.limit,
            used_before: used.before,
            used_after: used.after,
            unreachable: false,
        }
    }

    fn exhausted(&self, count: &WindowCount, left: u64) -> Exhausted {
        Exhausted {
            budget: self.spec.id.clone(),
            subject: self.key().subject,
            unit: self.spec.unit,
            limit: self.spec.limit,
            left,
            resets_at: count.bounds().end,
            at_limit: self.spec.at_limit,
        }
    }
}

/// A part of a budget that one request has reserved; dropped unsettled, it goes back.
#[derive(Debug)]
#[must_use = "a dropped hold is released at once"]
pub struct Hold {
    ledger: Arc<Ledger>,
    /// The window the request was admitted in; kept across a rollover.
    count: Arc<WindowCount>,
    reserved: u64,
    /// Taken while the process went without a grant.
    is_ungranted: bool,
}

impl Hold {
    /// Returns the ledger it draws on.
    #[must_use]
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Returns the start of the window that it belongs to.
    #[must_use]
    pub fn window_start(&self) -> DateTime<Utc> {
        self.count.bounds().start
    }

    /// Returns what is reserved, in the ledger's unit.
    #[must_use]
    pub fn reserved(&self) -> u64 {
        self.reserved
    }

    /// Returns how the ledger stands, for the trace of a request that is not charged.
    #[must_use]
    pub fn record(&self) -> BudgetRecord {
        self.record_with(self.count.used())
    }

    fn record_with(&self, used: Used) -> BudgetRecord {
        BudgetRecord { unreachable: self.is_ungranted, ..self.ledger.record_of(&self.count, used) }
    }

    /// Reserves more; false, and nothing changed, if there is no room.
    #[must_use]
    pub fn extend(&mut self, more: Amount) -> bool {
        self.try_extend(more).is_ok()
    }

    pub(super) fn try_extend(&mut self, more: Amount) -> Result<(), Exhausted> {
        let more = more.in_unit(self.ledger.spec.unit);
        if more == 0 {
            return Ok(());
        }
        match self.count.reserve(more, more) {
            Ok(taken) => {
                self.reserved = self.reserved.saturating_add(taken);
                Ok(())
            }
            Err(left) => Err(self.ledger.exhausted(&self.count, left)),
        }
    }

    /// Gives back what is reserved beyond `amount`.
    pub fn shrink(&mut self, amount: Amount) {
        self.shrink_to(amount.in_unit(self.ledger.spec.unit));
    }

    pub(super) fn shrink_to(&mut self, reserved: u64) {
        if reserved < self.reserved {
            self.count.release(self.reserved - reserved);
            self.reserved = reserved;
        }
    }

    /// Counts what the request really used, more or less than reserved, in the window it began in; returns how that stands then.
    pub fn settle(mut self, actual: Amount) -> BudgetRecord {
        let actual = actual.in_unit(self.ledger.spec.unit);
        let reserved = mem::take(&mut self.reserved);
        let used = self.count.settle(reserved, actual);
        self.record_with(used)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.reserved > 0 {
            self.count.release(self.reserved);
        }
    }
}

/// So much of a budget is waited for; dropped: no longer.
#[derive(Debug)]
#[must_use = "what is dropped is not waited for"]
pub struct Waiting {
    count: Arc<WindowCount>,
    amount: u64,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.count.wait_no_longer(self.amount);
    }
}
