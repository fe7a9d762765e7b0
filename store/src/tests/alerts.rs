//! A line of a budget is told once in a window: over nodes, batches, repetitions and corrections.

use bulkhead_policy::audit::Chain;
use bulkhead_policy::ids::{BudgetId, TenantId, TraceId};
use bulkhead_policy::ledger::{
    Alert, AlertLines, BudgetUnit, Holder, LeaseAsk, LedgerDelta, LedgerKey, Subject,
};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{PATIENCE, World, actor, now};
use crate::tenant::Adjustment;
use crate::writer::{Shipment, Shipped, Spent, SpoolPlace, UsageBatch, add_budget_usage, lease, ship};
use crate::{AuditFilter, system};

const LIMIT: u64 = 100;

/// A tenant with a budget of tokens, whose nodes are spools of these numbers.
struct Budget {
    world: World,
    tenant: TenantId,
    window_start: DateTime<Utc>,
}

impl Budget {
    async fn new() -> Self {
        let world = World::new().await;
        let tenant = world.tenant("acme").await.id;
        Self { world, tenant, window_start: now() }
    }

    fn spent(&self, amount: u64, lines: &[u64], limit: u64) -> Spent {
        let key = LedgerKey { tenant: self.tenant, budget: BudgetId::new("month"), subject: Subject::Tenant };
        let alerts = AlertLines { at: lines.to_vec(), limit };
        let (window_start, unit) = (self.window_start, BudgetUnit::Tokens);
        let delta = LedgerDelta { key, window_start, unit, amount, alerts };
        Spent { delta, trace: Some(TraceId::fresh(now())), term: None }
    }

    /// Ships a stretch of a node's spool.
    async fn ship(&self, node: u128, from: u64, charges: &[Spent]) -> Vec<Alert> {
        let place = SpoolPlace { spool: Uuid::from_u128(node), segment: 1, from, to: from + 1 };
        let shipment = Shipment { place, traces: &[], placed: &[], charges };
        match ship(&self.world.writer, &shipment).await.unwrap() {
            Shipped::Stored(told) => told,
            Shipped::Overlaps => panic!("a stretch of its own"),
        }
    }

    /// Ships requests of these amounts under the lines 50 and 80 of the limit; returns the lines that were told, what was used
    /// then, and the number of the request.
    async fn told(&self, node: u128, from: u64, amounts: &[u64]) -> Vec<(u64, u64, usize)> {
        let charges: Vec<_> = amounts.iter().map(|amount| self.spent(*amount, &[50, 80], LIMIT)).collect();
        let told = self.ship(node, from, &charges).await;
        let place = |alert: &Alert| charges.iter().position(|spent| spent.trace == alert.trace).unwrap();
        told.iter().map(|alert| (alert.line, alert.used, place(alert))).collect()
    }

    async fn adjust(&self, by: i64) {
        let mut tx = self.world.api.tenant(self.tenant).await.unwrap();
        let (budget, subject, unit) = (&BudgetId::new("month"), Subject::Tenant, BudgetUnit::Tokens);
        let (window_start, reason) = (self.window_start, "a refund");
        let adjustment = Adjustment { budget, subject, unit, window_start, by, reason };
        tx.adjust_budget(&actor(), &adjustment).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// The lines in the audit trail, oldest first; the trail is whole.
    async fn entries(&self) -> Vec<u64> {
        let mut tx = self.world.api.tenant(self.tenant).await.unwrap();
        let entries = tx.audit(&AuditFilter { limit: 100, ..AuditFilter::default() }).await.unwrap();
        system::verify_audit_chain(&self.world.auditor, Chain::Tenant(self.tenant), None)
            .await
            .unwrap()
            .unwrap();
        let told = entries.iter().filter(|entry| entry.action == "budget.alert");
        let mut lines: Vec<_> = told.map(|entry| entry.detail["line"].as_u64().unwrap()).collect();
        lines.reverse();
        lines
    }
}

#[tokio::test]
async fn each_line_is_told_once_by_whichever_node_passes_it() {
    let budget = Budget::new().await;
    assert_eq!(budget.told(1, 0, &[20, 20]).await, []);
    assert_eq!(budget.told(2, 0, &[9, 1, 5]).await, [(50, 50, 1)], "reached is passed");
    assert_eq!(budget.told(3, 0, &[20]).await, []);
    assert_eq!(budget.told(1, 1, &[4, 1, 30]).await, [(80, 80, 1)]);
    for node in 1..=3 {
        assert_eq!(budget.told(node, 7, &[10]).await, []);
    }
    assert_eq!(budget.entries().await, [50, 80]);
}

#[tokio::test]
async fn one_charge_may_pass_several_lines() {
    let budget = Budget::new().await;
    assert_eq!(budget.told(1, 0, &[1, 95, 1]).await, [(50, 96, 1), (80, 96, 1)]);
    assert_eq!(budget.entries().await, [50, 80]);
}

#[tokio::test]
async fn a_batch_that_is_sent_again_tells_nothing() {
    let budget = Budget::new().await;
    let charges = [budget.spent(60, &[50], LIMIT)];
    assert_eq!(budget.ship(1, 0, &charges).await.len(), 1);
    assert_eq!(budget.ship(1, 0, &charges).await, []);
    let batch = UsageBatch {
        id: Uuid::now_v7(),
        deltas: vec![budget.spent(30, &[50, 80], LIMIT).delta],
        holder: None,
    };
    let told = add_budget_usage(&budget.world.writer, &batch).await.unwrap();
    assert_eq!(told.iter().map(|alert| (alert.line, alert.trace)).collect::<Vec<_>>(), [(80, None)]);
    assert_eq!(add_budget_usage(&budget.world.writer, &batch).await.unwrap(), []);
    assert_eq!(budget.entries().await, [50, 80]);
}

#[tokio::test]
async fn nodes_that_pass_a_line_at_once_tell_it_once() {
    let budget = Budget::new().await;
    let charges = [budget.spent(30, &[50], LIMIT)];
    let all = futures_util::future::join_all((1..=6).map(|node| budget.ship(node, 0, &charges))).await;
    assert_eq!(all.iter().flatten().count(), 1, "{all:?}");
    assert_eq!(budget.entries().await, [50]);
}

#[tokio::test]
async fn what_was_told_is_not_told_again_after_a_correction() {
    let budget = Budget::new().await;
    assert_eq!(budget.told(1, 0, &[60]).await.len(), 1);
    budget.adjust(-40).await;
    assert_eq!(budget.told(1, 1, &[35]).await, [], "55 again");
    budget.adjust(30).await;
    // Nobody was charged with that; who comes next finds it.
    assert_eq!(budget.entries().await, [50]);
    assert_eq!(budget.told(2, 0, &[1]).await, [(80, 86, 0)]);
    assert_eq!(budget.entries().await, [50, 80]);
}

#[tokio::test]
async fn another_limit_has_other_lines() {
    let budget = Budget::new().await;
    let ship = async |from, amount, line, limit| {
        let told = budget.ship(1, from, &[budget.spent(amount, &[line], limit)]).await;
        told.iter().map(|alert| (alert.line, alert.limit, alert.used)).collect::<Vec<_>>()
    };
    assert_eq!(ship(0, 85, 80, 100).await, [(80, 100, 85)]);
    // Raised: told again when as much of it is used.
    assert_eq!(ship(1, 5, 160, 200).await, []);
    assert_eq!(ship(2, 75, 160, 200).await, [(160, 200, 165)]);
    // Back, and lowered below what is used: told of what had not been.
    assert_eq!(ship(3, 0, 80, 100).await, []);
    assert_eq!(ship(4, 1, 40, 50).await, [(40, 50, 166)]);
    assert_eq!(budget.entries().await, [80, 160, 40]);
}

#[tokio::test]
async fn the_next_window_and_another_count_begin_anew() {
    let mut budget = Budget::new().await;
    assert_eq!(budget.told(1, 0, &[60]).await.len(), 1);
    budget.window_start += TimeDelta::days(30);
    assert_eq!(budget.told(1, 1, &[60]).await.len(), 1);
    let mut other = budget.spent(60, &[50], LIMIT);
    other.delta.key.budget = BudgetId::new("other");
    assert_eq!(budget.ship(1, 2, &[other]).await.len(), 1);
    assert_eq!(budget.entries().await, [50, 50, 50]);
}

#[tokio::test]
async fn a_trace_knows_the_lines_that_its_request_passed() {
    let budget = Budget::new().await;
    let charges = [budget.spent(10, &[50, 80], LIMIT), budget.spent(80, &[50, 80], LIMIT)];
    let told = budget.ship(1, 0, &charges).await;
    let mut tx = budget.world.api.tenant(budget.tenant).await.unwrap();
    assert_eq!(tx.budget_alerts_of(charges[1].trace.unwrap()).await.unwrap(), told);
    assert_eq!(tx.budget_alerts_of(charges[0].trace.unwrap()).await.unwrap(), []);
}

#[tokio::test]
async fn nobody_is_told_of_a_tenant_that_is_gone() {
    let budget = Budget::new().await;
    system::delete_tenant(&budget.world.migrator, &actor(), budget.tenant).await.unwrap();
    assert_eq!(budget.ship(1, 0, &[budget.spent(60, &[50], LIMIT)]).await, []);
    system::verify_audit_chain(&budget.world.auditor, Chain::Tenant(budget.tenant), None)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn the_writer_cannot_tell_what_is_not_so() {
    let budget = Budget::new().await;
    let told = budget.ship(1, 0, &[budget.spent(60, &[50], LIMIT)]).await;
    let tell = async |line: i64, named: Option<TenantId>| {
        let mut tx = budget.world.writer.connections().begin().await.unwrap();
        let name = "select set_config('bulkhead.tenant_ids', $1, true)";
        let named = named.map_or(String::new(), |tenant| format!("{{{tenant}}}"));
        sqlx::query(name).bind(named).execute(&mut *tx).await.unwrap();
        let call = "select tell_budget_alert(($1, 'month', 'tenant', 'tokens', $2, $3, 100, 60, null, null)::budget_alerts)";
        let call =
            sqlx::query_scalar::<_, bool>(call).bind(budget.tenant.as_uuid()).bind(told[0].window_start);
        call.bind(line).fetch_one(&mut *tx).await.ok()
    };
    assert_eq!(tell(61, Some(budget.tenant)).await, Some(false), "more than is used");
    assert_eq!(tell(50, Some(budget.tenant)).await, Some(false), "again");
    assert_eq!(tell(40, None).await, None, "of no batch");
    assert_eq!(tell(40, Some(TenantId::fresh(now()))).await, None, "of another's batch");
    assert_eq!(tell(40, Some(budget.tenant)).await, Some(true));
}

#[tokio::test]
async fn an_operators_open_change_of_one_tenant_keeps_no_other_from_its_budget() {
    let budget = Budget::new().await;
    let other = budget.world.tenant("other").await.id;
    // Somebody's command has written its entry and is not committed yet.
    let mut open = budget.world.api.tenant(budget.tenant).await.unwrap();
    open.create_agent(&actor(), "slow").await.unwrap();
    let mut of_other = budget.spent(1, &[], LIMIT);
    of_other.delta.key.tenant = other;
    let charges = [budget.spent(60, &[50], LIMIT), of_other.clone()];
    let place = SpoolPlace { spool: Uuid::from_u128(1), segment: 1, from: 0, to: 1 };
    let shipment = Shipment { place, traces: &[], placed: &[], charges: &charges };
    // It comes again, and holds nobody's count meanwhile.
    let shipped = ship(&budget.world.writer, &shipment).await.unwrap_err();
    assert!(shipped.is_lock_timeout() && shipped.is_transient(), "{shipped:?}");
    let ask = LeaseAsk {
        key: of_other.delta.key.clone(),
        unit: BudgetUnit::Tokens,
        window_start: budget.window_start,
        limit: LIMIT,
        have: 0,
        need: 10,
        want: 20,
        opening: 0,
        number: 1,
    };
    let holder = Holder { spool: Uuid::from_u128(9), term: 1 };
    // The error comes before its locks have gone.
    let granted = async {
        while lease(&budget.world.writer, holder, std::slice::from_ref(&ask)).await.unwrap() == [None] {}
    };
    tokio::time::timeout(PATIENCE, granted).await.expect("nobody granted the other tenant anything");
    open.commit().await.unwrap();
    assert_eq!(budget.ship(1, 0, &charges).await.len(), 1);
    assert_eq!(budget.entries().await, [50]);
}
