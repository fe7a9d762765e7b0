//! Counts what was spent.

use bulkhead_policy::ids::{BudgetId, TenantId};
use bulkhead_policy::ledger::{Holder, LedgerDelta, LedgerKey, LedgerUsage};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
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
    /// Who spent it, by the leases it holds; `None`: nobody who holds any.
    pub holder: Option<Holder>,
}

/// Adds usage to the stored counts; a batch that was added before changes nothing.
///
/// # Errors
/// [`StoreError::Database`]; all of the batch was added or nothing.
pub async fn add_budget_usage(store: &Store, batch: &UsageBatch) -> Result<(), StoreError> {
    let tenants = batch.deltas.iter().map(|delta| delta.key.tenant.as_uuid()).collect();
    let mut tx = super::begin(store, tenants).await?;
    let fresh = sqlx::query!("insert into budget_batches (id) values ($1) on conflict do nothing", batch.id)
        .execute(&mut *tx)
        .await
        .attempted("note a batch of budget usage")?;
    if fresh.rows_affected() > 0 {
        let source = batch.holder.map(|holder| (holder.spool, holder.term));
        add(&mut tx, &batch.deltas, source).await?;
    }
    tx.commit().await.attempted("commit budget usage")
}

/// Adds to the counts, whatever was added before, and to what the process reported that wrote this segment of this spool.
pub(super) async fn add(
    connection: &mut PgConnection,
    deltas: &[LedgerDelta],
    source: Option<(Uuid, u64)>,
) -> Result<(), StoreError> {
    if deltas.is_empty() {
        return Ok(());
    }
    let rows = Rows::of(deltas);
    // Ordered, so that two nodes that add to the same budgets wait for each other instead of for ever.
    sqlx::query!(
        "insert into budget_usage (tenant_id, budget, subject, unit, window_start, amount)
         select tenant_id, budget, subject, unit, window_start, least(sum(amount), 9223372036854775807)::bigint
         from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[])
           as delta (tenant_id, budget, subject, unit, window_start, amount)
         group by tenant_id, budget, subject, unit, window_start
         order by tenant_id, budget, subject, unit, window_start
         on conflict (tenant_id, budget, subject, unit, window_start) do update
         set amount = least(budget_usage.amount::numeric + excluded.amount, 9223372036854775807)::bigint,
           changed_at = clock_timestamp()",
        &rows.tenant_id,
        &rows.budget,
        &rows.subject,
        &rows.unit,
        &rows.window_start,
        &rows.amount,
    )
    .execute(&mut *connection)
    .await
    .attempted("add budget usage")?;
    let Some((spool, segment)) = source else { return Ok(()) };
    // After the counts, whose rows are what everybody waits for. A process's terms end where the next one's begin.
    sqlx::query!(
        "update budget_leases lease
         set reported = least(lease.reported::numeric + delta.amount, 9223372036854775807)::bigint
         from (
           select tenant_id, budget, subject, unit, window_start, sum(amount) as amount
           from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[])
             as delta (tenant_id, budget, subject, unit, window_start, amount)
           group by tenant_id, budget, subject, unit, window_start
         ) delta
         where (lease.tenant_id, lease.budget, lease.subject, lease.unit, lease.window_start)
             = (delta.tenant_id, delta.budget, delta.subject, delta.unit, delta.window_start)
           and (lease.spool, lease.term, lease.opening) = (
             select spool, term, opening from budget_leases of_spool
             where (of_spool.tenant_id, of_spool.budget, of_spool.subject, of_spool.unit, of_spool.window_start)
                 = (delta.tenant_id, delta.budget, delta.subject, delta.unit, delta.window_start)
               and of_spool.spool = $7 and of_spool.term <= $8
             order by term desc, granted - reported desc, opening limit 1)",
        &rows.tenant_id,
        &rows.budget,
        &rows.subject,
        &rows.unit,
        &rows.window_start,
        &rows.amount,
        spool,
        to_i64(segment),
    )
    .execute(connection)
    .await
    .attempted("report to leases")?;
    Ok(())
}

/// Removes counts of windows that began more than 60 days ago and have a newer one beside them, leases of windows that are
/// over after 2 days, and what recognises batches and stretches of spools after 30 days. Meant to be called with [`super::ensure_partitions`].
///
/// # Errors
/// [`StoreError::Database`].
pub async fn forget_old_usage(store: &Store) -> Result<(), StoreError> {
    sqlx::query!(
        "with batches as (delete from budget_batches where at < clock_timestamp() - interval '30 days'),
         positions as (delete from spool_positions where at < clock_timestamp() - interval '30 days'),
         leases as (
           delete from budget_leases lease where expires_at < clock_timestamp() - interval '2 days' and exists (
             select from budget_usage newer where newer.tenant_id = lease.tenant_id and newer.budget = lease.budget
               and newer.subject = lease.subject and newer.unit = lease.unit and newer.window_start > lease.window_start))
         delete from budget_usage old where window_start < clock_timestamp() - interval '60 days' and exists (
           select from budget_usage newer where newer.tenant_id = old.tenant_id and newer.budget = old.budget
             and newer.subject = old.subject and newer.unit = old.unit and newer.window_start > old.window_start)"
    )
    .execute(store.connections())
    .await
    .attempted("forget old budget usage")?;
    Ok(())
}

/// Deltas, by column.
#[derive(Default)]
struct Rows {
    tenant_id: Vec<Uuid>,
    budget: Vec<String>,
    subject: Vec<String>,
    unit: Vec<String>,
    window_start: Vec<DateTime<Utc>>,
    amount: Vec<i64>,
}

impl Rows {
    fn of(deltas: &[LedgerDelta]) -> Self {
        let mut rows = Self::default();
        for delta in deltas {
            rows.tenant_id.push(delta.key.tenant.as_uuid());
            rows.budget.push(delta.key.budget.as_str().to_owned());
            rows.subject.push(delta.key.subject.to_string());
            rows.unit.push(delta.unit.as_str().to_owned());
            rows.window_start.push(delta.window_start);
            rows.amount.push(to_i64(delta.amount));
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
