//! What has been spent, for those who ask; it is counted by [`crate::writer`].

use bulkhead_policy::ledger::LedgerUsage;
use chrono::{DateTime, Utc};

use super::TenantTx;
use crate::error::{Attempted, StoreError};
use crate::writer::StoredUsage;

impl TenantTx {
    /// Lists what was counted in windows that began at `since` or later, by budget and subject, newest window first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn budget_usage(&mut self, since: DateTime<Utc>) -> Result<Vec<LedgerUsage>, StoreError> {
        let tenant = self.id();
        let rows = sqlx::query_as!(
            StoredUsage,
            "select tenant_id, budget, subject, unit, window_start, amount from budget_usage
             where tenant_id = $1 and window_start >= $2 and amount > 0 order by budget, subject, unit, window_start desc",
            tenant,
            since
        )
        .fetch_all(self.connection())
        .await
        .attempted("read budget usage")?;
        rows.into_iter().map(LedgerUsage::try_from).collect()
    }
}
