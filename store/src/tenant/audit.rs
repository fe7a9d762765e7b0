//! A tenant's own audit trail.

use bulkhead_policy::audit::Chain;
use serde_json::Value;

use super::{Actor, TenantTx};
use crate::audit::{self, AuditEntry, AuditFilter};
use crate::error::StoreError;

impl TenantTx {
    /// Lists changes, newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::Stored`].
    pub async fn audit(&mut self, filter: &AuditFilter) -> Result<Vec<AuditEntry>, StoreError> {
        let chain = Chain::Tenant(self.tenant);
        audit::list(self.connection(), chain, filter).await
    }

    pub(crate) async fn record(
        &mut self,
        actor: &Actor,
        action: &'static str,
        target: &str,
        detail: Value,
    ) -> Result<(), StoreError> {
        let chain = Chain::Tenant(self.tenant);
        audit::record(self.connection(), chain, actor, action, target, detail).await
    }
}
