//! Names windows of counts, by column: the primary key that `budget_usage`, `budget_leases` and `budget_alerts` share.

use bulkhead_policy::ledger::{BudgetUnit, LedgerKey};
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Names one window of a count.
pub(super) type Count = (LedgerKey, BudgetUnit, DateTime<Utc>);

/// Many of them.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) tenant_id: Vec<Uuid>,
    pub(super) budget: Vec<String>,
    pub(super) subject: Vec<String>,
    pub(super) unit: Vec<String>,
    pub(super) window_start: Vec<DateTime<Utc>>,
}

impl Counts {
    pub(super) fn push(&mut self, key: &LedgerKey, unit: BudgetUnit, window_start: DateTime<Utc>) {
        self.tenant_id.push(key.tenant.as_uuid());
        self.budget.push(key.budget.as_str().to_owned());
        self.subject.push(key.subject.to_string());
        self.unit.push(unit.as_str().to_owned());
        self.window_start.push(window_start);
    }
}
