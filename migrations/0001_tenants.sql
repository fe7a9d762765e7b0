-- Tenants, their revision, and the two procedures that every table of a tenant goes through.
--
-- Runs as bulkhead_owner with search_path = bulkhead, as all migrations do. The owner is not exempt from row-level security:
-- it is forced on every table.

alter default privileges revoke execute on functions from public;

create table tenants (
  id uuid primary key,
  name text not null unique check (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  suspended boolean not null default false,
  -- Counts every change of what a node must know about this tenant. The only number that policy sync compares.
  revision bigint not null default 1 check (revision > 0),
  changed_at timestamptz not null default clock_timestamp(),
  created_at timestamptz not null default clock_timestamp()
);

alter table tenants enable row level security;
alter table tenants force row level security;
-- Triggers that revise a tenant run as the owner, whoever caused them, and the owner (with its member, the migrator)
-- administrates the list of tenants.
create policy administration on tenants to bulkhead_owner using (true) with check (true);
create policy sync_reads on tenants for select to bulkhead_sync using (true);
create policy audit_reads on tenants for select to bulkhead_auditor using (true);
create policy tenant_itself on tenants for select to bulkhead_api
  using (id = (select nullif(current_setting('bulkhead.tenant_id', true), '')::uuid));

grant select on tenants to bulkhead_sync, bulkhead_api;
grant select (id, name) on tenants to bulkhead_auditor;

-- Tells the nodes about a new revision. Every road to a new revision passes here, so none can be silent.
-- The channel is database-wide and its payload names no secret: a tenant's id and a number.
create function announce_tenant() returns trigger
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
declare
  subject tenants := coalesce(new, old);
begin
  if tg_op = 'DELETE' then
    subject.revision := subject.revision + 1;
  end if;
  perform pg_notify('bulkhead_policy', format('{"tenant":"%s","revision":%s}', subject.id, subject.revision));
  return null;
end
$$;

create trigger announce after insert or delete or update on tenants
  for each row execute function announce_tenant();

create function revise_tenant_itself() returns trigger
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  new.revision := old.revision + 1;
  new.changed_at := clock_timestamp();
  return new;
end
$$;

create trigger revise before update of name, suspended on tenants
  for each row execute function revise_tenant_itself();

-- Revises every tenant named in the rows that one statement changed: once per statement, however many rows it touched.
create function revise_tenants_of_changed_rows() returns trigger
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  update tenants set revision = revision + 1, changed_at = clock_timestamp()
  where id in (select tenant_id from changed_rows);
  return null;
end
$$;

-- Puts up the wall: each tenant sees and writes its own rows, whoever forgets a `where`.
--
-- The restrictive policy says nothing new today. It is the floor under a permissive policy that somebody adds tomorrow.
create procedure isolate_tenants(target regclass)
language plpgsql set search_path = bulkhead, pg_temp as $$
declare
  own_rows constant text :=
    'tenant_id = (select nullif(current_setting(''bulkhead.tenant_id'', true), '''')::uuid)';
begin
  execute format('alter table %s enable row level security', target);
  execute format('alter table %s force row level security', target);
  execute format('create policy tenant_rows on %s to bulkhead_api, bulkhead_owner using (%s) with check (%s)',
    target, own_rows, own_rows);
  execute format('create policy tenant_floor on %s as restrictive to bulkhead_api using (%s) with check (%s)',
    target, own_rows, own_rows);
end
$$;

-- Makes every change of a table's rows a new revision of their tenants, in the same transaction.
create procedure revise_tenants_on_change(target regclass)
language plpgsql set search_path = bulkhead, pg_temp as $$
begin
  -- Three triggers, because a transition table belongs to one kind of event.
  execute format('create trigger revise_on_insert after insert on %s referencing new table as changed_rows
    for each statement execute function revise_tenants_of_changed_rows()', target);
  execute format('create trigger revise_on_update after update on %s referencing new table as changed_rows
    for each statement execute function revise_tenants_of_changed_rows()', target);
  execute format('create trigger revise_on_delete after delete on %s referencing old table as changed_rows
    for each statement execute function revise_tenants_of_changed_rows()', target);
end
$$;
