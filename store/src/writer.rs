//! What proxies append: traces, and what was spent.
//!
//! The role is [`crate::Role::Writer`]. It appends to `traces` and cannot read them: hence no `returning` and no conflict
//! target, both of which need `select`. Everything here may be sent again after an unclear commit and counts once.
//! A batch is one statement: many rows as arrays, because a round trip costs more than a row.

mod alerts;
mod budgets;
mod columns;
mod counts;
mod leases;
mod rates;
mod shipment;
mod traces;

pub use crate::partitions::ensure_partitions;
pub use budgets::{Spent, UsageBatch, add_budget_usage, forget_old_usage};
pub use leases::lease;
pub use rates::share_rates;
pub use shipment::{Shipment, Shipped, SpoolPlace, load_positions, ship};
pub use traces::{insert_placed, insert_traces};

pub(crate) use budgets::StoredUsage;

use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use crate::Store;
use crate::error::{Attempted, StoreError};

/// Begins a transaction that may write rows of exactly these tenants.
async fn begin(store: &Store, mut tenants: Vec<Uuid>) -> Result<Transaction<'static, Postgres>, StoreError> {
    tenants.sort_unstable();
    tenants.dedup();
    let mut tx = store.connections().begin().await.attempted("begin a batch")?;
    sqlx::query!("select set_config('bulkhead.tenant_ids', $1::uuid[]::text, true)", &tenants)
        .fetch_one(&mut *tx)
        .await
        .attempted("name the tenants of a batch")?;
    Ok(tx)
}
