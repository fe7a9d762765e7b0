//! Counts what was spent.

use std::collections::HashSet;

use bulkhead_policy::ids::{BudgetId, TenantId};
use bulkhead_policy::ledger::{LedgerDelta, LedgerKey, LedgerUsage};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::Store;
use crate::error::{Attempted, StoreError};
use crate::numbers::{to_i64, to_u64};

/// Usage that is counted together and once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageBatch {
    /// Names the batch for ever: the same id is never counted again. A request's id, or a fresh one per flush.
    pub id: Uuid,
    /// What to add.
    pub deltas: Vec<LedgerDelta>,
}

/// Adds usage to the stored counts; batches that were added before change nothing.
///
/// # Errors
/// [`StoreError::Database`]; all batches were added or none.
pub async fn add_budget_usage(store: &Store, batches: &[UsageBatch]) -> Result<(), StoreError> {
    if batches.is_empty() {
        return Ok(());
    }
    let rows = Rows::of(batches);
    let mut tx = super::begin(store, rows.tenant_id.clone()).await?;
    // Ordered, so that two nodes that add to the same budgets wait for each other instead of for ever.
    sqlx::query!(
        "with fresh as (
           insert into budget_batches (id) select distinct batch from unnest($1::uuid[]) as batch order by batch
           on conflict do nothing returning id
         )
         insert into budget_usage (tenant_id, budget, subject, unit, window_start, amount)
         select tenant_id, budget, subject, unit, window_start, least(sum(amount), 9223372036854775807)::bigint
         from unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::bigint[])
           as delta (batch, tenant_id, budget, subject, unit, window_start, amount)
         where batch in (select id from fresh)
         group by tenant_id, budget, subject, unit, window_start
         order by tenant_id, budget, subject, unit, window_start
         on conflict (tenant_id, budget, subject, unit, window_start) do update
         set amount = least(budget_usage.amount::numeric + excluded.amount, 9223372036854775807)::bigint,
           changed_at = clock_timestamp()",
        &rows.batches,
        &rows.batch,
        &rows.tenant_id,
        &rows.budget,
        &rows.subject,
        &rows.unit,
        &rows.window_start,
        &rows.amount,
    )
    .execute(&mut *tx)
    .await
    .attempted("add budget usage")?;
    tx.commit().await.attempted("commit budget usage")
}

/// Returns what all tenants have spent in the newest window of each count: what a node goes on from when it starts.
///
/// # Errors
/// [`StoreError::Database`] or [`StoreError::Stored`].
pub async fn load_budget_usage(store: &Store) -> Result<Vec<LedgerUsage>, StoreError> {
    let rows = sqlx::query_as!(
        StoredUsage,
        "select distinct on (tenant_id, budget, subject, unit) tenant_id, budget, subject, unit, window_start, amount
         from budget_usage order by tenant_id, budget, subject, unit, window_start desc"
    )
    .fetch_all(store.connections())
    .await
    .attempted("load budget usage")?;
    rows.into_iter().map(LedgerUsage::try_from).collect()
}

/// Removes counts of windows that began more than 60 days ago and have a newer one beside them, and the ids of batches
/// older than 30 days. Meant to be called with [`super::ensure_partitions`].
///
/// # Errors
/// [`StoreError::Database`].
pub async fn forget_old_usage(store: &Store) -> Result<(), StoreError> {
    sqlx::query!(
        "with forgotten as (delete from budget_batches where at < clock_timestamp() - interval '30 days')
         delete from budget_usage old where window_start < clock_timestamp() - interval '60 days' and exists (
           select from budget_usage newer where newer.tenant_id = old.tenant_id and newer.budget = old.budget
             and newer.subject = old.subject and newer.unit = old.unit and newer.window_start > old.window_start)"
    )
    .execute(store.connections())
    .await
    .attempted("forget old budget usage")?;
    Ok(())
}

/// The deltas of several batches, by column.
#[derive(Default)]
struct Rows {
    batches: Vec<Uuid>,
    batch: Vec<Uuid>,
    tenant_id: Vec<Uuid>,
    budget: Vec<String>,
    subject: Vec<String>,
    unit: Vec<String>,
    window_start: Vec<DateTime<Utc>>,
    amount: Vec<i64>,
}

impl Rows {
    /// A batch that is named twice is taken once.
    fn of(batches: &[UsageBatch]) -> Self {
        let mut rows = Self::default();
        let mut seen = HashSet::new();
        for batch in batches.iter().filter(|batch| seen.insert(batch.id)) {
            rows.batches.push(batch.id);
            for delta in &batch.deltas {
                rows.batch.push(batch.id);
                rows.tenant_id.push(delta.key.tenant.as_uuid());
                rows.budget.push(delta.key.budget.as_str().to_owned());
                rows.subject.push(delta.key.subject.to_string());
                rows.unit.push(delta.unit.as_str().to_owned());
                rows.window_start.push(delta.window_start);
                rows.amount.push(to_i64(delta.amount));
            }
        }
        rows
    }
}

/// A row of `budget_usage`.
pub(crate) struct StoredUsage {
    pub(crate) tenant_id: Uuid,
    pub(crate) budget: String,
    pub(crate) subject: String,
    pub(crate) unit: String,
    pub(crate) window_start: DateTime<Utc>,
    pub(crate) amount: i64,
}

impl TryFrom<StoredUsage> for LedgerUsage {
    type Error = StoreError;

    fn try_from(row: StoredUsage) -> Result<Self, StoreError> {
        Ok(Self {
            key: LedgerKey {
                tenant: TenantId::from_uuid(row.tenant_id),
                budget: BudgetId::new(&row.budget),
                subject: row.subject.parse().map_err(|_| StoreError::Stored { what: "budget subject" })?,
            },
            window_start: row.window_start,
            unit: row.unit.parse().map_err(|_| StoreError::Stored { what: "budget unit" })?,
            amount: to_u64(row.amount),
        })
    }
}
