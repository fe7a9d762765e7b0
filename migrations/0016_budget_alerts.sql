-- What was told of budgets: each line of `alert_at` once in a window, over all nodes. policy/src/ledger/alert.rs says when.

create table budget_alerts (
  tenant_id uuid not null,
  budget text not null,
  subject text not null,
  unit text not null,
  window_start timestamptz not null,
  -- The amount at which to tell, and the limit that it is a part of, in the unit.
  line bigint not null check (line > 0),
  budget_limit bigint not null,
  -- What was counted with the charge that passed the line.
  used bigint not null,
  -- The request that was charged; null where its trace was lost.
  trace_id uuid,
  at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, budget, subject, unit, window_start, line),
  -- What was told is known for as long as the count.
  foreign key (tenant_id, budget, subject, unit, window_start) references budget_usage on delete cascade
);
create index on budget_alerts (tenant_id, trace_id);
call isolate_tenants('budget_alerts');
-- A shipment leaves out what was told before; only the function below writes.
create policy writer_reads on budget_alerts for select to bulkhead_writer
  using (tenant_id = any ((select nullif(current_setting('bulkhead.tenant_ids', true), '')::uuid[])::uuid[]));
grant select on budget_alerts to bulkhead_writer, bulkhead_api;

-- Tells that a count has passed a line, with an entry in its tenant's audit trail, unless that was told; says whether it was news.
--
-- Because the writer may write neither of the two, it runs as the owner. What it can be made to do is bounded by its checks:
-- the tenant is one of the batch, and the count is where it is said to be. Charges may come after their tenant has gone; then nobody
-- is told.
create function tell_budget_alert(told budget_alerts) returns boolean
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
declare
  -- A setting of the owner's function would need a superuser, so it is put back by hand.
  tenant_before constant text := coalesce(current_setting('bulkhead.tenant_id', true), '');
  is_news boolean;
begin
  if (told.tenant_id = any (nullif(current_setting('bulkhead.tenant_ids', true), '')::uuid[])) is not true then
    raise exception 'an alert must be of a tenant of its batch' using errcode = 'insufficient_privilege';
  end if;
  perform set_config('bulkhead.tenant_id', told.tenant_id::text, true);
  insert into budget_alerts (tenant_id, budget, subject, unit, window_start, line, budget_limit, used, trace_id)
    select told.tenant_id, told.budget, told.subject, told.unit, told.window_start, told.line, told.budget_limit, told.used,
      told.trace_id
    from budget_usage usage join tenants on tenants.id = usage.tenant_id
    where usage.tenant_id = told.tenant_id and usage.budget = told.budget and usage.subject = told.subject
      and usage.unit = told.unit and usage.window_start = told.window_start and usage.amount >= told.line
    on conflict do nothing;
  is_news := found;
  if is_news then
    insert into audit (tenant_id, id, actor, action, target, detail)
      values (told.tenant_id, gen_random_uuid(), 'bulkhead', 'budget.alert', told.budget, jsonb_build_object(
        'subject', told.subject, 'unit', told.unit, 'window_start', told.window_start, 'line', told.line,
        'limit', told.budget_limit, 'used', told.used, 'trace', told.trace_id));
  end if;
  perform set_config('bulkhead.tenant_id', tenant_before, true);
  return is_news;
end
$$;
grant execute on function tell_budget_alert(budget_alerts) to bulkhead_writer;
