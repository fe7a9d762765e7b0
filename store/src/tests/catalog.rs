//! What the catalog says about every table, so that a new one cannot forget the rules.
//!
//! Who may do what with each is in `walls/privileges.txt`.

use sqlx::AssertSqlSafe;

use super::{World, actor, now};
use crate::{StoreError, migrate, system, writer};

async fn names(world: &World, statement: &'static str) -> Vec<String> {
    sqlx::query_scalar::<_, String>(statement).fetch_all(world.migrator.connections()).await.unwrap()
}

/// Rules, each with the query for what breaks it.
const RULES: &[(&str, &str)] = &[
    (
        "tables without forced row-level security",
        "select relname::text from pg_class where relnamespace = 'bulkhead'::regnamespace and relkind in ('r', 'p')
           and not (relrowsecurity and relforcerowsecurity) and relname <> '_sqlx_migrations'",
    ),
    (
        "relations that are neither tables nor indexes: views would run as their owner",
        "select relname::text from pg_class where relnamespace = 'bulkhead'::regnamespace
           and relkind not in ('r', 'p', 'i', 'I')",
    ),
    (
        "tables with a tenant_id but without the tenant's policies",
        "select relname::text from pg_class join pg_attribute on attrelid = pg_class.oid and attname = 'tenant_id'
         where relnamespace = 'bulkhead'::regnamespace and relkind in ('r', 'p') and not relispartition
           and 2 <> (select count(*) from pg_policy where polrelid = pg_class.oid
                     and polname in ('tenant_rows', 'tenant_floor'))",
    ),
    (
        "policies for everybody",
        "select polname::text from pg_policy join pg_class on pg_class.oid = polrelid
         where relnamespace = 'bulkhead'::regnamespace and 0 = any (polroles)",
    ),
    (
        "unique keys of a tenant's table that do not lead with the tenant",
        "select indexrelid::regclass::text from pg_index join pg_class on pg_class.oid = indrelid
         join pg_attribute on attrelid = indrelid and attname = 'tenant_id'
         where relnamespace = 'bulkhead'::regnamespace and indisunique and indkey[0] <> attnum",
    ),
    (
        "foreign keys between tenants' tables that leave the tenant out",
        "select conname::text from pg_constraint
         join pg_attribute own on own.attrelid = conrelid and own.attname = 'tenant_id'
         join pg_attribute other on other.attrelid = confrelid and other.attname = 'tenant_id'
         where contype = 'f' and (array_position(conkey, own.attnum) <> array_position(confkey, other.attnum)) is not false",
    ),
    (
        "objects that the owner does not own",
        "select relname::text from pg_class where relnamespace = 'bulkhead'::regnamespace
           and relowner <> 'bulkhead_owner'::regrole
         union select proname::text from pg_proc where pronamespace = 'bulkhead'::regnamespace
           and proowner <> 'bulkhead_owner'::regrole",
    ),
    (
        "functions that do not pin the search path, or that anybody may call",
        "select proname::text from pg_proc where pronamespace = 'bulkhead'::regnamespace and (
           not coalesce('search_path=bulkhead, pg_temp' = any (proconfig), false)
           or exists (select from aclexplode(coalesce(proacl, acldefault('f', proowner))) acl where acl.grantee = 0))",
    ),
    (
        "grants to everybody",
        "select relname::text from pg_class, aclexplode(relacl) acl
         where relnamespace = 'bulkhead'::regnamespace and acl.grantee = 0
         union select nspname::text from pg_namespace, aclexplode(nspacl) acl
         where nspname = 'bulkhead' and acl.grantee = 0",
    ),
    (
        "grants and policies on partitions: rows are reached through the parent",
        "select relname::text from pg_class, aclexplode(relacl) acl
         where relnamespace = 'bulkhead'::regnamespace and relispartition and acl.grantee <> relowner
         union select relname::text from pg_class join pg_attribute on attrelid = pg_class.oid and attacl is not null
         where relnamespace = 'bulkhead'::regnamespace and relispartition
         union select relname::text from pg_class join pg_policy on polrelid = pg_class.oid
         where relnamespace = 'bulkhead'::regnamespace and relispartition",
    ),
    (
        "roles that log in or stand above row-level security",
        "select rolname::text from pg_roles where rolname like 'bulkhead\\_%'
           and (rolcanlogin or rolsuper or rolbypassrls or rolcreatedb or rolcreaterole)",
    ),
    (
        "constraints that are checked later than their statement: nobody would be told by the function that broke one",
        "select conname::text from pg_constraint where connamespace = 'bulkhead'::regnamespace and condeferrable",
    ),
    (
        "indexes of partitioned tables that do not lead with the tenant",
        "select indexrelid::regclass::text from pg_index join pg_class on pg_class.oid = indrelid
         join pg_attribute on attrelid = indrelid and attname = 'tenant_id'
         where relkind = 'p' and indkey[0] <> attnum",
    ),
    (
        "partitioned tables whose days are not those of traces",
        "with days as (
           select inhparent, right(part.relname, 8) as day from pg_inherits join pg_class part on part.oid = inhrelid
           join pg_class parent on parent.oid = inhparent and parent.relkind = 'p')
         select inhparent::regclass || ' ' || day from days
         where day not in (select day from days where inhparent = 'traces'::regclass)
         union select 'traces ' || day from days group by day having count(*) <> 3",
    ),
];

#[tokio::test]
async fn the_schema_keeps_its_rules() {
    let world = World::new().await;
    writer::ensure_partitions(&world.writer, now().date_naive()).await.unwrap();
    for (rule, statement) in RULES {
        assert_eq!(names(&world, statement).await, [] as [String; 0], "{rule}");
    }
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    let world = World::new().await;
    let again = migrate(&world.url, &actor()).await.unwrap();
    assert!(again.applied.is_empty());
    assert!(again.version >= 7);
}

#[tokio::test]
async fn partitions_come_once_and_go_with_their_rows() {
    let world = World::new().await;
    let today = now().date_naive();
    // The migration made those of today, so that no trace meets a partition in the making.
    assert_eq!(writer::ensure_partitions(&world.writer, today).await.unwrap(), 0);
    let later = today + chrono::Days::new(2);
    assert_eq!(writer::ensure_partitions(&world.writer, later).await.unwrap(), 2 * 3);
    assert_eq!(writer::ensure_partitions(&world.writer, later).await.unwrap(), 0);

    let tenant = world.tenant("acme").await.id;
    let yesterday = now() - chrono::TimeDelta::days(1);
    let old = now() - chrono::TimeDelta::days(40);
    let records = [now(), yesterday, old].map(|at| super::trace(tenant, at));
    writer::insert_traces(&world.writer, &records).await.unwrap();
    assert!(system::drop_partitions(&world.migrator, &actor(), today).await.is_err());
    assert_eq!(system::drop_partitions(&world.migrator, &actor(), yesterday.date_naive()).await.unwrap(), 0);

    let mut tx = world.api.tenant(tenant).await.unwrap();
    assert!(tx.trace(records[0].id).await.is_ok());
    assert!(tx.trace(records[1].id).await.is_ok());
    // Had no partition of its own; retention finds it in the default one.
    assert!(matches!(tx.trace(records[2].id).await, Err(StoreError::NotFound { .. })));
    system::check_partitions(&world.migrator).await.unwrap();
}

#[tokio::test]
async fn an_open_partition_is_found_and_its_remedy_closes_it() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await.id;
    let owner = world.migrator.connections();
    let today = now();
    let record = super::trace(tenant, today);
    for parent in ["traces", "trace_bodies", "trace_detectors"] {
        let of_today = format!("{parent}_{}", today.format("%Y%m%d"));
        for (table, opened) in [
            (format!("{parent}_default"), "grant select on {} to bulkhead_api"),
            (of_today.clone(), "grant select on {} to public"),
            (of_today.clone(), "grant select (id) on {} to bulkhead_api"),
            (of_today.clone(), "alter table {} no force row level security"),
            (of_today.clone(), "alter table {} disable row level security"),
            (parent.to_owned(), "alter table {} no force row level security"),
        ] {
            let open = opened.replace("{}", &table);
            sqlx::raw_sql(AssertSqlSafe(open.clone())).execute(owner).await.unwrap();
            let found = writer::ensure_partitions(&world.writer, today.date_naive()).await.expect_err(&open);
            let appended = writer::insert_traces(&world.writer, std::slice::from_ref(&record)).await;
            assert!(matches!(appended, Err(StoreError::OpenPartition { .. })), "{open}: {appended:?}");
            assert!(found.is_transient(), "what cannot be appended waits, it is not at fault itself");
            let StoreError::OpenPartition { table: named, remedy, .. } = found else {
                panic!("{open}: {found:?}")
            };
            assert_eq!(named, table, "{open}");
            sqlx::raw_sql(AssertSqlSafe(remedy)).execute(owner).await.unwrap();
            system::check_partitions(&world.migrator).await.expect(&open);
        }
    }
}

#[tokio::test]
async fn traces_of_other_days_pass_an_open_partition() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await.id;
    let (today, yesterday) = (now(), now() - chrono::Days::new(1));
    let open = format!("alter table traces_{} no force row level security", yesterday.format("%Y%m%d"));
    sqlx::raw_sql(AssertSqlSafe(open)).execute(world.migrator.connections()).await.unwrap();
    writer::insert_traces(&world.writer, &[super::trace(tenant, today)]).await.unwrap();
    let refused = writer::insert_traces(&world.writer, &[super::trace(tenant, yesterday)]).await;
    assert!(matches!(refused, Err(StoreError::OpenPartition { .. })), "{refused:?}");
}

#[tokio::test]
async fn rows_from_before_bodies_had_a_table_are_moved() {
    let url = crate::testing::database().await.unwrap();
    let (server, parameters) = url.split_once('?').unwrap();
    let admin = sqlx::PgPool::connect(&url).await.unwrap();
    let name = "before_bodies";
    sqlx::raw_sql(AssertSqlSafe(format!("create database {name} template template0")))
        .execute(&admin)
        .await
        .unwrap();
    let base = server.rsplit_once('/').unwrap().0;
    let url = format!("{base}/{name}?{parameters}");
    let old = sqlx::postgres::PgPoolOptions::new().max_connections(1).connect(&url).await.unwrap();
    let roles = include_str!("../../../migrations/roles.sql");
    let start = "set role bulkhead_owner; set search_path = bulkhead, pg_temp; set timezone = 'UTC'";
    let rows = "select ensure_trace_partitions(current_date, 1);
        set bulkhead.tenant_id = '00000000-0000-0000-0000-00000000000a';
        insert into traces (tenant_id, at, id, policy_revision, dialect, operation, status, outcome, streamed, input_tokens,
          cached_input_tokens, output_tokens, reasoning_tokens, tokens_estimated, cost_nano_usd, overhead_micros,
          total_micros, attempts, request_bytes, response_bytes, findings, findings_total, uninspected, request_body,
          response_body, bodies_truncated)
        select '00000000-0000-0000-0000-00000000000a', current_timestamp - days, gen_random_uuid(), 1, '', '', 1, 'masked',
          true, 1, 1, 1, 1, true, 1, 1, 1, 1, 1, 1, findings::jsonb, 1, true, body::bytea, null, true
        from (values ('0 days'::interval, 'today', '[{\"detector\": \"A\"}, {\"detector\": \"A\"}, {\"detector\": \"B\"}]'),
          ('90 days', 'long ago', '[]'), ('0 days', null, '[]')) as v (days, body, findings);
        reset bulkhead.tenant_id";
    for statements in [
        roles,
        start,
        include_str!("../../../migrations/0001_tenants.sql"),
        include_str!("../../../migrations/0004_traces.sql"),
        include_str!("../../../migrations/0005_budgets.sql"),
        rows,
        include_str!("../../../migrations/0008_traces_at_scale.sql"),
    ] {
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&old).await.unwrap();
    }
    let moved = "set bulkhead.tenant_id = '00000000-0000-0000-0000-00000000000a'";
    sqlx::raw_sql(moved).execute(&old).await.unwrap();
    let list = async |statement: &'static str| {
        sqlx::query_scalar::<_, String>(statement).fetch_all(&old).await.unwrap()
    };
    let bodies = "select convert_from(request, 'UTF8') || ' ' || tableoid::regclass from trace_bodies join traces using (tenant_id, at, id) order by 1";
    let bodies = bodies.replace("tableoid", "trace_bodies.tableoid");
    let bodies = sqlx::query_scalar::<_, String>(AssertSqlSafe(bodies)).fetch_all(&old).await.unwrap();
    let today = format!("today trace_bodies_{}", now().format("%Y%m%d"));
    assert_eq!(bodies, ["long ago trace_bodies_default".to_owned(), today]);
    let detectors = "select detector || ' ' || outcome from trace_detectors join traces using (tenant_id, at, id, outcome) order by 1";
    assert_eq!(list(detectors).await, ["A masked", "B masked"]);
    assert_eq!(list("select id::text from traces").await.len(), 3);
}
