//! Tells nodes their parts of rates.
//!
//! The protocol is in [`bulkhead_policy::limiter::Sharing`]. Here is what it needs of the database: a rate's row is locked from
//! before what all nodes have of it is read until what this one gets is written.

use std::collections::{BTreeMap, HashMap};

use bulkhead_policy::limiter::{COUNTS_FOR, PartAsk, Portion, fitting_part};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::Store;
use crate::error::{Attempted, StoreError};

/// What a node has of a rate, as its row says.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct NodeShare {
    wanted: u32,
    part: u32,
    /// Microseconds since the epoch.
    until: i64,
}

/// Names a rate, as its row does.
type Key = (Uuid, String, String);

/// What all nodes have of a rate.
type Shares = BTreeMap<Uuid, NodeShare>;

/// Answers with this node's part of each rate, where so many nodes serve.
///
/// # Errors
/// [`StoreError::Database`]; then no part has changed.
pub async fn share_rates(
    store: &Store,
    node: Uuid,
    nodes: u32,
    asks: &[PartAsk],
) -> Result<Vec<u32>, StoreError> {
    let mut tx = super::begin(store, asks.iter().map(|ask| ask.key.tenant.as_uuid()).collect()).await?;
    // As for leases: less than a node waits, or what it has given up on would hold the others' rows.
    sqlx::query!("select set_config('lock_timeout', '500ms', true)")
        .fetch_one(&mut *tx)
        .await
        .attempted("share rates")?;
    let mut rates = lock(&mut tx, asks).await?;
    let parts = asks.iter().map(|ask| {
        let (shares, now) = rates.get_mut(&key(ask)).ok_or(StoreError::Stored { what: "rate shares" })?;
        shares.retain(|_, share| share.until > now.timestamp_micros());
        shares.remove(&node);
        let portion = |share: &NodeShare| Portion { wanted: share.wanted, part: share.part };
        let others: Vec<Portion> = shares.values().map(portion).collect();
        let part = fitting_part(ask.wanted, &others, nodes);
        let until = (*now + COUNTS_FOR).timestamp_micros();
        shares.insert(node, NodeShare { wanted: ask.wanted, part, until });
        Ok(part)
    });
    let parts = parts.collect::<Result<Vec<u32>, StoreError>>()?;
    write(&mut tx, rates).await?;
    tx.commit().await.attempted("commit rate shares")?;
    Ok(parts)
}

fn key(ask: &PartAsk) -> Key {
    (ask.key.tenant.as_uuid(), ask.key.subject.to_string(), ask.key.counted.as_str().to_owned())
}

/// Locks the rates' rows, in one order; returns what they say, and when.
async fn lock(
    connection: &mut PgConnection,
    asks: &[PartAsk],
) -> Result<HashMap<Key, (Shares, DateTime<Utc>)>, StoreError> {
    let (mut tenants, mut subjects, mut counted) = (Vec::new(), Vec::new(), Vec::new());
    for ask in asks {
        let (tenant, subject, unit) = key(ask);
        tenants.push(tenant);
        subjects.push(subject);
        counted.push(unit);
    }
    let rows = sqlx::query!(
        r#"insert into rate_shares as shared (tenant_id, subject, counted)
         select distinct tenant_id, subject, counted
         from unnest($1::uuid[], $2::text[], $3::text[]) as ask (tenant_id, subject, counted)
         order by tenant_id, subject, counted
         on conflict (tenant_id, subject, counted) do update set nodes = shared.nodes
         returning tenant_id, subject, counted, nodes as "nodes: Json<Shares>", clock_timestamp() as "now!""#,
        &tenants,
        &subjects,
        &counted,
    )
    .fetch_all(connection)
    .await
    .attempted("lock rate shares")?;
    Ok(rows
        .into_iter()
        .map(|row| ((row.tenant_id, row.subject, row.counted), (row.nodes.0, row.now)))
        .collect())
}

async fn write(
    connection: &mut PgConnection,
    rates: HashMap<Key, (Shares, DateTime<Utc>)>,
) -> Result<(), StoreError> {
    let (mut tenants, mut subjects, mut counted, mut nodes) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for ((tenant, subject, unit), (shares, _)) in rates {
        tenants.push(tenant);
        subjects.push(subject);
        counted.push(unit);
        nodes.push(Json(shares));
    }
    sqlx::query!(
        "update rate_shares shared set nodes = answer.nodes, changed_at = clock_timestamp()
         from unnest($1::uuid[], $2::text[], $3::text[], $4::jsonb[]) as answer (tenant_id, subject, counted, nodes)
         where (shared.tenant_id, shared.subject, shared.counted) = (answer.tenant_id, answer.subject, answer.counted)",
        &tenants,
        &subjects,
        &counted,
        &nodes as _,
    )
    .execute(connection)
    .await
    .attempted("write rate shares")?;
    Ok(())
}
