//! The platform's policy: the floor under every tenant's. It belongs to no tenant. For [`crate::Role::Migrator`].

use bulkhead_policy::audit::Chain;
use chrono::{DateTime, Utc};
use serde_json::json;

use crate::audit;
use crate::error::{Attempted, StoreError};
use crate::numbers::to_u64;
use crate::{Actor, Store};

/// The platform's document in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformPolicy {
    /// Its number.
    pub version: u64,
    /// The document, as it was published.
    pub document: String,
    /// Who published it.
    pub author: String,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// Stores a document as a new version and puts it in force: a new revision of every tenant.
///
/// # Errors
/// [`StoreError::Invalid`] if `document` is not JSON.
pub async fn publish_platform_policy(
    store: &Store,
    actor: &Actor,
    document: &str,
) -> Result<u64, StoreError> {
    serde_json::from_str::<serde::de::IgnoredAny>(document)
        .map_err(|_| StoreError::Invalid { what: "policy document", expected: "JSON text" })?;
    let mut tx = store.connections().begin().await.attempted("begin a transaction")?;
    // The row lock makes publishers take turns.
    sqlx::query!("select policy_version from platform for update")
        .fetch_one(&mut *tx)
        .await
        .attempted("wait for another publisher")?;
    let version = sqlx::query_scalar!(
        "insert into platform_policies (version, document, author)
         select coalesce(max(version), 0) + 1, $1::text::json, $2 from platform_policies returning version",
        document,
        actor.as_str()
    )
    .fetch_one(&mut *tx)
    .await
    .attempted("store the platform's policy")?;
    sqlx::query!("update platform set policy_version = $1, revision = revision + 1", version)
        .execute(&mut *tx)
        .await
        .attempted("put the platform's policy in force")?;
    audit::record(
        &mut tx,
        Chain::Platform,
        actor,
        "platform_policy.publish",
        &version.to_string(),
        json!({}),
    )
    .await?;
    tx.commit().await.attempted("commit the platform's policy")?;
    Ok(to_u64(version))
}

/// Takes the platform's policy out of force; its versions stay.
///
/// # Errors
/// [`StoreError::NotFound`] if none is in force.
pub async fn remove_platform_policy(store: &Store, actor: &Actor) -> Result<(), StoreError> {
    let mut tx = store.connections().begin().await.attempted("begin a transaction")?;
    let version = sqlx::query_scalar!(
        r#"with before as (select policy_version from platform where policy_version is not null for update)
           update platform set policy_version = null, revision = revision + 1 from before
           returning before.policy_version as "version!""#
    )
    .fetch_optional(&mut *tx)
    .await
    .attempted("take the platform's policy out of force")?
    .ok_or(StoreError::NotFound { what: "platform policy" })?;
    audit::record(&mut tx, Chain::Platform, actor, "platform_policy.remove", &version.to_string(), json!({}))
        .await?;
    tx.commit().await.attempted("commit the removal of the platform's policy")
}

/// Returns the platform's policy in force.
///
/// # Errors
/// [`StoreError::Database`].
pub async fn platform_policy(store: &Store) -> Result<Option<PlatformPolicy>, StoreError> {
    let row = sqlx::query!(
        r#"select version, document::text as "document!", author, created_at
           from platform join platform_policies on version = policy_version"#
    )
    .fetch_optional(store.connections())
    .await
    .attempted("read the platform's policy")?;
    Ok(row.map(|row| PlatformPolicy {
        version: to_u64(row.version),
        document: row.document,
        author: row.author,
        created_at: row.created_at,
    }))
}
