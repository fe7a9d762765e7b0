//! All counts of a node: found again across policy updates, restored at start.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::account::Account;
use super::{BudgetSpec, BudgetUnit, Ledger, LedgerDelta, LedgerKey, LedgerUsage, Window};

type AccountKey = (LedgerKey, BudgetUnit, Window, Tz);
type Row = (LedgerKey, DateTime<Utc>, BudgetUnit);
/// Window starts and amounts.
type Used = Vec<(DateTime<Utc>, u64)>;

/// Interns counts by ledger key.
///
/// Its lock is taken by snapshot building, by the shipper, and where a request's use could not be spooled.
///
/// ```
/// use bulkhead_policy::ledger::LedgerBook;
/// use chrono::DateTime;
/// let book = LedgerBook::default();
/// assert!(book.load(vec![], DateTime::UNIX_EPOCH));
/// assert!(!book.load(vec![], DateTime::UNIX_EPOCH));   // stored use counts once
/// ```
#[derive(Debug, Default)]
pub struct LedgerBook {
    inner: Mutex<Inner>,
    /// Stored use was loaded.
    is_loaded: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Inner {
    accounts: HashMap<AccountKey, Arc<Account>>,
    /// Stored use that no account has taken yet.
    stored: HashMap<(LedgerKey, BudgetUnit), Used>,
    /// Settled, and not on its way to storage; merged per row.
    owed: HashMap<Row, u64>,
}

impl LedgerBook {
    /// Returns the ledger of a budget, continuing the count that its key already has.
    ///
    /// A budget whose unit, window or time zone changed begins a new count.
    #[must_use]
    pub fn open(&self, key: LedgerKey, spec: &BudgetSpec, now: DateTime<Utc>) -> Arc<Ledger> {
        let mut inner = self.lock();
        let Inner { accounts, stored, .. } = &mut *inner;
        let account = match accounts.entry((key, spec.unit, spec.window, spec.time_zone)) {
            Entry::Occupied(entry) => Arc::clone(entry.get()),
            Entry::Vacant(entry) => {
                let key = entry.key().0.clone();
                let used = stored.remove(&(key.clone(), spec.unit)).unwrap_or_default();
                let in_window = |start| {
                    used.iter()
                        .filter(|(at, _)| *at == start)
                        .fold(0u64, |sum, (_, amount)| sum.saturating_add(*amount))
                };
                let account = Account::new(key, spec.unit, (spec.window, spec.time_zone), now, in_window);
                Arc::clone(entry.insert(Arc::new(account)))
            }
        };
        Ledger::over(account, spec.clone(), Arc::clone(&self.is_loaded))
    }

    /// Adds the use that storage knows of to the windows it belongs to, once.
    ///
    /// Call it before use of this process is stored, or that would be counted twice. Returns false, and does nothing, when
    /// called again.
    pub fn load(&self, usage: Vec<LedgerUsage>, now: DateTime<Utc>) -> bool {
        let mut inner = self.lock();
        if self.is_loaded() {
            return false;
        }
        for LedgerUsage { key, window_start, unit, amount } in usage {
            let mut taken = false;
            for account in
                inner.accounts.values().filter(|account| account.key == key && account.unit == unit)
            {
                account.restore(window_start, amount, now);
                taken = true;
            }
            if !taken {
                inner.stored.entry((key, unit)).or_default().push((window_start, amount));
            }
        }
        // Last: who sees it sees the use as well.
        self.is_loaded.store(true, Ordering::Release);
        true
    }

    /// Whether stored use was [loaded](Self::load).
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.is_loaded.load(Ordering::Acquire)
    }

    /// Takes note of settled use whose record is not on its way to storage.
    pub fn owe(&self, deltas: Vec<LedgerDelta>) {
        if deltas.is_empty() {
            return;
        }
        add(&mut self.lock().owed, deltas);
    }

    /// Takes what is owed to storage, one delta per row, ordered by key; what could not be stored is [owed](Self::owe) again.
    #[must_use = "use is lost unless it is stored or owed again"]
    pub fn take_owed(&self) -> Vec<LedgerDelta> {
        rows_to_deltas(std::mem::take(&mut self.lock().owed))
    }

    /// Forgets past windows in which nothing is open, and counts that no policy uses any more once their window is over.
    pub fn forget_closed(&self, now: DateTime<Utc>) {
        let mut inner = self.lock();
        inner.accounts.values().for_each(|account| account.forget_closed());
        inner.accounts.retain(|_, account| Arc::strong_count(account) > 1 || !account.is_over(now));
    }

    /// Returns the number of counts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().accounts.len()
    }

    /// True if there are no counts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing under the lock leaves it half changed, so a panic elsewhere is no reason to stop counting.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds up deltas: one per row, ordered by key.
#[must_use]
pub fn merge(deltas: impl IntoIterator<Item = LedgerDelta>) -> Vec<LedgerDelta> {
    let mut rows = HashMap::new();
    add(&mut rows, deltas);
    rows_to_deltas(rows)
}

fn add(rows: &mut HashMap<Row, u64>, deltas: impl IntoIterator<Item = LedgerDelta>) {
    for LedgerDelta { key, window_start, unit, amount } in deltas {
        let row = rows.entry((key, window_start, unit)).or_default();
        *row = row.saturating_add(amount);
    }
}

fn rows_to_deltas(rows: HashMap<Row, u64>) -> Vec<LedgerDelta> {
    let deltas = rows.into_iter();
    let mut deltas: Vec<LedgerDelta> = deltas
        .map(|((key, window_start, unit), amount)| LedgerDelta { key, window_start, unit, amount })
        .collect();
    // A stable order lets concurrent writers lock rows alike.
    deltas.sort_by(|a, b| (&a.key, a.window_start, a.unit).cmp(&(&b.key, b.window_start, b.unit)));
    deltas
}
