-- Which part of a rate each node has, and how much of it it wants: read and changed together, under the lock of the rate's row.
-- Protocol: policy/src/limiter/sharing.rs.
--
-- No foreign key: one tenant that is gone must not hold up the other tenants' rates in its batch. A node that has not heard of it yet may
-- write its row once more; that is gone after a day.
create table rate_shares (
  tenant_id uuid not null,
  -- `tenant`, `agent:<uuid>` or `key:<key id>`.
  subject text not null,
  counted text not null check (counted in ('requests', 'tokens')),
  -- By node: {"wanted": 720720ths, "part": 720720ths, "until": microseconds since the epoch}.
  nodes jsonb not null default '{}',
  changed_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, subject, counted)
);
call isolate_tenants('rate_shares');
create policy writer_reads on rate_shares for select to bulkhead_writer
  using (tenant_id = any ((select nullif(current_setting('bulkhead.tenant_ids', true), '')::uuid[])::uuid[])
    or changed_at < current_timestamp - interval '1 day');
create policy writer_adds on rate_shares for insert to bulkhead_writer
  with check (tenant_id = any ((select nullif(current_setting('bulkhead.tenant_ids', true), '')::uuid[])::uuid[]));
create policy writer_shares on rate_shares for update to bulkhead_writer
  using (tenant_id = any ((select nullif(current_setting('bulkhead.tenant_ids', true), '')::uuid[])::uuid[]));
create policy writer_forgets on rate_shares for delete to bulkhead_writer
  using (changed_at < current_timestamp - interval '1 day');
grant select, insert, update (nodes, changed_at), delete on rate_shares to bulkhead_writer;
create index on rate_shares (changed_at);
