-- The roles and the schema: everything a migration needs to stand on.
--
-- Not a numbered migration, because roles belong to the whole cluster while migrations belong to one database, and because
-- only a role with createrole can run it. `bulkhead migrate` runs it when a role or the schema is missing; it may run any
-- number of times. No role here can log in and none gets a password: the operator creates logins and grants these roles.
do $$
declare
  wanted text;
begin
  foreach wanted in array array[
    'bulkhead_owner',    -- owns every object; nobody logs in as it
    'bulkhead_migrator', -- platform administration: migrations, tenants, the platform policy, retention
    'bulkhead_sync',     -- reads policies, keys and credentials; writes acknowledgements
    'bulkhead_writer',   -- appends traces and budget usage; cannot read a trace
    'bulkhead_api',      -- one tenant at a time, by row-level security
    'bulkhead_retention', -- removes traces that are old; cannot read what they say
    'bulkhead_revealer', -- reads sealed bodies of one tenant, once the audit trail says why
    'bulkhead_auditor'   -- reads the audit trail of every tenant and nothing else
  ] loop
    begin
      if not exists (select from pg_roles where rolname = wanted) then
        execute format('create role %I nologin nosuperuser nobypassrls nocreatedb nocreaterole', wanted);
      end if;
    exception when duplicate_object or unique_violation then
      null; -- another database of this cluster is being migrated at the same moment
    end;
  end loop;

  if not pg_has_role('bulkhead_migrator', 'bulkhead_owner', 'member') then
    grant bulkhead_owner to bulkhead_migrator;
  end if;
  -- Whoever migrates acts as the owner. Since PostgreSQL 16 the creator of a role is a member without the right to become it.
  if not pg_has_role(session_user, 'bulkhead_migrator',
    case when current_setting('server_version_num')::integer >= 160000 then 'set' else 'member' end)
  then
    execute format('grant bulkhead_migrator to %I', session_user);
  end if;

  if exists (
    select from pg_roles where rolname like 'bulkhead\_%' and (rolsuper or rolbypassrls)
      and rolname in ('bulkhead_owner', 'bulkhead_migrator', 'bulkhead_sync', 'bulkhead_writer', 'bulkhead_api', 'bulkhead_retention',
        'bulkhead_revealer', 'bulkhead_auditor')
  ) then
    raise exception 'a bulkhead role is superuser or has bypassrls: row-level security would not hold';
  end if;
end
$$;

create schema if not exists bulkhead authorization bulkhead_owner;
revoke all on schema bulkhead from public;
grant usage on schema bulkhead to bulkhead_migrator, bulkhead_sync, bulkhead_writer, bulkhead_api, bulkhead_retention,
  bulkhead_revealer, bulkhead_auditor;
