//! Counts what was spent.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;

use bulkhead_policy::ids::{BudgetId, TenantId, TraceId};
use bulkhead_policy::ledger::{Alert, Holder, LedgerDelta, LedgerKey, LedgerUsage, merge};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::alerts::{self, Counted};
use super::counts::{Count, Counts};
use crate::Store;
use crate::error::{Attempted, StoreError};
use crate::numbers::{to_i64, to_u64};

/// What one request spent of one budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// What to add.
    pub delta: LedgerDelta,
    /// The request; `None` where its trace was lost.
    pub trace: Option<TraceId>,
    /// The [term](Holder::term) of the process that charged it; `None`, as an earlier version left it: of the last one that held a
    /// lease when its segment was written.
    pub term: Option<u64>,
}

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

/// Adds usage to the stored counts; a batch that was added before changes nothing. Returns the lines of budgets that it has
/// passed.
///
/// # Errors
/// [`StoreError::Database`]; all of the batch was added or nothing.
pub async fn add_budget_usage(store: &Store, batch: &UsageBatch) -> Result<Vec<Alert>, StoreError> {
    let tenants = batch.deltas.iter().map(|delta| delta.key.tenant.as_uuid()).collect();
    let mut tx = super::begin(store, tenants).await?;
    let fresh = sqlx::query!("insert into budget_batches (id) values ($1) on conflict do nothing", batch.id)
        .execute(&mut *tx)
        .await
        .attempted("note a batch of budget usage")?;
    let mut alerts = Vec::new();
    if fresh.rows_affected() > 0 {
        let source = batch.holder.map(|holder| (holder.spool, holder.term));
        let term = batch.holder.map(|holder| holder.term);
        let spent = batch.deltas.iter().map(|delta| Spent { delta: delta.clone(), trace: None, term });
        let spent: Vec<_> = spent.collect();
        alerts = add(&mut tx, &spent, source).await?;
    }
    tx.commit().await.attempted("commit budget usage")?;
    Ok(alerts)
}

/// Adds to the counts, whatever was added before, and to what the processes reported that charged it, over this spool, in this
/// segment. Tells of the lines that were passed.
pub(super) async fn add(
    connection: &mut PgConnection,
    spent: &[Spent],
    source: Option<(Uuid, u64)>,
) -> Result<Vec<Alert>, StoreError> {
    if spent.is_empty() {
        return Ok(Vec::new());
    }
    // Many requests, few budgets, and nearly always one process.
    let counted = count(connection, &Rows::of(&merge(spent.iter().map(|spent| spent.delta.clone())))).await?;
    if let Some((spool, segment)) = source {
        let mut by_process: BTreeMap<_, Vec<LedgerDelta>> = BTreeMap::new();
        for Spent { delta, term, .. } in spent {
            by_process.entry(*term).or_default().push(delta.clone());
        }
        // After the counts, whose rows are what everybody waits for.
        for (term, deltas) in by_process {
            let terms = term.map_or(0..=segment, |term| term..=term);
            report(connection, &Rows::of(&merge(deltas)), spool, terms).await?;
        }
    }
    alerts::tell(connection, spent, &counted).await
}

/// Returns how each count stands then.
async fn count(connection: &mut PgConnection, rows: &Rows) -> Result<HashMap<Count, Counted>, StoreError> {
    // Ordered, so that two nodes that add to the same budgets wait for each other instead of for ever.
    let counted = sqlx::query!(
        r#"insert into budget_usage as counted (tenant_id, budget, subject, unit, window_start, amount)
         select tenant_id, budget, subject, unit, window_start, least(sum(amount), 9223372036854775807)::bigint
         from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[])
           as delta (tenant_id, budget, subject, unit, window_start, amount)
         group by tenant_id, budget, subject, unit, window_start
         order by tenant_id, budget, subject, unit, window_start
         on conflict (tenant_id, budget, subject, unit, window_start) do update
         set amount = least(counted.amount::numeric + excluded.amount, 9223372036854775807)::bigint,
           changed_at = clock_timestamp()
         returning tenant_id, budget, subject, unit, window_start, amount, array(
           select line from budget_alerts told
           where (told.tenant_id, told.budget, told.subject, told.unit, told.window_start)
             = (counted.tenant_id, counted.budget, counted.subject, counted.unit, counted.window_start)
         ) as "told!""#,
        &rows.counts.tenant_id,
        &rows.counts.budget,
        &rows.counts.subject,
        &rows.counts.unit,
        &rows.counts.window_start,
        &rows.amount,
    )
    .fetch_all(connection)
    .await
    .attempted("add budget usage")?;
    let counted = counted.into_iter().map(|row| {
        let told = row.told.into_iter().map(to_u64).collect();
        let (tenant_id, budget, subject, unit) = (row.tenant_id, row.budget, row.subject, row.unit);
        let (window_start, amount) = (row.window_start, row.amount);
        let usage =
            LedgerUsage::try_from(StoredUsage { tenant_id, budget, subject, unit, window_start, amount })?;
        Ok(((usage.key, usage.unit, usage.window_start), Counted { amount: usage.amount, told }))
    });
    counted.collect()
}

/// Adds to what the process has reported that held the last lease of these terms. One that held none, because it never reached the
/// database, reports to no lease: what its predecessor held is not spent by that.
async fn report(
    connection: &mut PgConnection,
    rows: &Rows,
    spool: Uuid,
    terms: RangeInclusive<u64>,
) -> Result<(), StoreError> {
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
               and of_spool.spool = $7 and of_spool.term between $8 and $9
             order by term desc, granted - reported desc, opening limit 1)",
        &rows.counts.tenant_id,
        &rows.counts.budget,
        &rows.counts.subject,
        &rows.counts.unit,
        &rows.counts.window_start,
        &rows.amount,
        spool,
        to_i64(*terms.start()),
        to_i64(*terms.end()),
    )
    .execute(connection)
    .await
    .attempted("report to leases")?;
    Ok(())
}

/// Removes what recognises batches and stretches of spools after 30 days, what nodes had of rates after one, and counts that have not changed for 60 days, with what was
/// held and told of them, where their budget was counted in another window since. Meant to be called with
/// [`super::ensure_partitions`].
///
/// # Errors
/// [`StoreError::Database`].
pub async fn forget_old_usage(store: &Store) -> Result<(), StoreError> {
    sqlx::query!(
        "with batches as (delete from budget_batches where at < clock_timestamp() - interval '30 days'),
         positions as (delete from spool_positions where at < clock_timestamp() - interval '30 days'),
         shares as (delete from rate_shares where changed_at < clock_timestamp() - interval '1 day')
         delete from budget_usage old where changed_at < clock_timestamp() - interval '60 days' and exists (
           select from budget_usage newer where newer.tenant_id = old.tenant_id and newer.budget = old.budget
             and newer.subject = old.subject and newer.unit = old.unit and newer.changed_at > old.changed_at)"
    )
    .execute(store.connections())
    .await
    .attempted("forget old budget usage")?;
    Ok(())
}

/// Deltas, by column.
#[derive(Default)]
struct Rows {
    counts: Counts,
    amount: Vec<i64>,
}

impl Rows {
    fn of(deltas: &[LedgerDelta]) -> Self {
        let mut rows = Self::default();
        for delta in deltas {
            rows.counts.push(&delta.key, delta.unit, delta.window_start);
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
