//! Who changed what. Entries are written by the functions that change something; nobody writes one by hand.
//!
//! The database chains them (`bulkhead_policy::audit` says how), so what is inserted here is what happened, and not where
//! in the chain it stands.

use std::fmt;

use bulkhead_policy::audit::{Chain, ChainHash};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::{Attempted, StoreError};
use crate::numbers::{to_i64, to_u64};

/// Who makes a change, as the audit trail shall show it: an operator's name, or the program that acts for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor(String);

impl Actor {
    /// Longest name, in characters.
    pub const LENGTH_MAX: usize = 256;

    /// Names an actor. Longer names are cut, control characters become `?`, an empty name becomes `unknown`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let clean: String =
            name.chars().take(Self::LENGTH_MAX).map(|c| if c.is_control() { '?' } else { c }).collect();
        Self(if clean.is_empty() { "unknown".to_owned() } else { clean })
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditEntry {
    /// Its number in its chain, from 1 on without gaps.
    pub seq: u64,
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
    /// Stands for this entry and all before it.
    pub hash: ChainHash,
}

/// Which entries are wanted.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Made at this moment or later.
    pub since: Option<DateTime<Utc>>,
    /// Of this action (`key.revoke`), or of all actions on a kind of thing (`key`).
    pub action: Option<String>,
    /// Older than the entry of this number: the place after the last one seen.
    pub after: Option<u64>,
    /// At most this many.
    pub limit: u32,
}

/// Lists entries of a chain, newest first, as far as the connection's role may see them.
pub(crate) async fn list(
    connection: &mut PgConnection,
    chain: Chain,
    filter: &AuditFilter,
) -> Result<Vec<AuditEntry>, StoreError> {
    let rows = sqlx::query!(
        "select seq, id, at, actor, action, target, detail, hash from audit
         where tenant_id = $1 and ($2::timestamptz is null or at >= $2)
           and ($3::text is null or action = $3 or starts_with(action, $3 || '.'))
           and ($4::bigint is null or seq < $4)
         order by seq desc limit $5",
        Uuid::from(chain),
        filter.since,
        filter.action,
        filter.after.map(to_i64),
        i64::from(filter.limit),
    )
    .fetch_all(connection)
    .await
    .attempted("list the audit trail")?;
    rows.into_iter()
        .map(|row| {
            Ok(AuditEntry {
                seq: to_u64(row.seq),
                id: row.id,
                at: row.at,
                actor: row.actor,
                action: row.action,
                target: row.target,
                detail: row.detail,
                hash: ChainHash::from_bytes(&row.hash).ok_or(StoreError::Stored { what: "audit hash" })?,
            })
        })
        .collect()
}

/// Appends an entry, in the transaction of the change. From here to its end the other writers of this chain wait.
pub(crate) async fn record(
    connection: &mut PgConnection,
    chain: Chain,
    actor: &Actor,
    action: &'static str,
    target: &str,
    detail: Value,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into audit (tenant_id, id, actor, action, target, detail) values ($1, $2, $3, $4, $5, $6)",
        Uuid::from(chain),
        Uuid::now_v7(),
        actor.as_str(),
        action,
        target,
        detail,
    )
    .execute(connection)
    .await
    .attempted("write the audit trail")?;
    Ok(())
}
