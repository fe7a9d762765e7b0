-- Original bodies, sealed with a data key of each tenant, and the data keys, wrapped.

create table tenant_keys (
  tenant_id uuid not null references tenants (id) on delete cascade,
  -- Bodies name the key that has sealed them by this number.
  version integer not null check (version > 0),
  -- Encrypted before it comes here, bound to tenant and version. Null once it was destroyed: what it has sealed opens never
  -- again.
  wrapped bytea,
  -- Names the key outside this database that has wrapped it.
  key_id text not null check (length(key_id) between 1 and 256),
  created_at timestamptz not null default clock_timestamp(),
  destroyed_at timestamptz,
  primary key (tenant_id, version),
  check ((wrapped is null) = (destroyed_at is not null))
);
call isolate_tenants('tenant_keys');
call revise_tenants_on_change('tenant_keys');
create policy sync_reads on tenant_keys for select to bulkhead_sync using (true);
-- As with credentials: the API may add a key and say that it exists. It cannot read one back, not even wrapped.
grant select (tenant_id, version, key_id, created_at, destroyed_at), insert (tenant_id, version, wrapped, key_id)
  on tenant_keys to bulkhead_api;
grant select on tenant_keys to bulkhead_sync;

-- A sealed body has columns of its own, so that a grant can leave them out.
alter table trace_bodies drop constraint trace_bodies_form_check;
alter table trace_bodies
  add column sealed_request bytea,
  add column sealed_response bytea,
  add column key_version integer,
  add constraint trace_bodies_form_check check (case form
    when 'masked' then num_nonnulls(sealed_request, sealed_response, key_version) = 0
    when 'sealed' then num_nonnulls(request, response) = 0 and key_version is not null
    else false end);
revoke select on trace_bodies from bulkhead_api;
grant select (tenant_id, at, id, form, request, response, truncated, key_version) on trace_bodies to bulkhead_api;

-- Who reveals reads sealed bodies and wrapped keys of one tenant, and writes one kind of audit entry. Nothing in clear: not
-- even a masked body.
create policy own_keys on tenant_keys for select to bulkhead_revealer
  using (tenant_id = (select nullif(current_setting('bulkhead.tenant_id', true), '')::uuid));
grant select on tenant_keys to bulkhead_revealer;

create policy own_reveals on audit for insert to bulkhead_revealer
  with check (tenant_id = (select nullif(current_setting('bulkhead.tenant_id', true), '')::uuid)
    and tenant_id <> '00000000-0000-0000-0000-000000000000' and action = 'trace.reveal');
grant insert (tenant_id, id, actor, action, target, detail) on audit to bulkhead_revealer;

-- Whether an entry for this trace was committed lately, before this transaction began: one of this transaction is younger
-- than it.
create function reveal_is_recorded(trace uuid) returns boolean
language sql stable security definer set search_path = bulkhead, pg_temp as $$
  select exists (
    select from audit
    where tenant_id = (select nullif(current_setting('bulkhead.tenant_id', true), '')::uuid)
      and action = 'trace.reveal' and target = trace::text
      and at < transaction_timestamp() and at > transaction_timestamp() - interval '5 minutes')
$$;
grant execute on function reveal_is_recorded(uuid) to bulkhead_revealer;

create policy recorded_reveals on trace_bodies for select to bulkhead_revealer
  using (tenant_id = (select nullif(current_setting('bulkhead.tenant_id', true), '')::uuid) and form = 'sealed'
    and reveal_is_recorded(id));
grant select (tenant_id, at, id, form, sealed_request, sealed_response, truncated, key_version) on trace_bodies
  to bulkhead_revealer;
