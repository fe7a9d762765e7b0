//! What has been spent and what is held, for those who ask; it is counted by [`crate::writer`].

use bulkhead_policy::ids::{BudgetId, TraceId};
use bulkhead_policy::ledger::{Alert, BudgetUnit, LedgerUsage, Subject};
use chrono::{DateTime, Utc};
use serde_json::json;

use super::{Actor, TenantTx};
use crate::error::{Attempted, StoreError};
use crate::numbers::to_u64;
use crate::writer::StoredUsage;

/// One window of a count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetUse {
    /// What was reported as settled.
    pub usage: LedgerUsage,
    /// What nodes hold of it, in the unit: reserved, settled and not stored yet, or free.
    pub leased: u64,
    /// What nodes held that were not heard of in time, in the unit: it counts as used.
    pub lost: u64,
}

/// A change of what counts as used.
#[derive(Debug, Clone, Copy)]
pub struct Adjustment<'a> {
    /// The budget.
    pub budget: &'a BudgetId,
    /// Whom the count is for.
    pub subject: Subject,
    /// What it counts.
    pub unit: BudgetUnit,
    /// Start of the window.
    pub window_start: DateTime<Utc>,
    /// How much to add, in the unit; below zero: to take off, as far as there is any.
    pub by: i64,
    /// Why, for the audit trail.
    pub reason: &'a str,
}

impl TenantTx {
    /// Lists what was counted in windows that began at `since` or later, by budget and subject, newest window first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn budget_usage(&mut self, since: DateTime<Utc>) -> Result<Vec<BudgetUse>, StoreError> {
        let tenant = self.id();
        let rows = sqlx::query!(
            r#"select usage.tenant_id, usage.budget, usage.subject, usage.unit, usage.window_start, usage.amount,
               coalesce(sum(greatest(granted - reported, 0)) filter (where expires_at > clock_timestamp()), 0)::bigint
                 as "leased!",
               coalesce(sum(greatest(granted - reported, 0)) filter (where expires_at <= clock_timestamp()), 0)::bigint
                 as "lost!"
             from budget_usage usage
             left join budget_leases lease on lease.tenant_id = $1 and lease.budget = usage.budget
               and lease.subject = usage.subject and lease.unit = usage.unit and lease.window_start = usage.window_start
             where usage.tenant_id = $1 and usage.window_start >= $2
             group by usage.tenant_id, usage.budget, usage.subject, usage.unit, usage.window_start
             order by usage.budget, usage.subject, usage.unit, usage.window_start desc"#,
            tenant,
            since
        )
        .fetch_all(self.connection())
        .await
        .attempted("read budget usage")?;
        let rows = rows.into_iter().map(|row| {
            let (leased, lost) = (to_u64(row.leased), to_u64(row.lost));
            let (tenant_id, budget, subject, unit) = (row.tenant_id, row.budget, row.subject, row.unit);
            let (window_start, amount) = (row.window_start, row.amount);
            let stored = StoredUsage { tenant_id, budget, subject, unit, window_start, amount };
            Ok(BudgetUse { usage: LedgerUsage::try_from(stored)?, leased, lost })
        });
        // A count that was only looked at is none.
        let rows: Result<Vec<BudgetUse>, StoreError> = rows.collect();
        Ok(rows?.into_iter().filter(|row| row.usage.amount.max(row.leased).max(row.lost) > 0).collect())
    }

    /// Lists the lines of budgets that a request has passed, which is known for as long as their counts. Ask the shared database,
    /// wherever the trace is.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn budget_alerts_of(&mut self, trace: TraceId) -> Result<Vec<Alert>, StoreError> {
        let tenant = self.id();
        let rows = sqlx::query!(
            "select tenant_id, budget, subject, unit, window_start, line, budget_limit, used from budget_alerts
             where tenant_id = $1 and trace_id = $2 order by budget, subject, line",
            tenant,
            trace.as_uuid()
        )
        .fetch_all(self.connection())
        .await
        .attempted("read what was told of budgets")?;
        let alerts = rows.into_iter().map(|row| {
            let (tenant_id, budget, subject, unit) = (row.tenant_id, row.budget, row.subject, row.unit);
            let (window_start, amount) = (row.window_start, row.used);
            let usage = LedgerUsage::try_from(StoredUsage {
                tenant_id,
                budget,
                subject,
                unit,
                window_start,
                amount,
            })?;
            Ok(Alert {
                key: usage.key,
                unit: usage.unit,
                window_start,
                line: to_u64(row.line),
                limit: to_u64(row.budget_limit),
                used: usage.amount,
                trace: Some(trace),
            })
        });
        alerts.collect()
    }

    /// Changes what counts as used of a budget and returns what does then. Nodes go by it with the next share they ask for. A line of
    /// the budget that is passed by it is told of with the next charge; one that was told of is not told of again.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn adjust_budget(
        &mut self,
        actor: &Actor,
        adjustment: &Adjustment<'_>,
    ) -> Result<u64, StoreError> {
        let Adjustment { budget, subject, unit, window_start, by, reason } = *adjustment;
        let tenant = self.id();
        let (owner, unit_name) = (subject.to_string(), unit.as_str());
        let amount = sqlx::query_scalar!(
            "insert into budget_usage (tenant_id, budget, subject, unit, window_start, amount)
             values ($1, $2, $3, $4, $5, greatest($6::bigint, 0))
             on conflict (tenant_id, budget, subject, unit, window_start) do update
             set amount = least(greatest(budget_usage.amount::numeric + $6::bigint, 0), 9223372036854775807)::bigint,
               changed_at = clock_timestamp()
             where budget_usage.tenant_id = $1
             returning amount",
            tenant,
            budget.as_str(),
            owner,
            unit_name,
            window_start,
            by
        )
        .fetch_one(self.connection())
        .await
        .attempted("adjust budget usage")?;
        let detail = json!({
            "subject": owner, "unit": unit_name, "window_start": window_start, "by": by, "used": amount, "reason": reason,
        });
        self.record(actor, "budget.adjust", budget.as_str(), detail).await?;
        Ok(to_u64(amount))
    }
}
