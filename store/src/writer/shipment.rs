//! A stretch of a node's spool, stored once whatever happens on the way.
//!
//! 1. The end of the stretch is stored in the transaction that stores what lies in it. A stretch that is sent again, by
//!    the same process after an unclear commit or by the next one after a crash, is recognised and changes nothing.
//! 2. Only stretches that follow on the stored position, or leave a gap, are taken: one that reaches over it was cut by
//!    somebody who did not ask [`load_positions`] first, and part of it would count twice.
//! 3. What was spent is counted with the traces that spent it, never before and never after.

use std::collections::BTreeMap;

use bulkhead_policy::ledger::Alert;
use bulkhead_policy::trace::TraceRecord;
use uuid::Uuid;

use super::{Spent, budgets, traces};
use crate::Store;
use crate::error::{Attempted, StoreError};
use crate::numbers::{to_i64, to_u64};

/// Where a stretch lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolPlace {
    /// Names the spool, for ever.
    pub spool: Uuid,
    /// Its segment.
    pub segment: u64,
    /// First byte of the stretch.
    pub from: u64,
    /// The byte after it.
    pub to: u64,
}

/// What lies in a stretch.
#[derive(Debug, Clone, Copy)]
pub struct Shipment<'a> {
    /// Where it lies.
    pub place: SpoolPlace,
    /// Its traces, without those that can never be stored.
    pub traces: &'a [TraceRecord],
    /// Those whose tenants are placed in another database, where somebody else stores them. Here is noted that their keys
    /// were used.
    pub placed: &'a [TraceRecord],
    /// What its requests spent, in their order.
    pub charges: &'a [Spent],
}

/// Whether a shipment is stored now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a shipment that overlaps is not stored"]
pub enum Shipped {
    /// It is, and its charges have passed these lines of budgets; if it was before, nothing was changed and none.
    Stored(Vec<Alert>),
    /// A part of it was before, and nothing was changed: cut it where [`load_positions`] says.
    Overlaps,
}

/// Stores a stretch of a spool: all of it, or nothing on an error.
///
/// # Errors
/// [`StoreError::Database`] or [`StoreError::Invalid`]; if [`StoreError::is_transient`] says that the data is at fault, halve
/// the traces with [`super::insert_traces`] to find the record that is.
pub async fn ship(store: &Store, shipment: &Shipment<'_>) -> Result<Shipped, StoreError> {
    let of_traces = shipment.traces.iter().chain(shipment.placed).map(|trace| trace.tenant.as_uuid());
    let of_charges = shipment.charges.iter().map(|charge| charge.delta.key.tenant.as_uuid());
    let mut tx = super::begin(store, of_traces.chain(of_charges).collect()).await?;
    let SpoolPlace { spool, segment, from, to } = shipment.place;
    let advanced = sqlx::query!(
        "insert into spool_positions as stored (spool, segment, position) values ($1, $2, $4)
         on conflict (spool, segment) do update set position = excluded.position, at = clock_timestamp()
         where stored.position <= $3",
        spool,
        to_i64(segment),
        to_i64(from),
        to_i64(to),
    )
    .execute(&mut *tx)
    .await
    .attempted("advance a spool's position")?;
    if advanced.rows_affected() == 0 {
        let stored = sqlx::query_scalar!(
            "select position from spool_positions where spool = $1 and segment = $2",
            spool,
            to_i64(segment)
        )
        .fetch_one(&mut *tx)
        .await
        .attempted("read a spool's position")?;
        return Ok(if to_u64(stored) >= to { Shipped::Stored(Vec::new()) } else { Shipped::Overlaps });
    }
    traces::insert(&mut tx, shipment.traces).await?;
    traces::note_placed(&mut tx, shipment.placed).await?;
    // Last, because nodes meet at these rows.
    let alerts = budgets::add(&mut tx, shipment.charges, Some((spool, segment))).await?;
    tx.commit().await.attempted("commit a shipment")?;
    Ok(Shipped::Stored(alerts))
}

/// Returns the end of what is stored of a spool, by segment, in bytes.
///
/// # Errors
/// [`StoreError::Database`].
pub async fn load_positions(store: &Store, spool: Uuid) -> Result<BTreeMap<u64, u64>, StoreError> {
    let rows = sqlx::query!("select segment, position from spool_positions where spool = $1", spool)
        .fetch_all(store.connections())
        .await
        .attempted("load a spool's positions")?;
    Ok(rows.into_iter().map(|row| (to_u64(row.segment), to_u64(row.position))).collect())
}
