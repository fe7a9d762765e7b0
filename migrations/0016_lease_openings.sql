-- One process may count a window twice: when a budget's calendar changes, the new windows may begin where old ones did. Its new
-- count knows nothing of what the old one was granted and has spent, so each has a row of its own.
alter table budget_leases
  -- Which of the process's counts it is. Reports do not say: they go to the one that holds most.
  add column opening bigint not null default 0,
  drop constraint budget_leases_pkey,
  add primary key (tenant_id, budget, subject, unit, window_start, spool, term, opening);
