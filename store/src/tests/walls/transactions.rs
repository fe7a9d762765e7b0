//! Each function of a tenant's transaction, with both walls up and with either taken away.

use bulkhead_policy::ids::{BudgetId, TenantId};
use bulkhead_policy::ledger::{BudgetUnit, Subject};
use futures_util::future::BoxFuture;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{AssertSqlSafe, Executor as _};

use super::{MARK, Victim, World, holdings, superuser, tables_of_tenants, told};
use crate::AuditFilter;
use crate::tenant::{Adjustment, Layer, TenantTx, TraceFilter};
use crate::tests::{actor, data_key, minutes_ago, new_key, now};

/// One function, called with the victim's ids and names.
pub(super) struct Call {
    pub(super) name: &'static str,
    run: for<'a> fn(&'a mut TenantTx, &'a Victim) -> BoxFuture<'a, Result<String, String>>,
    /// What another tenant is told, whichever wall stands: the value, or why there is none.
    stranger: &'static str,
    /// What is told behind the second wall alone: the code names the victim, the database admits somebody else or nobody.
    confused: &'static str,
}

/// The call does to the caller's own rows what it would do to anybody's.
const OWN: &str = "its own";
/// Row-level security refuses a row of another tenant.
const REFUSED: &str = "42501";
const NO_TRACES: &str = "TracePage { traces: [], next: None }";

macro_rules! calls {
    ($by:ident, $it:ident: $($name:ident($($argument:expr),*) => $stranger:expr, $confused:expr;)+) => {
        vec![$(Call {
            name: stringify!($name),
            run: |tx, $it| Box::pin(async move {
                let ($by, $it) = (&actor(), $it);
                let _ = ($by, $it);
                told(tx.$name($($argument),*).await)
            }),
            stranger: $stranger,
            confused: $confused,
        }),+]
    };
}

pub(super) fn calls() -> Vec<Call> {
    calls! { by, it:
        create_agent(by, "worker") => OWN, REFUSED;
        agents() => "[]", "[]";
        agent_by_name("worker") => "no such agent", "no such agent";
        set_agent_disabled(by, it.agent, true) => "no such agent", "no such agent";
        delete_agent(by, it.agent) => "no such agent", "no such agent";
        add_key(by, &new_key(it.agent, "AAAAAAAAAAAAAAAA")) => "no such agent", REFUSED;
        keys(None) => "[]", "[]";
        keys(Some(it.agent)) => "[]", "[]";
        revoke_key(by, it.key) => "no such key", "no such key";
        expire_key(by, it.key, None) => "no such key", "no such key";
        credential_slot("openai-prod") => OWN, OWN;
        put_credential(by, it.slot().await, b"x") => "credential version exists already", "credential version exists already";
        credentials() => "[]", "[]";
        delete_credential(by, "openai-prod") => "no such credential", "no such credential";
        publish_policy(by, Layer::Tenant, "{}") => OWN, REFUSED;
        publish_policy(by, Layer::Agent(it.agent), "{}") => "no such agent", REFUSED;
        activate_policy(by, it.policy) => "no such policy version", "no such policy version";
        deactivate_policy(by, Layer::Tenant) => "no such active policy", "no such active policy";
        deactivate_policy(by, Layer::Agent(it.agent)) => "no such active policy", "no such active policy";
        policies(10) => "[]", "[]";
        policy_document(it.policy) => "no such policy version", "no such policy version";
        active_policy(Layer::Tenant) => "None", "None";
        active_policy(Layer::Agent(it.agent)) => "None", "None";
        policies_in_force() => "[]", "[]";
        // The nodes belong to the platform; what they say about a tenant is the tenant's.
        policy_status() => OWN, OWN;
        traces(&TraceFilter { limit: 10, ..TraceFilter::default() }) => NO_TRACES, NO_TRACES;
        traces(&TraceFilter { limit: 10, detector: Some("EMAIL_ADDRESS".into()), ..TraceFilter::default() }) =>
            NO_TRACES, NO_TRACES;
        trace_cursor(it.trace) => "no such trace", "no such trace";
        trace(it.trace) => "no such trace", "no such trace";
        has_sealed_bodies(it.trace) => "false", "false";
        budget_alerts_of(it.trace) => "[]", "[]";
        data_keys() => "[]", "[]";
        add_data_key(by, &data_key(2)) => OWN, REFUSED;
        budget_usage(minutes_ago(5_000)) => "[]", "[]";
        adjust_budget(by, &Adjustment {
            budget: &BudgetId::new(MARK), subject: Subject::Tenant, unit: BudgetUnit::Usd, window_start: now(), by: 7,
            reason: "why"
        }) => OWN, REFUSED;
        audit(&AuditFilter { limit: 10, ..AuditFilter::default() }) => OWN, "[]";
        itself() => OWN, "no such tenant";
        revision() => OWN, "no such tenant";
    }
}

/// Makes a call in a transaction of the `named` tenant in which the database admits `admitted`, and returns what the caller
/// is told and what the victim then has. Nothing is kept.
async fn attempt(
    call: &Call,
    pool: &PgPool,
    named: TenantId,
    admitted: Option<TenantId>,
    victim: &Victim,
) -> (Result<String, String>, Option<Vec<String>>) {
    let mut tx = TenantTx::begin(pool.begin().await.unwrap(), named).await.unwrap();
    if admitted != Some(named) {
        sqlx::query("select set_config('bulkhead.tenant_id', $1, true)")
            .bind(admitted.map_or(String::new(), |tenant| tenant.to_string()))
            .execute(tx.connection())
            .await
            .unwrap();
    }
    let told = (call.run)(&mut tx, victim).await;
    // A transaction in which a statement failed can keep nothing and be asked nothing.
    let as_superuser = tx.connection().execute("reset role").await;
    let held = match as_superuser {
        Ok(_) => Some(holdings(tx.connection(), victim.tenant).await),
        Err(_) => None,
    };
    (told, held)
}

#[tokio::test]
async fn each_call_reaches_its_own_tenant_alone_behind_either_wall() {
    let world = World::new().await;
    let victim = Victim::new(&world).await;
    let stranger = world.tenant("ours").await.id;
    let no_second_wall = superuser(&world).await;
    let before = holdings(&mut no_second_wall.acquire().await.unwrap(), victim.tenant).await;
    let (api, migrator) = (world.api.connections(), world.migrator.connections());
    for call in calls() {
        let name = call.name;
        let (own, _) = attempt(&call, api, victim.tenant, Some(victim.tenant), &victim).await;
        // Or that the name is taken.
        let own = own.unwrap_or_else(|why| why);
        assert!(
            own != call.stranger && own != REFUSED && !own.starts_with("no such"),
            "{name} as its owner: {own}"
        );

        let attempts = [
            ("both walls", api, stranger, Some(stranger), call.stranger),
            ("both walls, as migrator", migrator, stranger, Some(stranger), call.stranger),
            ("the first wall alone", &no_second_wall, stranger, Some(stranger), call.stranger),
            ("the second wall alone", api, victim.tenant, Some(stranger), call.confused),
            ("the second wall alone, no tenant", api, victim.tenant, None, call.confused),
        ];
        for (walls, pool, named, admitted, expected) in attempts {
            let (told, held) = attempt(&call, pool, named, admitted, &victim).await;
            if expected == OWN {
                assert!(told.is_ok(), "{name}, {walls}: {told:?}");
            } else {
                assert_eq!(told.as_deref().unwrap_or_else(|why| why), expected, "{name}, {walls}");
            }
            let told = told.unwrap_or_else(|why| why);
            for of_victim in [MARK.to_owned(), victim.tenant.to_string(), victim.agent.to_string()] {
                assert!(!told.contains(&of_victim), "{name}, {walls}: {told}");
            }
            if let Some(held) = held {
                assert_eq!(held, before, "{name}, {walls}");
            }
        }
    }
}

/// Gives a tenant the victim's rows in every table, ids and all: only the tenant and the mark differ.
async fn make_twin(connection: &mut PgConnection, victim: TenantId, twin: TenantId) {
    connection.execute("set session_replication_role = replica").await.unwrap();
    for (table, owner) in tables_of_tenants(connection).await {
        let columns = sqlx::query_scalar::<_, String>(
            "select quote_ident(attname) from pg_attribute
             where attrelid = $1::regclass and attnum > 0 and not attisdropped and attgenerated = ''",
        );
        let columns = columns.bind(&table).fetch_all(&mut *connection).await.unwrap();
        let (into, of_twin) = (columns.join(", "), columns.join(", twin."));
        let statement = format!(
            "insert into {table} ({into}) select twin.{of_twin} from {table} as theirs, jsonb_populate_record(null::{table},
               replace(replace(to_jsonb(theirs)::text, '{victim}', '{twin}'), '{MARK}', 'twin')::jsonb) as twin
             where theirs.{owner} = '{victim}'"
        );
        sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut *connection).await.expect(&statement);
    }
    connection.execute("set session_replication_role = origin").await.unwrap();
}

#[tokio::test]
async fn twins_with_the_same_ids_are_told_apart_by_the_code_alone() {
    let world = World::new().await;
    let victim = Victim::new(&world).await;
    let twin = TenantId::fresh(minutes_ago(0));
    let no_second_wall = superuser(&world).await;
    let mut connection = no_second_wall.acquire().await.unwrap();
    make_twin(&mut connection, victim.tenant, twin).await;
    let before = holdings(&mut connection, victim.tenant).await;
    assert_eq!(holdings(&mut connection, twin).await.len(), before.len());
    for call in calls() {
        let name = call.name;
        let (by_code, held) = attempt(&call, &no_second_wall, twin, Some(twin), &victim).await;
        assert_eq!(held.as_ref().unwrap_or(&before), &before, "{name}");
        let (by_both, held) = attempt(&call, world.api.connections(), twin, Some(twin), &victim).await;
        assert_eq!(held.as_ref().unwrap_or(&before), &before, "{name}");
        // A statement that forgets the tenant somewhere finds more rows, or one that row-level security would have hidden.
        assert_eq!(by_code, by_both, "{name}");
    }
}
