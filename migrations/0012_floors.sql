-- The last table that a tenant's role can read gets its floor, and three rights become what they are used for.

-- As `isolate_tenants` does for every table with a tenant_id: says nothing new today, and holds under a permissive policy that
-- somebody adds tomorrow.
create policy tenant_floor on tenants as restrictive to bulkhead_api
  using (id = (select nullif(current_setting('bulkhead.tenant_id', true), '')::uuid));

-- The API issues keys and lists them. Like a credential, the hash of one is not read back.
revoke select on api_keys from bulkhead_api;
grant select (tenant_id, id, agent_id, scopes, created_at, expires_at, revoked_at) on api_keys to bulkhead_api;

-- Says what holds already (`using` counts for what is written too), for those who read policies one by one.
alter policy writer_goes_on on spool_positions using (true) with check (true);
-- Asked for once for a statement, not for each row.
alter policy writer_forgets on spool_positions using (at < current_timestamp - interval '30 days');
