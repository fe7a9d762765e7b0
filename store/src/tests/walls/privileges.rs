//! Who may do what, written down: each table, each role, exactly these rights and exactly these policies.
//!
//! `privileges.txt` is what the catalog says. Whoever adds a table, a grant, a policy or a function changes it, and whoever
//! reviews that reads one line.

use crate::tests::World;

/// The conditions of policies, by what they mean.
const CONDITIONS: [(&str, &str); 5] = [
    (
        "(tenant_id = ( SELECT (NULLIF(current_setting('bulkhead.tenant_id'::text, true), ''::text))::uuid))",
        "own",
    ),
    ("(id = ( SELECT (NULLIF(current_setting('bulkhead.tenant_id'::text, true), ''::text))::uuid))", "own"),
    (
        "(tenant_id = ANY (( SELECT (NULLIF(current_setting('bulkhead.tenant_ids'::text, true), ''::text))::uuid[])::uuid[]))",
        "of the batch",
    ),
    ("(tenant_id = ANY (( SELECT tenants_of_batch())::uuid[]))", "of the batch and placed here"),
    ("'00000000-0000-0000-0000-000000000000'::uuid", "nil"),
];

/// Lines of the file, in its order.
const CATALOG: &str = r#"
with roles as (
  select oid, replace(rolname, 'bulkhead_', '') as name from pg_roles union all select 0, 'EVERYBODY'
), tables as (
  select oid, relname::text as name, relowner, relacl from pg_class
  where relnamespace = 'bulkhead'::regnamespace and relkind not in ('i', 'I') and not relispartition
), rights as (
  select tables.name, grantee, lower(privilege_type) as privilege, null as columns, is_grantable
  from tables, aclexplode(relacl) where grantee <> relowner
  union all
  select tables.name, grantee, lower(privilege_type), string_agg(attname, ', ' order by attnum), bool_or(is_grantable)
  from tables join pg_attribute on attrelid = tables.oid, aclexplode(attacl) where grantee <> relowner
  group by tables.name, grantee, privilege_type
), lines (part, subject, kind, line) as (
  select 1, name, 0, name from tables
  union all
  select 1, rights.name, 1, format('  %s  %s', rpad(roles.name, 9), string_agg(
    privilege || coalesce(' (' || columns || ')', '') || case when is_grantable then ' AND GRANT' else '' end, ', '
    order by privilege))
  from rights join roles on roles.oid = grantee group by rights.name, roles.name
  union all
  select 1, tables.name, 2, format('  %s  %s%s %s%s%s', case when polpermissive then 'policy' else 'floor ' end,
    rpad(polname || ':', 19), (select string_agg(roles.name, ', ' order by roles.name) from roles where roles.oid = any (polroles)),
    case polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
    ' where ' || pg_get_expr(polqual, polrelid),
    case when pg_get_expr(polwithcheck, polrelid) is distinct from pg_get_expr(polqual, polrelid)
      then ' writing ' || pg_get_expr(polwithcheck, polrelid) end)
  from pg_policy join tables on tables.oid = polrelid
  union all
  select 2, proname, 0, format('function %s(%s) as its %s, called by %s', proname, pg_get_function_identity_arguments(pg_proc.oid),
    case when prosecdef then 'owner' else 'caller' end,
    coalesce((select string_agg(roles.name, ', ' order by roles.name)
      from aclexplode(coalesce(proacl, acldefault('f', proowner))) join roles on roles.oid = grantee
      where grantee <> proowner), case when prorettype = 'trigger'::regtype then 'triggers' else 'nobody' end))
  from pg_proc where pronamespace = 'bulkhead'::regnamespace
  union all
  select 3, 'schema', 0, format('schema: %s may %s', roles.name, string_agg(lower(privilege_type), ', '))
  from pg_namespace, aclexplode(nspacl) join roles on roles.oid = grantee
  where nspname = 'bulkhead' and grantee <> nspowner group by roles.name
  union all
  select 3, 'default', 0, format('new %s of %s: %s', case defaclobjtype when 'f' then 'functions' else defaclobjtype::text end,
    pg_get_userbyid(defaclrole),
    coalesce((select string_agg(roles.name, ', ') from aclexplode(defaclacl) join roles on roles.oid = grantee
      where grantee <> defaclrole), 'nobody'))
  from pg_default_acl
  union all
  select 3, 'member', 0, format('%s acts as %s', member.name, role.name)
  from pg_auth_members join roles member on member.oid = pg_auth_members.member
    join roles role on role.oid = roleid
  where pg_get_userbyid(pg_auth_members.member) like 'bulkhead\_%'
)
select line from lines order by part, subject collate "C", kind, line collate "C""#;

#[tokio::test]
async fn rights_and_policies_are_those_that_are_written_down() {
    let world = World::new().await;
    let lines = sqlx::query_scalar::<_, String>(CATALOG);
    let mut found = lines.fetch_all(world.migrator.connections()).await.unwrap().join("\n") + "\n";
    // What the column would be called; not every version says so.
    found = found.replace(" AS \"nullif\"", "").replace(" AS tenants_of_batch", "");
    for (condition, meaning) in CONDITIONS {
        found = found.replace(condition, meaning);
    }
    assert!(
        found == include_str!("privileges.txt"),
        "privileges.txt is not what the catalog says; if that is meant, it becomes:\n{found}"
    );
}
