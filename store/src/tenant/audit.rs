//! Who changed what. Entries are written by the functions that change something; nobody writes one by hand.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{Actor, TenantTx};
use crate::error::{Attempted, StoreError};

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// Names the entry.
    pub id: Uuid,
    /// When it was made.
    pub at: DateTime<Utc>,
    /// Who made it.
    pub actor: String,
    /// What was done, for example `key.revoke`.
    pub action: String,
    /// To what: a name or an id.
    pub target: String,
    /// What else a reader needs; never a secret.
    pub detail: Value,
}

impl AuditEntry {
    /// Returns the place after this entry in the list.
    #[must_use]
    pub const fn cursor(&self) -> AuditCursor {
        AuditCursor { at: self.at, id: self.id }
    }
}

/// A place in the list of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditCursor {
    /// Time of the last entry seen.
    pub at: DateTime<Utc>,
    /// Its id.
    pub id: Uuid,
}

impl TenantTx {
    /// Lists changes, newest first, from the place after `after` on.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn audit(
        &mut self,
        limit: u32,
        after: Option<AuditCursor>,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let tenant = self.id();
        sqlx::query_as!(
            AuditEntry,
            "select id, at, actor, action, target, detail from audit
             where tenant_id = $1 and ($2::timestamptz is null or (at, id) < ($2, $3::uuid))
             order by at desc, id desc limit $4",
            tenant,
            after.map(|place| place.at),
            after.map(|place| place.id),
            i64::from(limit),
        )
        .fetch_all(self.connection())
        .await
        .attempted("list the audit trail")
    }

    pub(crate) async fn record(
        &mut self,
        actor: &Actor,
        action: &'static str,
        target: &str,
        detail: Value,
    ) -> Result<(), StoreError> {
        let tenant = self.id();
        sqlx::query!(
            "insert into audit (tenant_id, id, actor, action, target, detail) values ($1, $2, $3, $4, $5, $6)",
            tenant,
            Uuid::now_v7(),
            actor.as_str(),
            action,
            target,
            detail,
        )
        .execute(self.connection())
        .await
        .attempted("write the audit trail")?;
        Ok(())
    }
}
