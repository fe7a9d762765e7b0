-- What has been spent of each budget, per window and subject. Limits are in the policy; this is only the count.
-- No foreign key: usage may be counted after its tenant is gone, and must not hold up the other tenants' in its batch.

create table budget_usage (
  tenant_id uuid not null,
  budget text not null,
  -- `tenant`, `agent:<uuid>` or `key:<key id>`.
  subject text not null,
  unit text not null check (unit in ('usd', 'tokens', 'requests')),
  window_start timestamptz not null,
  -- Nano-dollars, tokens or requests.
  amount bigint not null,
  changed_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, budget, subject, unit, window_start)
);
call isolate_tenants('budget_usage');
-- A node needs every tenant's count when it starts; it adds only to the tenants it names.
create policy writer_reads on budget_usage for select to bulkhead_writer using (true);
create policy writer_adds on budget_usage for insert to bulkhead_writer
  with check (tenant_id = any ((select nullif(current_setting('bulkhead.tenant_ids', true), '')::uuid[])::uuid[]));
create policy writer_counts on budget_usage for update to bulkhead_writer
  using (tenant_id = any ((select nullif(current_setting('bulkhead.tenant_ids', true), '')::uuid[])::uuid[]));
-- Old windows count towards nothing any more; what was spent in them is in the traces.
create policy writer_forgets on budget_usage for delete to bulkhead_writer
  using (window_start < clock_timestamp() - interval '60 days');
grant select, insert, update (amount, changed_at), delete on budget_usage to bulkhead_writer;
grant select on budget_usage to bulkhead_api;

-- Batches of usage that were counted: one per request or one per flush, as the writer likes. A batch sent again after an
-- unclear commit or a crash is recognised and not counted twice.
create table budget_batches (
  id uuid primary key,
  at timestamptz not null default clock_timestamp()
);
create index on budget_batches (at);
alter table budget_batches enable row level security;
alter table budget_batches force row level security;
-- Ids and times, no tenant: the writer has to see which of its own ids are new.
create policy writer_reads on budget_batches for select to bulkhead_writer using (true);
create policy writer_adds on budget_batches for insert to bulkhead_writer with check (true);
-- Nothing is sent again after a month.
create policy writer_forgets on budget_batches for delete to bulkhead_writer
  using (at < clock_timestamp() - interval '30 days');
grant select, insert, delete on budget_batches to bulkhead_writer;
