-- What nodes hold of budgets: granted to one process over one spool (the term is the first segment it writes there), and
-- what of it was reported as settled, with the traces that spent it. All of it changes only under the lock of the count's row
-- in budget_usage. Protocol and proof: policy/src/ledger/lease.rs.
create table budget_leases (
  tenant_id uuid not null,
  budget text not null,
  subject text not null,
  unit text not null check (unit in ('usd', 'tokens', 'requests')),
  window_start timestamptz not null,
  spool uuid not null,
  term bigint not null,
  -- Which of the process's counts of the window it is: when a budget's calendar changes, new windows may begin where old ones did, and
  -- the new count knows nothing of what the old one was granted. Reports do not say: they go to the one that holds most.
  opening bigint not null,
  -- In all, in the unit.
  granted bigint not null check (granted >= 0),
  reported bigint not null default 0 check (reported >= 0),
  -- Of the last ask that was answered: one that comes late is ignored.
  number bigint not null,
  -- Only for who looks: what is held after it counts as used, because nobody will say any more what became of it.
  expires_at timestamptz not null,
  primary key (tenant_id, budget, subject, unit, window_start, spool, term, opening)
);
create index on budget_leases (expires_at);
call isolate_tenants('budget_leases');
create policy writer_reads on budget_leases for select to bulkhead_writer
  using (tenant_id = any ((select nullif(current_setting('bulkhead.tenant_ids', true), '')::uuid[])::uuid[])
    or expires_at < current_timestamp - interval '2 days');
create policy writer_adds on budget_leases for insert to bulkhead_writer
  with check (tenant_id = any ((select nullif(current_setting('bulkhead.tenant_ids', true), '')::uuid[])::uuid[]));
create policy writer_counts on budget_leases for update to bulkhead_writer
  using (tenant_id = any ((select nullif(current_setting('bulkhead.tenant_ids', true), '')::uuid[])::uuid[]));
-- Of windows that are over nothing is granted any more.
create policy writer_forgets on budget_leases for delete to bulkhead_writer
  using (expires_at < current_timestamp - interval '2 days');
grant select, insert, update (granted, reported, number, expires_at), delete on budget_leases to bulkhead_writer;
grant select on budget_leases to bulkhead_api;

-- Whoever runs a tenant may correct what counts as used, with an audit entry.
grant insert, update (amount, changed_at) on budget_usage to bulkhead_api;
