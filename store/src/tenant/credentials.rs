//! Credentials for upstreams: written here sealed, and never read back by this role.

use bulkhead_policy::ids::CredentialId;
use chrono::{DateTime, Utc};
use serde_json::json;

use super::{Actor, TenantTx};
use crate::error::{Attempted, StoreError, Written};

const CREDENTIAL: Written =
    Written { what: "credential", parent: "tenant", expected: "a name of 1 to 128 characters" };

/// The id and version that the next secret under a name will have, and that its seal must be bound to.
///
/// Valid in the transaction that made it.
#[derive(Debug, PartialEq, Eq)]
pub struct CredentialSlot {
    name: String,
    id: CredentialId,
    version: u32,
}

impl CredentialSlot {
    /// The credential.
    #[must_use]
    pub const fn id(&self) -> CredentialId {
        self.id
    }

    /// The version of the secret to come.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }
}

/// A credential, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The credential.
    pub id: CredentialId,
    /// The name that policy documents use.
    pub name: String,
    /// Grows when the secret is replaced.
    pub version: u32,
    /// When the secret was set.
    pub changed_at: DateTime<Utc>,
}

impl TenantTx {
    /// Says under what id and version the next secret for `name` is to be sealed.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn credential_slot(&mut self, name: &str) -> Result<CredentialSlot, StoreError> {
        let tenant = self.id();
        let row = sqlx::query!(
            "select id, version from credentials where tenant_id = $1 and name = $2",
            tenant,
            name
        )
        .fetch_optional(self.connection())
        .await
        .attempted("look for a credential")?;
        let (id, version) = match row {
            Some(row) => (CredentialId::from_uuid(row.id), stored_version(row.version)?.saturating_add(1)),
            None => (CredentialId::fresh(Utc::now()), 1),
        };
        Ok(CredentialSlot { name: name.to_owned(), id, version })
    }

    /// Stores a secret that was sealed for `slot`, in place of the one before.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if somebody else replaced it meanwhile: take a new slot and seal again.
    pub async fn put_credential(
        &mut self,
        actor: &Actor,
        slot: CredentialSlot,
        sealed: &[u8],
    ) -> Result<(), StoreError> {
        let tenant = self.id();
        let version = i32::try_from(slot.version).map_err(|_| StoreError::Invalid {
            what: "credential version",
            expected: "less than 2^31 replacements",
        })?;
        let done = if slot.version == 1 {
            sqlx::query!(
                "insert into credentials (tenant_id, id, name, version, sealed) values ($1, $2, $3, $4, $5)",
                tenant,
                slot.id.as_uuid(),
                slot.name,
                version,
                sealed
            )
            .execute(self.connection())
            .await
        } else {
            // Only the version before: two replacements at once must not seal different secrets as one version.
            sqlx::query!(
                "update credentials set version = $3, sealed = $4, changed_at = clock_timestamp()
                 where tenant_id = $1 and id = $2 and version = $3 - 1",
                tenant,
                slot.id.as_uuid(),
                version,
                sealed
            )
            .execute(self.connection())
            .await
        }
        .writing(CREDENTIAL, "store a credential")?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Exists { what: "credential version" });
        }
        self.record(
            actor,
            "credential.put",
            &slot.name,
            json!({ "credential": slot.id, "version": slot.version }),
        )
        .await
    }

    /// Lists the credentials by name.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn credentials(&mut self) -> Result<Vec<Credential>, StoreError> {
        let tenant = self.id();
        let rows = sqlx::query!(
            "select id, name, version, changed_at from credentials where tenant_id = $1 order by name",
            tenant
        )
        .fetch_all(self.connection())
        .await
        .attempted("list credentials")?;
        rows.into_iter()
            .map(|row| {
                Ok(Credential {
                    id: CredentialId::from_uuid(row.id),
                    name: row.name,
                    version: stored_version(row.version)?,
                    changed_at: row.changed_at,
                })
            })
            .collect()
    }

    /// Deletes a credential. Policies that name it will not compile until it is there again.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn delete_credential(&mut self, actor: &Actor, name: &str) -> Result<(), StoreError> {
        let tenant = self.id();
        let id = sqlx::query_scalar!(
            "delete from credentials where tenant_id = $1 and name = $2 returning id",
            tenant,
            name
        )
        .fetch_optional(self.connection())
        .await
        .attempted("delete a credential")?
        .ok_or(StoreError::NotFound { what: "credential" })?;
        self.record(actor, "credential.delete", name, json!({ "credential": id })).await
    }
}

fn stored_version(version: i32) -> Result<u32, StoreError> {
    u32::try_from(version).map_err(|_| StoreError::Stored { what: "credential version" })
}
