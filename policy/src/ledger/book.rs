//! All counts of a node: found again across policy updates, restored at start, drained to storage.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
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
/// Its lock is taken by snapshot building and by the flusher, never by a request.
///
/// ```
/// use bulkhead_policy::ledger::LedgerBook;
/// use chrono::DateTime;
/// let book = LedgerBook::default();
/// assert!(book.drain(DateTime::UNIX_EPOCH).is_empty());   // not before the stored use is known
/// assert!(book.load(vec![], DateTime::UNIX_EPOCH));
/// ```
#[derive(Debug, Default)]
pub struct LedgerBook {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    accounts: HashMap<AccountKey, Arc<Account>>,
    /// Stored use that no account has taken yet.
    stored: HashMap<(LedgerKey, BudgetUnit), Used>,
    loaded: bool,
    /// Drained but not stored, merged per row.
    put_back: HashMap<Row, u64>,
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
        Ledger::over(account, spec.clone())
    }

    /// Adds the use that storage knows of to the windows it belongs to, once.
    ///
    /// Call it before anything is flushed, or use of this process would be counted twice; [`Self::drain`]
    /// yields nothing until then. Returns false, and does nothing, when called again.
    pub fn load(&self, usage: Vec<LedgerUsage>, now: DateTime<Utc>) -> bool {
        let mut inner = self.lock();
        if inner.loaded {
            return false;
        }
        inner.loaded = true;
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
        true
    }

    /// Takes all use that was settled since the last call, one delta per row, ordered by key.
    ///
    /// What could not be stored goes back with [`Self::put_back`]. Counts that no policy uses any more are
    /// forgotten once their window is over.
    #[must_use = "drained use is lost unless it is stored or put back"]
    pub fn drain(&self, now: DateTime<Utc>) -> Vec<LedgerDelta> {
        let mut inner = self.lock();
        if !inner.loaded {
            return Vec::new();
        }
        let mut deltas = Vec::new();
        inner.accounts.values().for_each(|account| account.drain(&mut deltas));
        inner.accounts.retain(|_, account| Arc::strong_count(account) > 1 || !account.is_over(now));
        let mut rows = std::mem::take(&mut inner.put_back);
        drop(inner);
        merge(&mut rows, deltas);
        let mut merged: Vec<LedgerDelta> = rows
            .into_iter()
            .map(|((key, window_start, unit), amount)| LedgerDelta { key, window_start, unit, amount })
            .collect();
        // A stable order lets concurrent flushers lock rows alike.
        merged.sort_by(|a, b| (&a.key, a.window_start, a.unit).cmp(&(&b.key, b.window_start, b.unit)));
        merged
    }

    /// Takes back deltas that were not stored; the next drain yields them again.
    pub fn put_back(&self, deltas: Vec<LedgerDelta>) {
        merge(&mut self.lock().put_back, deltas);
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

fn merge(rows: &mut HashMap<Row, u64>, deltas: Vec<LedgerDelta>) {
    for LedgerDelta { key, window_start, unit, amount } in deltas {
        let row = rows.entry((key, window_start, unit)).or_default();
        *row = row.saturating_add(amount);
    }
}
