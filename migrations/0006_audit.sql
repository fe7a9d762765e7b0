-- Who changed what, written in the transaction of the change. Append only; outlives its tenant, hence no foreign key.

create table audit (
  tenant_id uuid not null,
  at timestamptz not null default clock_timestamp(),
  id uuid not null,
  actor text not null check (length(actor) between 1 and 256),
  action text not null,
  target text not null,
  detail jsonb not null,
  primary key (tenant_id, at, id)
);
call isolate_tenants('audit');
create policy audit_reads on audit for select to bulkhead_auditor using (true);
grant select, insert on audit to bulkhead_api;
grant select on audit to bulkhead_auditor;

create trigger immutable before update or delete or truncate on audit
  for each statement execute function refuse_change();
