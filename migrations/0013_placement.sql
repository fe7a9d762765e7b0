-- Placement: a tenant's traces may be in a database of their own. Everything else stays in the shared one.
--
-- A placed database has this very schema. It knows its name, and a tenant's row is in it while the tenant's traces may come.

alter table platform
  -- The name that configurations know this database by.
  add column database text not null default 'shared' check (database ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$');

alter table tenants
  -- The database that new traces go to.
  add column placement text not null default 'shared' check (placement ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  -- The one that traces of before are moved out of; null: nothing is left to move.
  add column leaving text check (leaving ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  add constraint moves_elsewhere check (leaving <> placement);

-- Nodes must hear of it.
drop trigger revise on tenants;
create trigger revise before update of name, suspended, placement on tenants
  for each row execute function revise_tenant_itself();

-- The tenants of a batch whose traces belong into this database. One that has no row here counts as the shared database's:
-- traces may arrive after their tenant is gone, and a database that is not the shared one takes nobody whom it does not know.
--
-- This is what makes a change of placement a line in time. Whoever has not heard of it is refused, and asks again.
create function tenants_of_batch() returns uuid[]
language sql stable security definer set search_path = bulkhead, pg_temp as $$
  select coalesce(array_agg(named), '{}')
  from platform, unnest(nullif(current_setting('bulkhead.tenant_ids', true), '')::uuid[]) as named
    left join tenants on tenants.id = named
  where coalesce(tenants.placement, 'shared') = platform.database
$$;
grant execute on function tenants_of_batch() to bulkhead_writer;
alter policy appended_rows on traces with check (tenant_id = any ((select tenants_of_batch())::uuid[]));
alter policy appended_rows on trace_bodies with check (tenant_id = any ((select tenants_of_batch())::uuid[]));
alter policy appended_rows on trace_detectors with check (tenant_id = any ((select tenants_of_batch())::uuid[]));

-- Whoever follows a name to this database asks whether it is the one that was meant.
create function database_name() returns text
language sql stable security definer set search_path = bulkhead, pg_temp as $$
  select database from platform
$$;
grant execute on function database_name() to bulkhead_api, bulkhead_retention, bulkhead_revealer;
