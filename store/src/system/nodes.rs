//! What nodes say: that they live, and which revision of which tenant they enforce. For [`crate::Role::Sync`].
//!
//! Crosses tenants because a node judges for all of them.

use bulkhead_policy::ids::{Revision, TenantId};

use crate::Store;
use crate::error::{Attempted, StoreError};
use crate::numbers::to_i64;

/// A node's judgement of a tenant's revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The tenant.
    pub tenant: TenantId,
    /// The revision that was judged.
    pub revision: Revision,
    /// Why it was refused; `None` if it was not.
    pub refused: Option<String>,
    /// The revision that the node enforces now; `None` if it has none for this tenant.
    pub live: Option<Revision>,
}

/// How long a node counts as alive after it said so; it does every few seconds.
const ALIVE_SECONDS: f64 = 15.0;

/// Says that the node is alive, and returns how many are, with it. Removes nodes, with what they said, that were silent for a day.
///
/// # Errors
/// [`StoreError::Database`].
pub async fn sign_of_life(store: &Store, node: &str) -> Result<u32, StoreError> {
    let others = sqlx::query_scalar!(
        r#"with silent as (delete from nodes where seen_at < clock_timestamp() - interval '1 day' and node <> $1),
         said as (insert into nodes (node) values ($1) on conflict (node) do update set seen_at = clock_timestamp())
         select count(*) as "others!" from nodes
         where node <> $1 and seen_at > clock_timestamp() - make_interval(secs => $2)"#,
        node,
        ALIVE_SECONDS
    )
    .fetch_one(store.connections())
    .await
    .attempted("say that this node is alive")?;
    Ok(u32::try_from(others).unwrap_or(u32::MAX).saturating_add(1))
}

/// Records what a node judged. Judgements of tenants that are gone meanwhile are left out.
///
/// The node must have given a [`sign_of_life`] before.
///
/// # Errors
/// [`StoreError::Database`].
pub async fn record_verdicts(store: &Store, node: &str, verdicts: &[Verdict]) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into policy_acks (tenant_id, node, revision, ok, reason, live_revision)
         select tenant_id, $1, verdict.revision, reason is null, reason, live_revision
         from unnest($2::uuid[], $3::bigint[], $4::text[], $5::bigint[])
           as verdict (tenant_id, revision, reason, live_revision)
         join tenants on tenants.id = verdict.tenant_id
         order by tenant_id
         on conflict (tenant_id, node) do update set revision = excluded.revision, ok = excluded.ok,
           reason = excluded.reason, live_revision = excluded.live_revision, at = clock_timestamp()",
        node,
        &verdicts.iter().map(|verdict| verdict.tenant.as_uuid()).collect::<Vec<_>>(),
        &verdicts.iter().map(|verdict| to_i64(verdict.revision.get())).collect::<Vec<_>>(),
        &verdicts
            .iter()
            .map(|verdict| verdict.refused.as_ref().map(|reason| reason.replace('\0', "?")))
            .collect::<Vec<_>>() as _,
        &verdicts.iter().map(|verdict| verdict.live.map(|live| to_i64(live.get()))).collect::<Vec<_>>() as _,
    )
    .execute(store.connections())
    .await
    .attempted("record verdicts")?;
    Ok(())
}
