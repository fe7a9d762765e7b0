//! Data keys: written here wrapped, and never read back by this role.

use bulkhead_policy::raw::RawDataKey;
use chrono::{DateTime, Utc};
use serde_json::json;

use super::{Actor, TenantTx};
use crate::error::{Attempted, StoreError, Written};

const DATA_KEY: Written = Written {
    what: "data key",
    parent: "tenant",
    expected: "a name of its wrapping key of 1 to 256 characters",
};

/// A data key, without the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataKeySummary {
    /// Which of the tenant's keys it is.
    pub version: u32,
    /// Names the key that has wrapped it.
    pub key_id: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was destroyed; what it has sealed opens never again.
    pub destroyed_at: Option<DateTime<Utc>>,
}

impl TenantTx {
    /// Lists the data keys, oldest first, those that were destroyed too.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn data_keys(&mut self) -> Result<Vec<DataKeySummary>, StoreError> {
        let tenant = self.id();
        let rows = sqlx::query!(
            "select version, key_id, created_at, destroyed_at from tenant_keys where tenant_id = $1 order by version",
            tenant
        )
        .fetch_all(self.connection())
        .await
        .attempted("list data keys")?;
        rows.into_iter()
            .map(|row| {
                Ok(DataKeySummary {
                    version: stored_version(row.version)?,
                    key_id: row.key_id,
                    created_at: row.created_at,
                    destroyed_at: row.destroyed_at,
                })
            })
            .collect()
    }

    /// Stores a new data key; its version is one that the tenant does not have yet.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if somebody else has added that version meanwhile.
    pub async fn add_data_key(&mut self, actor: &Actor, key: &RawDataKey) -> Result<(), StoreError> {
        let tenant = self.id();
        let version = i32::try_from(key.version)
            .map_err(|_| StoreError::Invalid { what: "data key version", expected: "less than 2^31" })?;
        sqlx::query!(
            "insert into tenant_keys (tenant_id, version, wrapped, key_id) values ($1, $2, $3, $4)",
            tenant,
            version,
            key.wrapped,
            key.key_id
        )
        .execute(self.connection())
        .await
        .writing(DATA_KEY, "store a data key")?;
        let detail = json!({ "wrapped_by": key.key_id });
        self.record(actor, "data_key.create", &key.version.to_string(), detail).await
    }
}

pub(crate) fn stored_version(version: i32) -> Result<u32, StoreError> {
    u32::try_from(version).map_err(|_| StoreError::Stored { what: "data key version" })
}
