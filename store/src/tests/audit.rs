//! The audit chains: whole under many writers, out of reach of those who may only insert, and found out where a superuser
//! has been at them.

use std::collections::HashSet;

use bulkhead_policy::audit::{Chain, Fault, Link, Wrong};
use bulkhead_policy::ids::TenantId;
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tokio::task::JoinSet;

use super::roles::refusal;
use super::{World, actor};
use crate::connect::connect_options;
use crate::migrate::{MIGRATIONS, ROLES};
use crate::{AuditFilter, Role, Store, migrate, system};

async fn verify(world: &World, chain: Chain, signed: Option<Link>) -> Result<i64, Fault> {
    let end = system::verify_audit_chain(&world.auditor, chain, signed).await.unwrap();
    end.map(|link| link.seq)
}

/// A tenant whose chain has five entries.
async fn tenant_of_five(world: &World, name: &str) -> TenantId {
    let tenant = world.tenant(name).await.id;
    let mut tx = world.api.tenant(tenant).await.unwrap();
    for agent in ["a", "b", "c", "d"] {
        tx.create_agent(&actor(), agent).await.unwrap();
    }
    tx.commit().await.unwrap();
    tenant
}

/// A superuser's connection on which no trigger fires.
async fn superuser(world: &World) -> PgConnection {
    let mut connection = connect_options(&world.url).unwrap().connect().await.unwrap();
    let quiet = "set session_replication_role = replica; set search_path = bulkhead";
    sqlx::raw_sql(quiet).execute(&mut connection).await.unwrap();
    connection
}

async fn run(connection: &mut PgConnection, statement: &str, tenant: TenantId) {
    let statement = statement.replace("$t", &format!("'{tenant}'::uuid"));
    sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(connection).await.expect(&statement);
}

/// Hashes a whole chain anew and records its head, as who knows how everything works would.
const WRITE_ANEW: &str = "
    do $do$ declare entry audit; previous bytea := decode(repeat('00', 32), 'hex'); begin
      for entry in select * from audit where tenant_id = $t order by seq loop
        previous := audit_hash(previous, entry);
        update audit set hash = previous where tenant_id = $t and seq = entry.seq;
        update audit_heads set seq = entry.seq, hash = previous where tenant_id = $t;
      end loop;
    end $do$";

/// What a superuser does to a chain of five entries, the first bad entry, and what is wrong with it.
const TAMPERING: [(&str, i64, Wrong); 23] = [
    ("update audit set tenant_id = gen_random_uuid() where tenant_id = $t and seq = 3", 3, Wrong::Missing),
    ("update audit set seq = 9 where tenant_id = $t and seq = 3", 3, Wrong::Missing),
    ("update audit set seq = -1 where tenant_id = $t and seq = 3", -1, Wrong::Doubled),
    ("update audit set id = gen_random_uuid() where tenant_id = $t and seq = 3", 3, Wrong::Changed),
    (
        "update audit set at = at + interval '1 microsecond' where tenant_id = $t and seq = 3",
        3,
        Wrong::Changed,
    ),
    ("update audit set at = 'infinity' where tenant_id = $t and seq = 3", 3, Wrong::Changed),
    ("update audit set actor = 'eve' where tenant_id = $t and seq = 3", 3, Wrong::Changed),
    ("update audit set action = 'agent.delete' where tenant_id = $t and seq = 3", 3, Wrong::Changed),
    ("update audit set target = 'x' where tenant_id = $t and seq = 1", 1, Wrong::Changed),
    ("update audit set detail = '{}' where tenant_id = $t and seq = 5", 5, Wrong::Changed),
    ("update audit set hash = sha256('x') where tenant_id = $t and seq = 3", 3, Wrong::Changed),
    ("delete from audit where tenant_id = $t and seq = 1", 1, Wrong::Missing),
    ("delete from audit where tenant_id = $t and seq = 3", 3, Wrong::Missing),
    ("delete from audit where tenant_id = $t and seq = 5", 5, Wrong::Missing),
    ("delete from audit where tenant_id = $t", 1, Wrong::Missing),
    (
        "delete from audit where tenant_id = $t; delete from audit_heads where tenant_id = $t",
        1,
        Wrong::Missing,
    ),
    (
        "update audit set seq = 9 where tenant_id = $t and seq = 2;
         update audit set seq = 2 where tenant_id = $t and seq = 4;
         update audit set seq = 4 where tenant_id = $t and seq = 9",
        2,
        Wrong::Changed,
    ),
    (
        "update audit one set id = other.id, at = other.at, target = other.target, detail = other.detail
         from audit other where one.tenant_id = $t and other.tenant_id = $t and one.seq in (2, 4)
           and other.seq = 6 - one.seq",
        2,
        Wrong::Changed,
    ),
    // Put in with the hash it should have; what follows is numbered anew.
    (
        "update audit set seq = seq + 10 where tenant_id = $t and seq >= 3;
         insert into audit (tenant_id, seq, id, actor, action, target, detail, hash)
           values ($t, 3, gen_random_uuid(), 'eve', 'key.create', 'x', '{}', sha256(''));
         update audit set hash = audit_hash((select hash from audit where tenant_id = $t and seq = 2), audit)
           where tenant_id = $t and seq = 3;
         update audit set seq = seq - 9 where tenant_id = $t and seq > 10",
        4,
        Wrong::Changed,
    ),
    (
        "insert into audit (tenant_id, seq, id, actor, action, target, detail, hash)
           values ($t, 6, gen_random_uuid(), 'eve', 'key.create', 'x', '{}', sha256(''));
         update audit set hash = audit_hash((select hash from audit where tenant_id = $t and seq = 5), audit)
           where tenant_id = $t and seq = 6",
        6,
        Wrong::Unrecorded,
    ),
    ("update audit_heads set hash = sha256('x') where tenant_id = $t", 5, Wrong::NotRecorded),
    ("delete from audit_heads where tenant_id = $t", 1, Wrong::Unrecorded),
    (
        "alter table audit drop constraint audit_pkey;
         insert into audit select * from audit where tenant_id = $t and seq = 3",
        3,
        Wrong::Doubled,
    ),
];

#[tokio::test]
async fn every_kind_of_tampering_is_found_where_it_is() {
    let world = World::new().await;
    let mut superuser = superuser(&world).await;
    for (number, (statement, seq, wrong)) in TAMPERING.into_iter().enumerate() {
        let tenant = tenant_of_five(&world, &format!("t{number}")).await;
        assert_eq!(verify(&world, Chain::Tenant(tenant), None).await, Ok(5));
        run(&mut superuser, statement, tenant).await;
        let found = verify(&world, Chain::Tenant(tenant), None).await;
        assert_eq!(found, Err(Fault { seq, wrong }), "{statement}");
    }
    // The others' chains are as they were.
    assert!(verify(&world, Chain::Platform, None).await.is_ok());
}

#[tokio::test]
async fn a_head_that_was_kept_finds_what_the_chain_alone_cannot() {
    let world = World::new().await;
    let mut superuser = superuser(&world).await;
    let tampering = [
        ("delete from audit where tenant_id = $t and seq > 3", 3, Wrong::Missing, 4),
        ("update audit set actor = 'eve' where tenant_id = $t and seq = 2", 5, Wrong::NotSigned, 5),
    ];
    for (number, (statement, length, wrong, seq)) in tampering.into_iter().enumerate() {
        let tenant = tenant_of_five(&world, &format!("t{number}")).await;
        let chain = Chain::Tenant(tenant);
        let signed = system::verify_audit_chain(&world.auditor, chain, None).await.unwrap().unwrap();
        run(&mut superuser, statement, tenant).await;
        run(&mut superuser, WRITE_ANEW, tenant).await;
        assert_eq!(verify(&world, chain, None).await, Ok(length), "{statement}");
        assert_eq!(verify(&world, chain, Some(signed)).await, Err(Fault { seq, wrong }), "{statement}");
    }
    // A chain that has grown since still holds it.
    let tenant = tenant_of_five(&world, "grows").await;
    let chain = Chain::Tenant(tenant);
    let signed = system::verify_audit_chain(&world.auditor, chain, None).await.unwrap().unwrap();
    world.agent(tenant, "e", "AAAAAAAAAAAAAAAA").await;
    assert_eq!(verify(&world, chain, Some(signed)).await, Ok(7));
}

#[tokio::test]
async fn many_writers_of_one_tenant_and_of_two_make_whole_chains() {
    const WRITERS: usize = 16;
    const EACH: usize = 10;
    let world = World::new().await;
    let store = Store::connect(&world.url, Role::Api, 16).await.unwrap();
    for names in [vec!["one"], vec!["two", "three"]] {
        let mut tenants = Vec::new();
        for name in names {
            tenants.push(world.tenant(name).await.id);
        }
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let (store, tenant) = (store.clone(), tenants[writer % tenants.len()]);
            writers.spawn(async move {
                // Entries alone: with a change beside them the tenant's revision would make the writers take turns.
                for _ in 0..EACH {
                    let mut tx = store.tenant(tenant).await.unwrap();
                    tx.record(&actor(), "test", "x", serde_json::json!({})).await.unwrap();
                    tx.commit().await.unwrap();
                }
            });
        }
        writers.join_all().await;
        let each = i64::try_from(WRITERS * EACH / tenants.len()).unwrap() + 1;
        for tenant in tenants {
            assert_eq!(verify(&world, Chain::Tenant(tenant), None).await, Ok(each));
        }
    }
}

#[tokio::test]
async fn changes_of_tenants_and_of_the_platform_at_once_wait_for_each_other_and_not_for_ever() {
    let world = World::new().await;
    let tenants = [world.tenant("one").await.id, world.tenant("two").await.id];
    let platform = verify(&world, Chain::Platform, None).await.unwrap();
    let mut writers = JoinSet::new();
    for writer in 0..12 {
        let (url, tenant) = (world.url.clone(), tenants[writer % 2]);
        writers.spawn(async move {
            let store = Store::connect(&url, Role::Migrator, 1).await.unwrap();
            // A change of the platform's policy revises every tenant.
            system::publish_platform_policy(&store, &actor(), "{}").await.unwrap();
            let mut tx = store.tenant(tenant).await.unwrap();
            for number in 0..3 {
                tx.create_agent(&actor(), &format!("{writer}-{number}")).await.unwrap();
            }
            tx.commit().await.unwrap();
        });
    }
    writers.join_all().await;
    assert_eq!(verify(&world, Chain::Platform, None).await, Ok(platform + 12));
    for tenant in tenants {
        assert_eq!(verify(&world, Chain::Tenant(tenant), None).await, Ok(1 + 6 * 3));
    }
}

#[tokio::test]
async fn a_tenant_that_takes_its_time_keeps_up_no_other() {
    let world = World::new().await;
    let (slow, quick) = (world.tenant("slow").await.id, world.tenant("quick").await.id);
    let mut held = world.api.tenant(slow).await.unwrap();
    held.create_agent(&actor(), "worker").await.unwrap();
    // Would end with a statement's timeout if it waited.
    world.agent(quick, "worker", "AAAAAAAAAAAAAAAA").await;
    drop(held);
    assert_eq!(verify(&world, Chain::Tenant(slow), None).await, Ok(1), "what was rolled back left a gap");
    assert_eq!(verify(&world, Chain::Tenant(quick), None).await, Ok(3));
}

#[tokio::test]
async fn who_may_only_insert_cannot_forge_a_place_in_a_chain() {
    let world = World::new().await;
    let began = super::now();
    let (ours, theirs) = (tenant_of_five(&world, "ours").await, tenant_of_five(&world, "theirs").await);
    let platform = Chain::Platform;
    let before = verify(&world, platform, None).await;
    let as_tenant = |tenant: &str, statement: &str| {
        format!("begin; set local bulkhead.tenant_id = '{tenant}'; {statement}; commit")
    };
    let (ours_id, theirs_id, platform_id) = (ours.to_string(), theirs.to_string(), platform.to_string());
    let insert = |column: &str, value: &str, tenant: &str| {
        format!(
            "insert into audit (tenant_id, id, actor, action, target, detail{column})
             values ('{tenant}', gen_random_uuid(), 'eve', 'key.create', 'x', '{{}}'{value})"
        )
    };
    for (tenant, statement) in [
        (&ours_id, insert(", seq", ", 6", &ours_id)),
        (&ours_id, insert(", hash", ", sha256('')", &ours_id)),
        (&ours_id, insert(", at", ", now()", &ours_id)),
        (&ours_id, insert("", "", &theirs_id)),
        (&ours_id, insert("", "", &platform_id)),
        (&platform_id, insert("", "", &platform_id)),
        (&ours_id, "select audit_hash(null, null)".to_owned()),
    ] {
        // A store of its own, because a failed script leaves its transaction open.
        let api = Store::connect(&world.url, Role::Api, 1).await.unwrap();
        assert_eq!(refusal(&api, &as_tenant(tenant, &statement)).await, "42501", "{statement}");
    }
    // Allowed are entries like any other: the same id twice, and what would skip a conflict if there were one.
    let twice = format!(
        "insert into audit (tenant_id, id, actor, action, target, detail)
         select '{ours}', '{theirs}', 'eve', 'key.create', 'x', '{{}}' from generate_series(1, 3) on conflict do nothing"
    );
    for store in [&world.api, &world.migrator] {
        let mut tx = store.tenant(ours).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(twice.clone())).execute(tx.connection()).await.unwrap();
        tx.commit().await.unwrap();
    }
    // The owner may name the columns, and gets what it would have got.
    let mut tx = world.migrator.tenant(ours).await.unwrap();
    let chosen = insert(", seq, at", ", 99, 'epoch'", &ours_id);
    sqlx::raw_sql(AssertSqlSafe(chosen)).execute(tx.connection()).await.unwrap();
    tx.commit().await.unwrap();
    // Not even the owner brings a hash, and with it a time, to a chain that was there before.
    let owner = Store::connect(&world.url, Role::Migrator, 1).await.unwrap();
    let brought = insert(", seq, at, hash", ", 13, 'epoch', sha256('')", &ours_id);
    assert_eq!(refusal(&owner, &as_tenant(&ours_id, &brought)).await, "23001");
    assert_eq!(verify(&world, Chain::Tenant(ours), None).await, Ok(12));
    let all = AuditFilter { limit: 100, ..AuditFilter::default() };
    let entries = system::audit_entries(&world.auditor, Chain::Tenant(ours), &all).await.unwrap();
    assert!(entries.is_sorted_by_key(|entry| std::cmp::Reverse(entry.at)), "{entries:?}");
    assert!(entries.iter().all(|entry| entry.at >= began), "{entries:?}");
    assert_eq!(verify(&world, Chain::Tenant(theirs), None).await, Ok(5));
    assert_eq!(verify(&world, platform, None).await, before);
    // Nobody reads another's, nor the platform's, whatever tenant the connection names.
    for (tenant, rows) in [(ours, 12), (TenantId::from_uuid(platform.into()), 0)] {
        let mut tx = world.api.tenant(tenant).await.unwrap();
        let seen = sqlx::query_scalar::<_, i64>("select count(*) from audit");
        assert_eq!(seen.fetch_one(tx.connection()).await.unwrap(), rows);
    }
}

#[tokio::test]
async fn not_even_the_owner_changes_an_entry_or_a_head() {
    let world = World::new().await;
    let tenant = tenant_of_five(&world, "acme").await;
    for statement in [
        "update audit set actor = 'eve'",
        "delete from audit",
        "truncate audit",
        "update audit_heads set seq = 1",
        "delete from audit_heads",
        "truncate audit_heads",
        "insert into audit_heads (tenant_id, seq, hash) values (gen_random_uuid(), 1, sha256(''))",
    ] {
        assert_eq!(refusal(&world.migrator, statement).await, "23001", "{statement}");
    }
    let id = format!("insert into tenants (id, name) values ('{}', 'nil')", Chain::Platform);
    assert_eq!(refusal(&world.migrator, &id).await, "23514");
    assert_eq!(verify(&world, Chain::Tenant(tenant), None).await, Ok(5));
}

#[tokio::test]
async fn an_auditor_lists_and_finds_every_chain() {
    let world = World::new().await;
    let (here, gone) = (tenant_of_five(&world, "here").await, tenant_of_five(&world, "gone").await);
    system::delete_tenant(&world.migrator, &actor(), gone).await.unwrap();
    let chains = system::audit_chains(&world.auditor).await.unwrap();
    let found: Vec<_> = chains.iter().map(|found| (found.chain, found.tenant.as_deref())).collect();
    let expected =
        [(Chain::Platform, None), (Chain::Tenant(here), Some("here")), (Chain::Tenant(gone), None)];
    assert_eq!(found, expected);
    let id = system::audit_chain(&world.auditor, &gone.to_string()).await.unwrap();
    assert_eq!(id.chain, Chain::Tenant(gone));
    assert_eq!(verify(&world, id.chain, None).await, Ok(6));
    assert!(system::audit_chain(&world.auditor, "gone").await.is_err());

    let list = async |filter: AuditFilter| -> Vec<u64> {
        let filter = AuditFilter { limit: 10, ..filter };
        let entries = system::audit_entries(&world.auditor, id.chain, &filter).await.unwrap();
        entries.iter().map(|entry| entry.seq).collect()
    };
    assert_eq!(list(AuditFilter::default()).await, [6, 5, 4, 3, 2, 1]);
    assert_eq!(list(AuditFilter { after: Some(3), ..AuditFilter::default() }).await, [2, 1]);
    let action = |action: &str| AuditFilter { action: Some(action.to_owned()), ..AuditFilter::default() };
    assert_eq!(list(action("tenant.delete")).await, [6]);
    assert_eq!(list(action("tenant")).await, [6, 1]);
    assert_eq!(list(action("tenan")).await, [0; 0]);
    let later = chrono::Utc::now() + chrono::TimeDelta::hours(1);
    assert_eq!(list(AuditFilter { since: Some(later), ..AuditFilter::default() }).await, [0; 0]);
}

#[tokio::test]
async fn entries_from_before_the_chain_are_chained_in_their_order() {
    let world = World::new().await;
    let mut connection = connect_options(&world.url).unwrap().connect().await.unwrap();
    sqlx::raw_sql("drop schema bulkhead cascade").execute(&mut connection).await.unwrap();
    sqlx::raw_sql(ROLES).execute(&mut connection).await.unwrap();
    let as_owner = "set role bulkhead_owner; set search_path = bulkhead, pg_temp";
    sqlx::raw_sql(as_owner).execute(&mut connection).await.unwrap();
    let earlier: Vec<_> = MIGRATIONS.iter().filter(|migration| migration.version < 7).cloned().collect();
    Migrator { migrations: earlier.into(), ..Migrator::DEFAULT }.run(&mut connection).await.unwrap();
    let tenants: Vec<_> = (0..2).map(|_| TenantId::fresh(super::now())).collect();
    for (minutes, tenant) in [(3, tenants[0]), (1, tenants[1]), (1, tenants[0]), (2, tenants[0])] {
        let entry = format!(
            "set bulkhead.tenant_id = '{tenant}';
             insert into audit (tenant_id, at, id, actor, action, target, detail) values
               ('{tenant}', now() + interval '{minutes} min', gen_random_uuid(), 'ada', 'old', '{minutes}', '{{\"a\": [1.50]}}')"
        );
        sqlx::raw_sql(AssertSqlSafe(entry)).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();

    assert_eq!(migrate(&world.url, &actor()).await.unwrap().applied.first(), Some(&7));
    assert_eq!(verify(&world, Chain::Tenant(tenants[0]), None).await, Ok(3));
    assert_eq!(verify(&world, Chain::Tenant(tenants[1]), None).await, Ok(1));
    let all = AuditFilter { limit: 10, ..AuditFilter::default() };
    let entries = system::audit_entries(&world.auditor, Chain::Tenant(tenants[0]), &all).await.unwrap();
    let order: Vec<_> = entries.iter().map(|entry| entry.target.as_str()).collect();
    assert_eq!(order, ["3", "2", "1"]);
    // They go on.
    let mut tx = world.api.tenant(tenants[0]).await.unwrap();
    tx.record(&actor(), "new", "x", serde_json::json!({})).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(verify(&world, Chain::Tenant(tenants[0]), None).await, Ok(4));
    let hashes: HashSet<_> = entries.iter().map(|entry| entry.hash.to_string()).collect();
    assert_eq!(hashes.len(), 3);
}
