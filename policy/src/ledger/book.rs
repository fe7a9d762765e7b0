//! All counts of a node, found again across policy updates.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::account::Account;
use super::lessee::Lessee;
use super::{AlertLines, BudgetSpec, BudgetUnit, Ledger, LedgerDelta, LedgerKey, Window};

type AccountKey = (LedgerKey, BudgetUnit, Window, Tz);
type Row = (LedgerKey, DateTime<Utc>, BudgetUnit);
type Sum = (u64, AlertLines);

/// Interns counts by ledger key.
///
/// Its lock is taken by snapshot building, by the shipper, and where a request's use could not be spooled.
///
/// By default it is the book of a process that shares its budgets with nobody: every count holds its whole limit.
#[derive(Debug, Default)]
pub struct LedgerBook {
    inner: Mutex<Inner>,
    lessee: Option<Sender<Arc<Account>>>,
}

#[derive(Debug, Default)]
struct Inner {
    accounts: HashMap<AccountKey, Arc<Account>>,
    /// Settled, and not on its way to storage; merged per row.
    owed: HashMap<Row, Sum>,
}

impl LedgerBook {
    /// Makes the book of a process that shares budgets with others: its counts hold what the [`Lessee`] gets for them.
    #[must_use]
    pub fn leased() -> (Self, Lessee) {
        let (lessee, arriving) = channel();
        let book = Self { inner: Mutex::default(), lessee: Some(lessee) };
        (book, Lessee { arriving, active: Vec::new() })
    }

    /// Returns the ledger of a budget, continuing the count that its key already has, under the limit that is stated now.
    ///
    /// A budget whose unit, window or time zone changed begins a new count.
    #[must_use]
    pub fn open(&self, key: LedgerKey, spec: &BudgetSpec, now: DateTime<Utc>) -> Arc<Ledger> {
        let mut inner = self.lock();
        let account = match inner.accounts.entry((key, spec.unit, spec.window, spec.time_zone)) {
            Entry::Occupied(entry) => {
                entry.get().set_limit(spec.limit);
                Arc::clone(entry.get())
            }
            Entry::Vacant(entry) => {
                let (key, calendar) = (entry.key().0.clone(), (spec.window, spec.time_zone));
                let account = Account::new(key, spec.unit, calendar, spec.limit, self.lessee.clone(), now);
                Arc::clone(entry.insert(Arc::new(account)))
            }
        };
        Ledger::over(account, spec.clone())
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

fn add(rows: &mut HashMap<Row, Sum>, deltas: impl IntoIterator<Item = LedgerDelta>) {
    for LedgerDelta { key, window_start, unit, amount, alerts } in deltas {
        let row = rows.entry((key, window_start, unit)).or_default();
        // The lines of the last one: the newest that is known of.
        *row = (row.0.saturating_add(amount), alerts);
    }
}

fn rows_to_deltas(rows: HashMap<Row, Sum>) -> Vec<LedgerDelta> {
    let deltas = rows.into_iter();
    let mut deltas: Vec<LedgerDelta> = deltas
        .map(|((key, window_start, unit), (amount, alerts))| LedgerDelta {
            key,
            window_start,
            unit,
            amount,
            alerts,
        })
        .collect();
    // A stable order lets concurrent writers lock rows alike.
    deltas.sort_by(|a, b| (&a.key, a.window_start, a.unit).cmp(&(&b.key, b.window_start, b.unit)));
    deltas
}
