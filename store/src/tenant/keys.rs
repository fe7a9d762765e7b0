//! API keys: what is stored about them. The key itself is shown once, by whoever generates it, and stored nowhere.

use bulkhead_policy::api_key::KeyHash;
use bulkhead_policy::ids::{AgentId, KeyId};
use bulkhead_policy::raw::RawScopes;
use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::types::Json;

use super::{Actor, TenantTx};
use crate::error::{Attempted, StoreError, Written};

const KEY: Written = Written { what: "key", parent: "agent", expected: "an id of 16 characters" };

/// A key to be stored.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// The public part.
    pub id: KeyId,
    /// The agent it speaks for.
    pub agent: AgentId,
    /// Proof of the whole key under the pepper.
    pub hash: KeyHash,
    /// What it may call, beyond what the policy says.
    pub scopes: RawScopes,
    /// The moment from which it is refused.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A stored key, without its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The public part.
    pub id: KeyId,
    /// The agent it speaks for.
    pub agent: AgentId,
    /// That agent's name.
    pub agent_name: String,
    /// What it may call, beyond what the policy says.
    pub scopes: RawScopes,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// The moment from which it is refused.
    pub expires_at: Option<DateTime<Utc>>,
    /// The moment it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was last used, to about a minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

impl TenantTx {
    /// Stores a key. An agent may have several live ones, so that a rotation can overlap.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the tenant has no such agent, [`StoreError::Exists`] if the id is taken.
    pub async fn add_key(&mut self, actor: &Actor, key: &NewKey) -> Result<(), StoreError> {
        let tenant = self.id();
        sqlx::query!(
            "insert into api_keys (tenant_id, id, agent_id, hash, scopes, expires_at) values ($1, $2, $3, $4, $5, $6)",
            tenant,
            key.id.as_str(),
            key.agent.as_uuid(),
            key.hash.as_bytes().as_slice(),
            Json(&key.scopes) as _,
            key.expires_at,
        )
        .execute(self.connection())
        .await
        .writing(KEY, "store a key")?;
        let detail = json!({ "agent": key.agent, "scopes": key.scopes, "expires_at": key.expires_at });
        self.record(actor, "key.create", key.id.as_str(), detail).await
    }

    /// Lists keys, revoked and expired ones too, newest first; of one agent or of all.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn keys(&mut self, agent: Option<AgentId>) -> Result<Vec<Key>, StoreError> {
        let tenant = self.id();
        let rows = sqlx::query!(
            r#"select api_keys.id, agent_id, agents.name as agent_name, scopes as "scopes: Json<RawScopes>",
                 api_keys.created_at, expires_at, revoked_at, last_used_at as "last_used_at?"
               from api_keys
               join agents on agents.tenant_id = api_keys.tenant_id and agents.id = api_keys.agent_id
               left join api_key_usage on api_key_usage.tenant_id = api_keys.tenant_id
                 and api_key_usage.key_id = api_keys.id
               where api_keys.tenant_id = $1 and ($2::uuid is null or agent_id = $2)
               order by api_keys.created_at desc, api_keys.id"#,
            tenant,
            agent.map(AgentId::as_uuid),
        )
        .fetch_all(self.connection())
        .await
        .attempted("list keys")?;
        rows.into_iter()
            .map(|row| {
                Ok(Key {
                    id: row.id.parse().map_err(|_| StoreError::Stored { what: "key id" })?,
                    agent: AgentId::from_uuid(row.agent_id),
                    agent_name: row.agent_name,
                    scopes: row.scopes.0,
                    created_at: row.created_at,
                    expires_at: row.expires_at,
                    revoked_at: row.revoked_at,
                    last_used_at: row.last_used_at,
                })
            })
            .collect()
    }

    /// Revokes a key for good. Revoking it again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn revoke_key(&mut self, actor: &Actor, key: KeyId) -> Result<(), StoreError> {
        let tenant = self.id();
        let done = sqlx::query!(
            "update api_keys set revoked_at = coalesce(revoked_at, clock_timestamp()) where tenant_id = $1 and id = $2",
            tenant,
            key.as_str()
        )
        .execute(self.connection())
        .await
        .attempted("revoke a key")?;
        if done.rows_affected() == 0 {
            return Err(StoreError::NotFound { what: "key" });
        }
        self.record(actor, "key.revoke", key.as_str(), json!({})).await
    }

    /// Sets or lifts the moment from which a key is refused, as a rotation does with the old one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn expire_key(
        &mut self,
        actor: &Actor,
        key: KeyId,
        expires_at: Option<DateTime<Utc>>,
    ) -> Result<(), StoreError> {
        let tenant = self.id();
        let done = sqlx::query!(
            "update api_keys set expires_at = $3 where tenant_id = $1 and id = $2",
            tenant,
            key.as_str(),
            expires_at
        )
        .execute(self.connection())
        .await
        .attempted("set a key's expiry")?;
        if done.rows_affected() == 0 {
            return Err(StoreError::NotFound { what: "key" });
        }
        self.record(actor, "key.expire", key.as_str(), json!({ "expires_at": expires_at })).await
    }
}
