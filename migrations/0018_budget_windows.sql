-- What nodes hold of a window is known for as long as its count, and a count for 60 days after it last changed, if its budget was
-- counted in another window since.
--
-- A count was forgotten by when its window began, and leases two days after they ended, where the budget had a window that began
-- later. But a budget may change its calendar and change back: from a month to days and to the month again, which goes on, with
-- what the dead held of it; or to a window without an end, which began before all others.
alter table budget_leases no force row level security;
alter table budget_usage no force row level security;
delete from budget_leases lease where not exists (
  select from budget_usage usage where (usage.tenant_id, usage.budget, usage.subject, usage.unit, usage.window_start)
    = (lease.tenant_id, lease.budget, lease.subject, lease.unit, lease.window_start));
alter table budget_leases
  add foreign key (tenant_id, budget, subject, unit, window_start) references budget_usage on delete cascade;
alter table budget_leases force row level security;
alter table budget_usage force row level security;

drop policy writer_forgets on budget_leases;
revoke delete on budget_leases from bulkhead_writer;
alter policy writer_reads on budget_leases
  using (tenant_id = any ((select nullif(current_setting('bulkhead.tenant_ids', true), '')::uuid[])::uuid[]));
alter policy writer_forgets on budget_usage using (changed_at < current_timestamp - interval '60 days');
