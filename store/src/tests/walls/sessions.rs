//! What a connection carries from one transaction into the next, and what one tenant's transactions tell or do to another's.

use bulkhead_policy::ids::AgentId;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _};
use uuid::Uuid;

use super::{Victim, World, superuser, told};
use crate::tenant::{Layer, TenantTx};
use crate::tests::{actor, now};
use crate::{Role, Store};

/// The names of the agents that a connection sees outside any tenant's transaction.
async fn agents_without_a_tenant(store: &Store) -> Vec<String> {
    let names = sqlx::query_scalar::<_, String>("select name from agents");
    names.fetch_all(store.connections()).await.unwrap()
}

#[tokio::test]
async fn a_connection_keeps_no_tenant_from_one_transaction_to_the_next() {
    let world = World::new().await;
    let victim = Victim::new(&world).await;
    // Committed, rolled back, failed: a pool of one connection meets each.
    let store = Store::connect(&world.url, Role::Api, 1).await.unwrap();
    store.tenant(victim.tenant).await.unwrap().commit().await.unwrap();
    drop(store.tenant(victim.tenant).await.unwrap());
    let nobody = Layer::Agent(AgentId::fresh(now()));
    let mut tx = store.tenant(victim.tenant).await.unwrap();
    assert_eq!(told(tx.publish_policy(&actor(), nobody, "{}").await), Err("no such agent".to_owned()));
    drop(tx);
    assert_eq!(agents_without_a_tenant(&store).await, [] as [&str; 0]);
    let setting = "select coalesce(current_setting('bulkhead.tenant_id', true), '')";
    let left = sqlx::query_scalar::<_, String>(setting).fetch_one(store.connections()).await.unwrap();
    assert_eq!(left, "");
}

#[tokio::test]
async fn a_tenant_left_behind_by_a_session_is_not_the_next_transaction_s() {
    let world = World::new().await;
    let victim = Victim::new(&world).await;
    let stranger = world.tenant("ours").await.id;
    let store = Store::connect(&world.url, Role::Api, 1).await.unwrap();
    // What no statement here does: set without `local`.
    let left_behind = format!("set bulkhead.tenant_id = '{}'", victim.tenant);
    sqlx::raw_sql(AssertSqlSafe(left_behind)).execute(store.connections()).await.unwrap();
    assert_eq!(agents_without_a_tenant(&store).await, ["worker"], "it was left behind");
    let mut tx: TenantTx = store.tenant(stranger).await.unwrap();
    assert_eq!(tx.agents().await.unwrap(), []);
    let names = sqlx::query_scalar::<_, String>("select name from agents");
    assert_eq!(names.fetch_all(tx.connection()).await.unwrap(), [] as [&str; 0], "without the code's wall");
}

#[tokio::test]
async fn a_statement_planned_for_one_tenant_is_the_next_one_s() {
    let world = World::new().await;
    let victim = Victim::new(&world).await;
    let stranger = world.tenant("ours").await.id;
    for role in [Role::Api, Role::Migrator] {
        let store = Store::connect(&world.url, role, 1).await.unwrap();
        // After five times the server may keep a plan for all values.
        for (tenant, agents) in [(victim.tenant, 1); 8].into_iter().chain([(stranger, 0), (victim.tenant, 1)])
        {
            let mut tx = store.tenant(tenant).await.unwrap();
            let names = sqlx::query_scalar::<_, String>("select name from agents");
            assert_eq!(names.fetch_all(tx.connection()).await.unwrap().len(), agents, "{role:?}");
        }
    }
}

#[tokio::test]
async fn a_tenant_that_the_database_or_a_login_names_by_default_is_nobody_s() {
    let world = World::new().await;
    let victim = Victim::new(&world).await;
    let admin = superuser(&world).await;
    let mut admin = admin.acquire().await.unwrap();
    let database = sqlx::query_scalar::<_, String>("select current_database()::text");
    let database = database.fetch_one(&mut *admin).await.unwrap();
    for setting in
        [format!("tenant_id = '{}'", victim.tenant), format!("tenant_ids = '{{{}}}'", victim.tenant)]
    {
        let default = format!("alter database {database} set bulkhead.{setting}");
        admin.execute(sqlx::raw_sql(AssertSqlSafe(default))).await.unwrap();
    }
    let rows = [
        (Role::Api, "select tenant_id::text from agents"),
        (Role::Migrator, "select tenant_id::text from agents"),
        (Role::Retention, "select tenant_id::text from traces"),
        (Role::Writer, "select tenant_id::text from api_key_usage"),
    ];
    for (role, statement) in rows {
        let store = Store::connect(&world.url, role, 1).await.unwrap();
        let seen = sqlx::query_scalar::<_, String>(statement).fetch_all(store.connections()).await.unwrap();
        assert_eq!(seen, [] as [&str; 0], "{role:?}");
    }
}

/// The source of every statement that names a tenant for the second wall: all of them until the end of the transaction.
#[test]
fn no_statement_names_a_tenant_for_longer_than_its_transaction() {
    let (mut named, mut local) = (0, 0);
    crate::tests::entries::each_source(&mut |source| {
        named += source.matches("set_config('bulkhead.").count();
        local += source.matches("set_config('bulkhead.tenant_id', $1, true)").count()
            + source.matches("set_config('bulkhead.tenant_ids', $1::uuid[]::text, true)").count();
    });
    assert_eq!((named, local), (2, 2));
}

/// Statements of a stranger that name something: `$x` is an id or a name that the victim has, or that nobody has.
const PROBES: [&str; 12] = [
    "insert into agents (tenant_id, id, name) values ('$own', '$x', 'any')",
    "insert into agents (tenant_id, id, name) values ('$x', gen_random_uuid(), 'any')",
    "insert into api_keys (tenant_id, id, agent_id, hash, scopes)
       values ('$own', 'BBBBBBBBBBBBBBBB', '$x', decode(repeat('00', 32), 'hex'), '{}')",
    "insert into api_keys (tenant_id, id, agent_id, hash, scopes)
       values ('$x', 'BBBBBBBBBBBBBBBB', '$x', decode(repeat('00', 32), 'hex'), '{}')",
    "insert into credentials (tenant_id, id, name, version, sealed) values ('$own', '$x', 'openai-prod', 1, '')",
    "insert into policies (tenant_id, version, agent_id, document, author) values ('$own', 1, '$x', '{}', '')",
    "insert into policies (tenant_id, version, document, author) values ('$x', 1, '{}', '')",
    "insert into active_policies (tenant_id, scope, version) values ('$own', '$x', 1)",
    "insert into active_policies (tenant_id, scope, version) values ('$x', '$x', 1)
       on conflict (tenant_id, scope) do update set version = 2",
    "insert into audit (tenant_id, id, actor, action, target, detail) values ('$x', gen_random_uuid(), 'a', 'b', 'c', '{}')",
    "update agents set disabled = true where id = '$x'",
    "delete from agents where id = '$x'",
];

/// How a probe ended, to the last word that its caller is told.
async fn probed(tx: &mut PgConnection, probe: &str, own: Uuid, x: Uuid) -> String {
    let statement = probe.replace("$own", &own.to_string()).replace("$x", &x.to_string());
    let end = match tx.execute(sqlx::raw_sql(AssertSqlSafe(statement))).await {
        Ok(done) => format!("{} rows", done.rows_affected()),
        Err(error) => {
            let error = error.into_database_error().unwrap();
            let error = error.downcast_ref::<sqlx::postgres::PgDatabaseError>();
            format!("{:?} {} {:?} {:?}", error.code(), error.message(), error.detail(), error.hint())
        }
    };
    end.replace(&x.to_string(), "$x")
}

#[tokio::test]
async fn what_exists_at_another_tenant_and_what_exists_nowhere_are_told_alike() {
    let world = World::new().await;
    let victim = Victim::new(&world).await;
    let stranger = world.tenant("ours").await.id;
    for probe in PROBES {
        for exists in [victim.agent.as_uuid(), victim.tenant.as_uuid()] {
            let mut ends = Vec::new();
            for x in [exists, Uuid::now_v7()] {
                let mut tx = world.api.tenant(stranger).await.unwrap();
                ends.push(probed(tx.connection(), probe, stranger.as_uuid(), x).await);
            }
            assert_eq!(ends[0], ends[1], "{probe}");
        }
    }
}

#[tokio::test]
async fn a_tenant_s_locks_hold_up_nobody_else() {
    let world = World::new().await;
    let victim = Victim::new(&world).await;
    let stranger = world.tenant("ours").await.id;
    let mut theirs = world.api.tenant(victim.tenant).await.unwrap();
    let by = actor();
    theirs.set_agent_disabled(&by, victim.agent, true).await.unwrap();
    theirs.revoke_key(&by, victim.key).await.unwrap();
    theirs.put_credential(&by, victim.slot().await, b"new").await.unwrap();
    theirs.publish_policy(&by, Layer::Tenant, "{}").await.unwrap();

    let mut ours = world.api.tenant(stranger).await.unwrap();
    ours.connection().execute("set local lock_timeout = '1s'").await.unwrap();
    for statement in [
        "select name from agents for update",
        "update agents set disabled = true",
        "update api_keys set revoked_at = now()",
        "update credentials set version = 9",
        "delete from active_policies",
        "delete from agents",
    ] {
        assert_eq!(
            ours.connection().execute(statement).await.expect(statement).rows_affected(),
            0,
            "{statement}"
        );
    }
    ours.create_agent(&by, "worker").await.unwrap();
    ours.publish_policy(&by, Layer::Tenant, "{}").await.unwrap();
    ours.commit().await.unwrap();
    theirs.commit().await.unwrap();
}
