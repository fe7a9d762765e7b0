//! What the catalog says about every table, so that a new one cannot forget the rules.

use super::{World, actor, now};
use crate::{StoreError, migrate, system, writer};

async fn names(world: &World, statement: &'static str) -> Vec<String> {
    sqlx::query_scalar::<_, String>(statement).fetch_all(world.migrator.connections()).await.unwrap()
}

#[tokio::test]
async fn the_schema_keeps_its_rules() {
    let world = World::new().await;
    writer::ensure_partitions(&world.writer, now().date_naive()).await.unwrap();
    let rules = [
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
             where contype = 'f' and not (own.attnum = any (conkey) and other.attnum = any (confkey))",
        ),
        (
            "objects that the owner does not own",
            "select relname::text from pg_class where relnamespace = 'bulkhead'::regnamespace
               and relowner <> 'bulkhead_owner'::regrole
             union select proname::text from pg_proc where pronamespace = 'bulkhead'::regnamespace
               and proowner <> 'bulkhead_owner'::regrole",
        ),
        (
            "functions with the owner's rights that do not pin the search path, or that anybody may call",
            "select proname::text from pg_proc where pronamespace = 'bulkhead'::regnamespace and (
               prosecdef and not exists (select from unnest(proconfig) setting
                 where setting like 'search_path=bulkhead, pg_temp')
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
            "grants on partitions",
            "select relname::text from pg_class, aclexplode(relacl) acl
             where relnamespace = 'bulkhead'::regnamespace and relispartition and acl.grantee <> relowner",
        ),
        (
            "roles that log in or stand above row-level security",
            "select rolname::text from pg_roles where rolname like 'bulkhead\\_%'
               and (rolcanlogin or rolsuper or rolbypassrls or rolcreatedb or rolcreaterole)",
        ),
        (
            "rights to put an audit entry's number, time or hash, and rights on heads beyond the auditor's select",
            "select attname || ' for ' || acl.grantee::regrole::text from pg_attribute, aclexplode(attacl) acl
             where attrelid = 'audit'::regclass and attname in ('seq', 'at', 'hash')
             union select privilege_type || ' for ' || acl.grantee::regrole::text from pg_class, aclexplode(relacl) acl
             where (oid = 'audit'::regclass and privilege_type <> 'SELECT' and acl.grantee <> relowner)
                or (oid = 'audit_heads'::regclass and acl.grantee <> relowner
                    and (acl.grantee, privilege_type) is distinct from ('bulkhead_auditor'::regrole::oid, 'SELECT'))",
        ),
        (
            "rights on traces for the writer beyond insert",
            "select privilege_type::text from pg_class, aclexplode(relacl) acl
             where relname = 'traces' and acl.grantee = 'bulkhead_writer'::regrole and privilege_type <> 'INSERT'",
        ),
    ];
    for (rule, statement) in rules {
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
    assert_eq!(writer::ensure_partitions(&world.writer, later).await.unwrap(), 2);
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
async fn an_open_partition_is_found() {
    let world = World::new().await;
    let owner = world.migrator.connections();
    for (open, close) in [
        (
            "grant select on traces_default to bulkhead_api",
            "revoke select on traces_default from bulkhead_api",
        ),
        (
            "grant select (id) on traces_default to bulkhead_api",
            "revoke select (id) on traces_default from bulkhead_api",
        ),
        (
            "alter table traces_default no force row level security",
            "alter table traces_default force row level security",
        ),
        (
            "alter table traces_default disable row level security",
            "alter table traces_default enable row level security",
        ),
    ] {
        sqlx::raw_sql(open).execute(owner).await.unwrap();
        let found = writer::ensure_partitions(&world.writer, now().date_naive()).await;
        assert!(matches!(found, Err(StoreError::OpenPartition { .. })), "{open}: {found:?}");
        sqlx::raw_sql(close).execute(owner).await.unwrap();
    }
}
