-- Policy documents: immutable versions, a pointer to the one in force, and what the nodes say about it.
--
-- Documents are `json`, not `jsonb`: they come back as they were written, and an escaped U+0000 is the policy parser's to
-- refuse, not the type's.

create table policies (
  tenant_id uuid not null references tenants (id) on delete cascade,
  -- Numbers all documents of a tenant, of both layers: "policy 7" means one thing.
  version bigint not null check (version > 0),
  -- Null: the tenant's own layer.
  agent_id uuid,
  scope uuid not null generated always as (coalesce(agent_id, tenant_id)) stored,
  document json not null,
  author text not null,
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, version),
  unique (tenant_id, scope, version),
  foreign key (tenant_id, agent_id) references agents (tenant_id, id) on delete cascade
);
call isolate_tenants('policies');
create policy sync_reads on policies for select to bulkhead_sync using (true);
grant select, insert on policies to bulkhead_api;
grant select on policies to bulkhead_sync;

-- The version in force, per layer. Publishing and rolling back both move this pointer, and that is what the nodes hear of.
create table active_policies (
  tenant_id uuid not null,
  scope uuid not null,
  version bigint not null,
  activated_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, scope),
  foreign key (tenant_id, scope, version) references policies (tenant_id, scope, version) on delete cascade
);
call isolate_tenants('active_policies');
call revise_tenants_on_change('active_policies');
create policy sync_reads on active_policies for select to bulkhead_sync using (true);
grant select, insert, update (version, activated_at), delete on active_policies to bulkhead_api;
grant select on active_policies to bulkhead_sync;

-- The platform's layer belongs to no tenant, so it has its own tables and no tenant's role can see them.
create table platform_policies (
  version bigint primary key check (version > 0),
  document json not null,
  author text not null,
  created_at timestamptz not null default clock_timestamp()
);
alter table platform_policies enable row level security;
alter table platform_policies force row level security;
create policy administration on platform_policies to bulkhead_owner using (true) with check (true);
create policy sync_reads on platform_policies for select to bulkhead_sync using (true);
grant select on platform_policies to bulkhead_sync;

create table platform (
  singleton boolean primary key default true check (singleton),
  policy_version bigint references platform_policies (version),
  revision bigint not null default 1
);
insert into platform default values;
alter table platform enable row level security;
alter table platform force row level security;
create policy administration on platform to bulkhead_owner using (true) with check (true);
create policy sync_reads on platform for select to bulkhead_sync using (true);
grant select on platform to bulkhead_sync;

-- Not even the owner edits a version that somebody may have been judged by. Deleting a tenant or an agent still removes
-- its documents.
create function refuse_change() returns trigger
language plpgsql set search_path = bulkhead, pg_temp as $$
begin
  raise exception '% rows are immutable', tg_table_name using errcode = 'restrict_violation';
end
$$;
create trigger immutable before update on policies for each statement execute function refuse_change();
create trigger immutable before update or delete or truncate on platform_policies
  for each statement execute function refuse_change();

-- The platform's layer is part of every tenant's policy, so changing it is a new revision of every tenant: then "revision N
-- is live everywhere" means the platform's floor too. The first notification tells nodes to look at everything at once.
create function revise_platform() returns trigger
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
begin
  perform pg_notify('bulkhead_policy', format('{"tenant":null,"revision":%s}', new.revision));
  update tenants set revision = revision + 1, changed_at = clock_timestamp();
  return null;
end
$$;
create trigger revise after update of policy_version on platform
  for each row when (old.policy_version is distinct from new.policy_version) execute function revise_platform();

-- A node that is gone must not hold up "live everywhere", and a node that never answered must.
create table nodes (
  node text primary key check (length(node) between 1 and 128),
  started_at timestamptz not null default clock_timestamp(),
  seen_at timestamptz not null default clock_timestamp()
);
alter table nodes enable row level security;
alter table nodes force row level security;
create policy sync_rows on nodes to bulkhead_sync using (true) with check (true);
create policy reads on nodes for select to bulkhead_api, bulkhead_owner using (true);
grant select, insert, update, delete on nodes to bulkhead_sync;
grant select on nodes to bulkhead_api;

-- What a node last said about a tenant. `revision` is the one it judged; `live_revision` the one it enforces.
create table policy_acks (
  tenant_id uuid not null references tenants (id) on delete cascade,
  node text not null references nodes (node) on delete cascade,
  revision bigint not null,
  ok boolean not null,
  reason text check (ok = (reason is null)),
  live_revision bigint,
  at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, node)
);
call isolate_tenants('policy_acks');
create policy sync_rows on policy_acks to bulkhead_sync using (true) with check (true);
grant select, insert, update on policy_acks to bulkhead_sync;
grant select on policy_acks to bulkhead_api;
