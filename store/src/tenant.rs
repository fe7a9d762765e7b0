//! A transaction in which one tenant exists: the only road to a tenant's rows.
//!
//! Functions are methods of [`TenantTx`], grouped in files by what they are about. Each writes its own `where tenant_id`;
//! the database's row-level security would hold even if one forgot it. Changes take an [`Actor`] and leave an audit entry
//! in the same transaction. Nothing is kept unless [`TenantTx::commit`] is called.

mod agents;
mod audit;
mod budgets;
mod credentials;
mod data_keys;
mod keys;
mod policies;
mod traces;

use bulkhead_policy::ids::{Revision, TenantId};
use sqlx::{PgConnection, Postgres, Transaction};
use uuid::Uuid;

use crate::error::{Attempted, StoreError};
use crate::numbers::to_u64;
use crate::system::{StoredTenant, Tenant};

pub use crate::audit::Actor;
pub use agents::Agent;
pub use budgets::{Adjustment, BudgetUse};
pub use credentials::{Credential, CredentialSlot};
pub use data_keys::DataKeySummary;
pub(crate) use data_keys::stored_version;
pub use keys::{Key, NewKey};
pub use policies::{Layer, NodeStatus, Policy, PolicyInForce, PublishedPolicy};
pub use traces::{TraceCursor, TraceFilter, TracePage, TraceSummary};

/// A transaction bound to one tenant. Dropped without [`TenantTx::commit`], it changes nothing.
#[derive(Debug)]
pub struct TenantTx {
    tx: Transaction<'static, Postgres>,
    tenant: TenantId,
}

impl TenantTx {
    pub(crate) async fn begin(
        mut tx: Transaction<'static, Postgres>,
        tenant: TenantId,
    ) -> Result<Self, StoreError> {
        // `true`: until the end of the transaction. A plain `set` would survive into the next user of the connection.
        sqlx::query!("select set_config('bulkhead.tenant_id', $1, true)", tenant.to_string())
            .fetch_one(&mut *tx)
            .await
            .attempted("name the tenant of a transaction")?;
        Ok(Self { tx, tenant })
    }

    /// Returns the tenant that this transaction belongs to.
    #[must_use]
    pub const fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Keeps what was done.
    ///
    /// # Errors
    /// [`StoreError::Database`]; after a lost connection it is unknown whether the changes were kept.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.tx.commit().await.attempted("commit")
    }

    /// Returns the tenant's revision as this transaction sees it: after a change, the one that the change makes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no such tenant.
    pub async fn revision(&mut self) -> Result<Revision, StoreError> {
        let revision = sqlx::query_scalar!("select revision from tenants where id = $1", self.id())
            .fetch_optional(self.connection())
            .await
            .attempted("read the tenant's revision")?;
        revision.map(|number| Revision::new(to_u64(number))).ok_or(StoreError::NotFound { what: "tenant" })
    }

    /// Returns the tenant itself.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no such tenant.
    pub async fn itself(&mut self) -> Result<Tenant, StoreError> {
        let row = sqlx::query_as!(
            StoredTenant,
            "select id, name, suspended, revision, created_at, placement, leaving from tenants where id = $1",
            self.id()
        );
        let found = row.fetch_optional(self.connection()).await.attempted("read the tenant")?;
        found.ok_or(StoreError::NotFound { what: "tenant" }).and_then(Tenant::try_from)
    }

    fn id(&self) -> Uuid {
        self.tenant.as_uuid()
    }

    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.tx
    }
}
