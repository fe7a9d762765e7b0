-- Who may call (agents and their keys) and with what the tenant's upstreams are called (credentials).

create table agents (
  tenant_id uuid not null references tenants (id) on delete cascade,
  id uuid not null,
  name text not null check (length(name) between 1 and 128),
  disabled boolean not null default false,
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, id),
  unique (tenant_id, name)
);
call isolate_tenants('agents');
call revise_tenants_on_change('agents');
create policy sync_reads on agents for select to bulkhead_sync using (true);
grant select, insert, update (disabled), delete on agents to bulkhead_api;
grant select on agents to bulkhead_sync;

create table api_keys (
  tenant_id uuid not null,
  id text not null check (length(id) = 16),
  agent_id uuid not null,
  -- HMAC-SHA-256 of the secret under a pepper that is not in this database.
  hash bytea not null check (octet_length(hash) = 32),
  scopes json not null,
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz,
  revoked_at timestamptz,
  primary key (tenant_id, id),
  foreign key (tenant_id, agent_id) references agents (tenant_id, id) on delete cascade
);
create index on api_keys (tenant_id, agent_id);
call isolate_tenants('api_keys');
call revise_tenants_on_change('api_keys');
create policy sync_reads on api_keys for select to bulkhead_sync using (true);
grant select, insert, update (expires_at, revoked_at) on api_keys to bulkhead_api;
grant select on api_keys to bulkhead_sync;

-- When a key was last used. Its own table, so that using a key is no change of policy.
create table api_key_usage (
  tenant_id uuid not null,
  key_id text not null,
  last_used_at timestamptz not null,
  primary key (tenant_id, key_id)
);
call isolate_tenants('api_key_usage');
-- The writer has to compare with the time that is there, hence select. It learns when a key was used, which it knew first.
create policy usage_rows on api_key_usage to bulkhead_writer
  using (tenant_id = any ((select nullif(current_setting('bulkhead.tenant_ids', true), '')::uuid[])::uuid[]))
  with check (tenant_id = any ((select nullif(current_setting('bulkhead.tenant_ids', true), '')::uuid[])::uuid[]));
grant select, insert, update (last_used_at) on api_key_usage to bulkhead_writer;
grant select on api_key_usage to bulkhead_api;

create table credentials (
  tenant_id uuid not null references tenants (id) on delete cascade,
  id uuid not null,
  name text not null check (length(name) between 1 and 128),
  version integer not null check (version > 0),
  -- Encrypted before it comes here, bound to tenant, id and version.
  sealed bytea not null,
  changed_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, id),
  unique (tenant_id, name)
);
call isolate_tenants('credentials');
call revise_tenants_on_change('credentials');
create policy sync_reads on credentials for select to bulkhead_sync using (true);
-- The API may replace a credential and say that it exists. It cannot read one back, not even sealed.
grant select (tenant_id, id, name, version, changed_at), insert, update (version, sealed, changed_at), delete
  on credentials to bulkhead_api;
grant select on credentials to bulkhead_sync;
