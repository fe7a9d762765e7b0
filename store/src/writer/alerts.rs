//! Tells of counts that have passed a line of their budget, in the transaction that adds to them.
//!
//! When a line counts as passed is in [`bulkhead_policy::ledger::Alert`]'s module. Here is who passed it: charges are counted in the
//! order in which the database takes them, those of one batch in their order in the spool.

use std::collections::{HashMap, HashSet};

use bulkhead_policy::ledger::{Alert, LedgerDelta};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Spent;
use super::counts::{Count, Counts};
use crate::error::{Attempted, StoreError};
use crate::numbers::to_i64;

/// How a count stands after a batch was added to it.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) amount: u64,
    /// Lines that were told before.
    pub(super) told: Vec<u64>,
}

/// Tells of the lines that a batch has passed and returns those that nobody told of before. The counts' rows must be locked.
pub(super) async fn tell(
    connection: &mut PgConnection,
    spent: &[Spent],
    counted: &HashMap<Count, Counted>,
) -> Result<Vec<Alert>, StoreError> {
    let mut passed = passed(spent, counted);
    if passed.is_empty() {
        return Ok(passed);
    }
    // Each entry takes its turn in the trail of its tenant: in one order, so that two nodes wait for each other, but not for ever.
    passed.sort_by_key(|alert| alert.key.tenant);
    // Whoever changes something about one tenant holds its trail until that is committed. Everybody's counts must not wait for it
    // here, locked: the batch comes again.
    sqlx::query!("select set_config('lock_timeout', '500ms', true)")
        .fetch_one(&mut *connection)
        .await
        .attempted("tell of budgets")?;
    let rows = Rows::of(&passed);
    let news = sqlx::query_scalar!(
        r#"select tell_budget_alert(
             (tenant_id, budget, subject, unit, window_start, line, budget_limit, used, trace_id, null)::budget_alerts) as "is_news!"
           from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[], $7::bigint[],
             $8::bigint[], $9::uuid[])
             as passed (tenant_id, budget, subject, unit, window_start, line, budget_limit, used, trace_id)"#,
        &rows.counts.tenant_id,
        &rows.counts.budget,
        &rows.counts.subject,
        &rows.counts.unit,
        &rows.counts.window_start,
        &rows.line,
        &rows.budget_limit,
        &rows.used,
        &rows.trace_id as _,
    )
    .fetch_all(connection)
    .await
    .attempted("tell of budgets")?;
    Ok(passed.into_iter().zip(news).filter(|(_, is_news)| *is_news).map(|(alert, _)| alert).collect())
}

/// The lines that a batch has passed, each by the first charge that left its count at or above it.
fn passed(spent: &[Spent], counted: &HashMap<Count, Counted>) -> Vec<Alert> {
    // Most budgets have no line, and the counts' rows are locked meanwhile.
    if spent.iter().all(|spent| spent.delta.alerts.is_empty()) {
        return Vec::new();
    }
    let count = |delta: &LedgerDelta| -> Count { (delta.key.clone(), delta.unit, delta.window_start) };
    let mut used: HashMap<Count, u64> =
        counted.iter().map(|(count, counted)| (count.clone(), counted.amount)).collect();
    for Spent { delta, .. } in spent {
        used.entry(count(delta)).and_modify(|used| *used = used.saturating_sub(delta.amount));
    }
    let mut seen = HashSet::new();
    let mut alerts = Vec::new();
    for Spent { delta, trace, .. } in spent {
        let count = count(delta);
        let (Some(used), Some(counted)) = (used.get_mut(&count), counted.get(&count)) else { continue };
        *used = used.saturating_add(delta.amount);
        let lines = delta.alerts.at.iter().filter(|line| **line <= *used && !counted.told.contains(line));
        for &line in lines.filter(|line| seen.insert((count.clone(), **line))) {
            let (key, unit, window_start) = count.clone();
            let (limit, used, trace) = (delta.alerts.limit, *used, *trace);
            alerts.push(Alert { key, unit, window_start, line, limit, used, trace });
        }
    }
    alerts
}

/// Alerts, by column.
#[derive(Default)]
struct Rows {
    counts: Counts,
    line: Vec<i64>,
    budget_limit: Vec<i64>,
    used: Vec<i64>,
    trace_id: Vec<Option<Uuid>>,
}

impl Rows {
    fn of(alerts: &[Alert]) -> Self {
        let mut rows = Self::default();
        for alert in alerts {
            rows.counts.push(&alert.key, alert.unit, alert.window_start);
            rows.line.push(to_i64(alert.line));
            rows.budget_limit.push(to_i64(alert.limit));
            rows.used.push(to_i64(alert.used));
            rows.trace_id.push(alert.trace.map(|trace| trace.as_uuid()));
        }
        rows
    }
}
