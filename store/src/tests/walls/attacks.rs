//! Attacks on the second wall by somebody who runs statements of their own as one of the roles, in a transaction of a tenant.
//!
//! Naming another tenant is not among them: whoever runs arbitrary statements can do that, and no policy that reads a setting
//! keeps them from it. These are the roads that need no name.

use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use uuid::Uuid;

use super::{MARK, Victim, World};
use crate::{Role, Store};

/// A way around, and what comes of it: the code of a refusal, or rows. `*` stands for anything that is not the victim's.
struct Attack {
    role: &'static str,
    prepared: &'static str,
    tried: &'static str,
    comes: &'static str,
}

const fn attack(
    role: &'static str,
    prepared: &'static str,
    tried: &'static str,
    comes: &'static str,
) -> Attack {
    Attack { role, prepared, tried, comes }
}

const REFUSED: &str = "42501";
const NOTHING: &str = "";
/// Stands for each of the roles.
const EACH: &str = "each";

const ATTACKS: &[Attack] = &[
    // Another role.
    attack(EACH, "", "set role bulkhead_owner", REFUSED),
    attack(EACH, "", "set role postgres", REFUSED),
    attack(EACH, "", "set session authorization bulkhead_owner", REFUSED),
    attack(EACH, "", "create role bulkhead_mine", REFUSED),
    attack(EACH, "", "alter role bulkhead_api bypassrls", REFUSED),
    attack(EACH, "", "grant bulkhead_owner to current_user", REFUSED),
    attack("api", "reset role", "select name from agents", NOTHING),
    attack("api", "set role none", "select name from agents", NOTHING),
    attack("api", "", "set role bulkhead_sync", REFUSED),
    attack("writer", "", "set role bulkhead_sync", REFUSED),
    // Taking the wall down, or leaning something against it.
    attack(EACH, "", "alter table agents disable row level security", REFUSED),
    attack(EACH, "", "alter table agents no force row level security", REFUSED),
    attack(EACH, "", "create policy mine on agents using (true)", REFUSED),
    attack(EACH, "", "drop policy tenant_floor on agents", REFUSED),
    attack(EACH, "", "alter table agents disable trigger all", REFUSED),
    attack(EACH, "", "set session_replication_role = replica", REFUSED),
    attack(EACH, "", "create rule mine as on select to agents do instead nothing", REFUSED),
    attack(EACH, "", "create view bulkhead.mine as select 1", REFUSED),
    attack(EACH, "", "create table bulkhead.mine (x integer)", REFUSED),
    attack(EACH, "", "create function bulkhead.mine() returns integer language sql as 'select 1'", REFUSED),
    attack(EACH, "", "alter function announce_tenant() security invoker", REFUSED),
    attack(EACH, "", "alter default privileges for role bulkhead_owner grant select on tables to public", REFUSED),
    attack(EACH, "", "alter table traces detach partition traces_default", REFUSED),
    attack(EACH, "", "create index on agents (name)", REFUSED),
    attack(EACH, "", "create schema mine", REFUSED),
    attack(EACH, "", "create publication mine for table agents", REFUSED),
    attack(EACH, "", "select pg_create_logical_replication_slot('mine', 'pgoutput')::text", REFUSED),
    attack("api", "set row_security = off", "select name from agents", REFUSED),
    attack("api", "create temp view mine as select name from agents", "select name from mine", NOTHING),
    attack("api", "", "truncate agents, api_keys, policies, active_policies", REFUSED),
    attack("retention", "", "truncate traces", REFUSED),
    // Functions with the owner's rights.
    attack("api", "", "select ensure_trace_partitions(current_date, 1)::text", REFUSED),
    attack("api", "", "select drop_trace_partitions('2020-01-01')::text", REFUSED),
    attack("writer", "", "select drop_trace_partitions('2020-01-01')::text", REFUSED),
    attack("writer", "", "select drop_body_partitions('2020-01-01')::text", REFUSED),
    attack("retention", "", "select drop_partitions_of('{audit}', '2020-01-01')::text", REFUSED),
    attack("retention", "", "select drop_trace_partitions(current_date)::text", "22023"),
    attack("writer", "", "select ensure_trace_partitions(current_date, 32)::text", "22023"),
    attack("api", "", "select tenants_of_batch()::text", REFUSED),
    attack("writer", "set local bulkhead.tenant_ids = '{{victim}}'", "select name from tenants", REFUSED),
    attack("writer", "", "select database_name()", REFUSED),
    attack("api", "", "select database_name()", "shared"),
    attack(EACH, "", "update platform set database = 'mine'", REFUSED),
    attack(EACH, "", "update tenants set placement = 'mine'", REFUSED),
    attack(EACH, "", "call isolate_tenants('agents')", REFUSED),
    attack(EACH, "", "call expire_rows('audit')", REFUSED),
    attack("api", "create temp table mine (x integer)",
        "create trigger t after insert on mine for each row execute function announce_tenant()", REFUSED),
    // What a role may not read or write of rows that it may otherwise reach; all of it is in `privileges.txt`.
    attack("api", "", "select sealed::text from credentials", REFUSED),
    attack("api", "", "select hash::text from api_keys", REFUSED),
    attack("api", "", "update policies set document = '{}'", REFUSED),
    attack("api", "", "update budget_usage set amount = 0 returning budget", NOTHING),
    attack("api", "", "insert into audit (tenant_id, id, actor, action, target, detail, seq)
         values ('{victim}', gen_random_uuid(), '', '', '', '{}', 1)", REFUSED),
    attack("api", "", "select document::text from platform_policies", REFUSED),
    attack("api", "", "update tenants set suspended = false", REFUSED),
    attack("sync", "", "select upstream from traces", REFUSED),
    attack("writer", "", "select upstream from traces", REFUSED),
    attack("writer", "", "insert into traces select * from traces", REFUSED),
    attack("retention", "", "select upstream from traces", REFUSED),
    attack("retention", "", "select request::text from trace_bodies", REFUSED),
    attack("retention", "", "select detector from trace_detectors", REFUSED),
    attack("auditor", "", "update audit_heads set seq = 1", REFUSED),
    attack("auditor", "", "delete from audit", REFUSED),
    attack("auditor", "", "select upstream from traces", REFUSED),
    // Names that hide ours.
    attack("api", "create temp table agents (name text); insert into pg_temp.agents values ('planted')",
        "select name from agents", NOTHING),
    attack("writer", "create temp table traces (at timestamptz); create temp table pg_class (x text)",
        "select ensure_trace_partitions(current_date, 1)::text", "0"),
    attack("api", "create function pg_temp.current_setting(text, boolean) returns text language sql as $$ select '{victim}' $$",
        "select name from agents", NOTHING),
    attack("api", "create function pg_temp.eq(uuid, uuid) returns boolean language sql as 'select true';
         create operator pg_temp.= (leftarg = uuid, rightarg = uuid, function = pg_temp.eq)",
        "select name from agents", NOTHING),
    // Conditions that tell what they saw: by a side effect, an error, a cast.
    attack("api", "create temp table seen (name text);
         create function pg_temp.see(name text) returns boolean language plpgsql cost 0.0000001 as
           $$ begin insert into pg_temp.seen values (name); return true; end $$;
         do $$ begin perform from agents where pg_temp.see(name); perform from traces where pg_temp.see(upstream); end $$",
        "select name from seen", NOTHING),
    attack("api", "", "select name from agents where 1 / (tenant_id <> '{victim}')::integer = 1", NOTHING),
    attack("api", "", "select name from agents where name::integer = 1", NOTHING),
    attack("api", "", "select id::text from traces where upstream::xml is document", NOTHING),
    attack("retention", "", "select tenant_id::text from traces where 1 / (tenant_id <> '{victim}')::integer = 1", NOTHING),
    // What the server keeps about rows.
    attack(EACH, "", "select most_common_vals::text from pg_stats where schemaname = 'bulkhead'", NOTHING),
    attack(EACH, "", "select stavalues1::text from pg_statistic", REFUSED),
    attack("api", "", "select query from pg_stat_activity where pid <> pg_backend_pid() and query ~ '{victim}|theirs'", NOTHING),
    attack("api", "", "explain (analyze, verbose) select * from agents", "*"),
    attack("api", "", "explain (analyze, verbose) select id from traces where upstream = 'x' or outcome = 'y'", "*"),
    attack(EACH, "", "select rolpassword from pg_authid", REFUSED),
    // Files and programs.
    attack(EACH, "", "select pg_read_file('PG_VERSION')", REFUSED),
    attack(EACH, "", "select pg_ls_dir('.')", REFUSED),
    attack("api", "", "copy agents to '/tmp/agents'", REFUSED),
    attack("api", "", "copy agents to program 'cat'", REFUSED),
    attack("api", "", "copy agents from program 'echo'", REFUSED),
    attack("api", "", "copy agents from stdin", "0A000"),
    attack("writer", "", "copy traces from stdin", "0A000"),
    attack("writer", "", "copy traces_default from stdin", REFUSED),
    attack("api", "", "copy traces_default to stdout", REFUSED),
    attack("sync", "", "copy traces_default to stdout", REFUSED),
    attack("retention", "", "copy traces_default to stdout", REFUSED),
    attack("api", "", "copy agents to stdout", "*"),
    // Locks on rows that are not there.
    attack("api", "", "select name from agents for update", NOTHING),
    attack("api", "", "select name from tenants for update", REFUSED),
    attack("writer", "", "select key_id from api_key_usage for update", NOTHING),
    attack("writer", "", "select budget from budget_usage for update", NOTHING),
];

/// Logins of their own, as an installation has them, so that whoever leaves the role finds no superuser behind it.
async fn logins(world: &World) -> Vec<(&'static str, PgPool)> {
    let admin = PgPool::connect(&world.url).await.unwrap();
    let mut logins = Vec::new();
    for (role, _) in world.stores() {
        let login = format!("login_{role}_{}", Uuid::now_v7().simple());
        let make = format!("create role {login} login in role bulkhead_{role}");
        sqlx::raw_sql(AssertSqlSafe(make)).execute(&admin).await.unwrap();
        let url = world.url.replace("user=postgres", &format!("user={login}"));
        let role_of = |wanted: &Role| wanted.name() == format!("bulkhead_{role}");
        let roles = [
            Role::Api,
            Role::Sync,
            Role::Writer,
            Role::Retention,
            Role::Revealer,
            Role::Migrator,
            Role::Auditor,
        ];
        let store = Store::connect(&url, roles.into_iter().find(role_of).unwrap(), 1).await.unwrap();
        logins.push((role, store.connections().clone()));
    }
    logins
}

/// What comes of a statement: rows of one text each, or the code of an error.
async fn comes(connection: &mut PgConnection, attack: &Attack, victim: &str) -> Result<Vec<String>, String> {
    let code = |error: sqlx::Error| {
        error
            .into_database_error()
            .and_then(|error| error.code().map(|code| code.into_owned()))
            .unwrap_or_default()
    };
    let fill = |statement: &str| AssertSqlSafe(statement.replace("{victim}", victim));
    sqlx::raw_sql(fill(attack.prepared)).execute(&mut *connection).await.expect(attack.prepared);
    if attack.tried.ends_with(" stdout") {
        use futures_util::TryStreamExt as _;
        let copied = connection.copy_out_raw(attack.tried).await.map_err(code)?;
        let copied: Vec<_> = copied.try_collect().await.map_err(code)?;
        return Ok(copied.iter().map(|row| String::from_utf8_lossy(row).into_owned()).collect());
    }
    if attack.tried.ends_with(" stdin") {
        return connection.copy_in_raw(attack.tried).await.map(|_| vec!["open".to_owned()]).map_err(code);
    }
    sqlx::query_scalar::<_, String>(fill(attack.tried)).fetch_all(connection).await.map_err(code)
}

#[tokio::test]
async fn no_way_around_the_second_wall_leads_to_another_tenant() {
    let world = World::new().await;
    let victim = Victim::new(&world).await;
    let id = victim.tenant.to_string();
    let stranger = world.tenant("ours").await.id;
    let admin = PgPool::connect(&world.url).await.unwrap();
    sqlx::raw_sql("analyze").execute(&admin).await.unwrap();
    for (role, pool) in logins(&world).await {
        let of_role = |attack: &&Attack| attack.role == role || (attack.role == EACH && role != "migrator");
        for attack in ATTACKS.iter().filter(of_role) {
            // A connection for each: what an attack leaves behind must not help the next.
            let mut connection = pool.acquire().await.unwrap().detach();
            let mut tx = connection.begin().await.unwrap();
            tx.execute("set transaction read write").await.unwrap();
            let named = format!(
                "set local bulkhead.tenant_id = '{stranger}'; set local bulkhead.tenant_ids = '{{{stranger}}}'"
            );
            tx.execute(sqlx::raw_sql(AssertSqlSafe(named))).await.unwrap();
            let what = format!("{role}: {}; {}", attack.prepared, attack.tried);
            let comes = match comes(&mut tx, attack, &id).await {
                Ok(rows) => rows.join("\n"),
                Err(code) => code,
            };
            assert!(!comes.contains(MARK) && !comes.contains(&id), "{what}: {comes}");
            if attack.comes != "*" {
                assert_eq!(comes, attack.comes, "{what}");
            }
        }
    }
}
