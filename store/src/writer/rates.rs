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

use super::leases::Busy;
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

/// Rates, what their rows say, and when.
type Rates = HashMap<Key, (Shares, DateTime<Utc>)>;

struct Row {
    tenant_id: Uuid,
    subject: String,
    counted: String,
    nodes: Json<Shares>,
    now: DateTime<Utc>,
}

impl Row {
    fn into_pair(self) -> (Key, (Shares, DateTime<Utc>)) {
        ((self.tenant_id, self.subject, self.counted), (self.nodes.0, self.now))
    }
}

/// What asks and rows are about, by column.
#[derive(Default)]
struct Keys {
    tenant_id: Vec<Uuid>,
    subject: Vec<String>,
    counted: Vec<String>,
}

impl Keys {
    fn push(&mut self, (tenant_id, subject, counted): Key) {
        self.tenant_id.push(tenant_id);
        self.subject.push(subject);
        self.counted.push(counted);
    }
}

/// Answers with this node's part of each rate, where so many nodes serve; `None` for one that somebody else holds for long.
///
/// # Errors
/// [`StoreError::Database`]; then no part has changed.
pub async fn share_rates(
    store: &Store,
    node: Uuid,
    nodes: u32,
    asks: &[PartAsk],
) -> Result<Vec<Option<u32>>, StoreError> {
    match share(store, node, nodes, asks, Busy::Wait).await {
        Err(error) if error.is_lock_timeout() => share(store, node, nodes, asks, Busy::Skip).await,
        shared => shared,
    }
}

async fn share(
    store: &Store,
    node: Uuid,
    nodes: u32,
    asks: &[PartAsk],
    busy: Busy,
) -> Result<Vec<Option<u32>>, StoreError> {
    let mut tx = super::begin(store, asks.iter().map(|ask| ask.key.tenant.as_uuid()).collect()).await?;
    let mut keys = Keys::default();
    asks.iter().for_each(|ask| keys.push(key(ask)));
    let locked = match busy {
        Busy::Wait => lock_all(&mut tx, &keys).await,
        Busy::Skip => lock_free(&mut tx, &keys).await,
    };
    let mut rates = match locked {
        Ok(rates) => rates,
        Err(error) => {
            // The error comes before its locks have gone; who asks again must not meet them.
            tx.rollback().await.attempted("give up on rate shares")?;
            return Err(error);
        }
    };
    let part = |ask: &PartAsk| {
        let (shares, now) = rates.get_mut(&key(ask))?;
        shares.retain(|_, share| share.until > now.timestamp_micros());
        shares.remove(&node);
        let portion = |share: &NodeShare| Portion { wanted: share.wanted, part: share.part };
        let others: Vec<Portion> = shares.values().map(portion).collect();
        let part = fitting_part(ask.wanted, &others, nodes);
        let until = (*now + COUNTS_FOR).timestamp_micros();
        shares.insert(node, NodeShare { wanted: ask.wanted, part, until });
        Some(part)
    };
    let parts = asks.iter().map(part).collect();
    write(&mut tx, rates).await?;
    tx.commit().await.attempted("commit rate shares")?;
    Ok(parts)
}

fn key(ask: &PartAsk) -> Key {
    (ask.key.tenant.as_uuid(), ask.key.subject.to_string(), ask.key.counted.as_str().to_owned())
}

/// Locks the rates' rows, in one order; returns what they say, and when.
async fn lock_all(connection: &mut PgConnection, keys: &Keys) -> Result<Rates, StoreError> {
    // As for leases: less than a node waits, or what it has given up on would hold the others' rows.
    sqlx::query!("select set_config('lock_timeout', '500ms', true)")
        .fetch_one(&mut *connection)
        .await
        .attempted("lock rate shares")?;
    let rows = sqlx::query_as!(
        Row,
        r#"insert into rate_shares as shared (tenant_id, subject, counted)
         select distinct tenant_id, subject, counted
         from unnest($1::uuid[], $2::text[], $3::text[]) as ask (tenant_id, subject, counted)
         order by tenant_id, subject, counted
         on conflict (tenant_id, subject, counted) do update set nodes = shared.nodes
         returning tenant_id, subject, counted, nodes as "nodes: Json<Shares>", clock_timestamp() as "now!""#,
        &keys.tenant_id,
        &keys.subject,
        &keys.counted,
    )
    .fetch_all(connection)
    .await
    .attempted("lock rate shares")?;
    Ok(rows.into_iter().map(Row::into_pair).collect())
}

/// Those that nobody holds.
async fn lock_free(connection: &mut PgConnection, keys: &Keys) -> Result<Rates, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        r#"select tenant_id, subject, counted, nodes as "nodes: Json<Shares>", clock_timestamp() as "now!"
         from rate_shares join unnest($1::uuid[], $2::text[], $3::text[]) as ask (tenant_id, subject, counted)
           using (tenant_id, subject, counted)
         order by tenant_id, subject, counted for update of rate_shares skip locked"#,
        &keys.tenant_id,
        &keys.subject,
        &keys.counted,
    )
    .fetch_all(connection)
    .await
    .attempted("lock rate shares")?;
    Ok(rows.into_iter().map(Row::into_pair).collect())
}

async fn write(connection: &mut PgConnection, rates: Rates) -> Result<(), StoreError> {
    let (mut keys, mut nodes) = (Keys::default(), Vec::new());
    for (key, (shares, _)) in rates {
        keys.push(key);
        nodes.push(Json(shares));
    }
    sqlx::query!(
        "update rate_shares shared set nodes = answer.nodes, changed_at = clock_timestamp()
         from unnest($1::uuid[], $2::text[], $3::text[], $4::jsonb[]) as answer (tenant_id, subject, counted, nodes)
         where (shared.tenant_id, shared.subject, shared.counted) = (answer.tenant_id, answer.subject, answer.counted)",
        &keys.tenant_id,
        &keys.subject,
        &keys.counted,
        &nodes as _,
    )
    .execute(connection)
    .await
    .attempted("write rate shares")?;
    Ok(())
}
