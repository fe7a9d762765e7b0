//! All the budgets that one request falls under, taken together or not at all.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::trace::BudgetRecord;

use super::{AlertLines, Amount, BudgetUnit, Exhausted, Hold, Ledger, LedgerDelta};

/// What one request has reserved in all of its budgets; dropped unsettled, everything goes back.
///
/// Made empty by an empty slice: a request under no budget always passes.
#[derive(Debug)]
#[must_use = "a dropped reservation is released at once"]
pub struct Reservation {
    holds: Vec<Hold>,
}

/// What a settlement did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "use that is not stored is forgotten at the next start"]
pub struct Charged {
    /// What each budget counted, to be stored; nothing where that is zero.
    pub deltas: Vec<LedgerDelta>,
    /// How each budget stands then, for the trace.
    pub budgets: Vec<BudgetRecord>,
}

impl Reservation {
    /// Reserves `amount` in every ledger.
    ///
    /// # Errors
    /// The first budget without room; then nothing is reserved anywhere.
    pub fn take(ledgers: &[Arc<Ledger>], amount: Amount, now: DateTime<Utc>) -> Result<Self, Exhausted> {
        Self::take_up_to(ledgers, amount, amount, now)
    }

    /// Reserves in every ledger as much of `wanted` as it has room for, at least `min`.
    ///
    /// The ledgers may grant different parts: ask [`Self::granted`] per unit, then [`Self::shrink`] to what
    /// is used.
    ///
    /// # Errors
    /// The first budget without room for `min`; then nothing is reserved anywhere.
    pub fn take_up_to(
        ledgers: &[Arc<Ledger>],
        min: Amount,
        wanted: Amount,
        now: DateTime<Utc>,
    ) -> Result<Self, Exhausted> {
        let holds = ledgers.iter().map(|ledger| ledger.reserve_up_to(min, wanted, now));
        // Collecting stops at the first error and drops, so releases, the holds before it.
        holds.collect::<Result<_, _>>().map(|holds| Self { holds })
    }

    /// Returns the least that any budget of this unit granted; `None` if none counts it.
    #[must_use]
    pub fn granted(&self, unit: BudgetUnit) -> Option<u64> {
        self.holds.iter().filter(|hold| hold.ledger().spec().unit == unit).map(Hold::reserved).min()
    }

    /// Returns how each budget stands, for the trace of a request that is not charged.
    #[must_use]
    pub fn records(&self) -> Vec<BudgetRecord> {
        self.holds.iter().map(Hold::record).collect()
    }

    /// Gives back everywhere what is reserved beyond `amount`.
    pub fn shrink(&mut self, amount: Amount) {
        for hold in &mut self.holds {
            hold.shrink(amount);
        }
    }

    /// Reserves more in every ledger, each in the window the request began in.
    ///
    /// # Errors
    /// The first budget without room; then no hold has changed.
    pub fn extend(&mut self, more: Amount) -> Result<(), Exhausted> {
        let before: Vec<u64> = self.holds.iter().map(Hold::reserved).collect();
        let result = self.holds.iter_mut().try_for_each(|hold| hold.try_extend(more));
        if result.is_err() {
            for (hold, reserved) in self.holds.iter_mut().zip(before) {
                hold.shrink_to(reserved);
            }
        }
        result
    }

    /// Counts what the request really used in every budget.
    pub fn settle(self, actual: Amount) -> Charged {
        let mut charged = Charged::default();
        for hold in self.holds {
            charged.settle(hold, actual);
        }
        charged
    }
}

impl Charged {
    fn settle(&mut self, hold: Hold, actual: Amount) {
        let ledger = Arc::clone(hold.ledger());
        let spec = ledger.spec();
        let window_start = hold.window_start();
        self.budgets.push(hold.settle(actual));
        let amount = actual.in_unit(spec.unit);
        if amount > 0 {
            let (key, unit) = (ledger.key().clone(), spec.unit);
            let alerts = AlertLines { at: spec.alert_at.clone(), limit: spec.limit };
            self.deltas.push(LedgerDelta { key, window_start, unit, amount, alerts });
        }
    }
}
