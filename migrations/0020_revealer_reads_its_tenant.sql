-- Who reveals names the tenant by its id and must learn which database its traces are in. Until now only a login that is also a
-- migrator's could: one that may do everything.
create policy revealed_tenant on tenants for select to bulkhead_revealer
  using (id = (select nullif(current_setting('bulkhead.tenant_id', true), '')::uuid));
create policy revealed_floor on tenants as restrictive to bulkhead_revealer
  using (id = (select nullif(current_setting('bulkhead.tenant_id', true), '')::uuid));
grant select (id, name, suspended, revision, created_at, placement, leaving) on tenants to bulkhead_revealer;
