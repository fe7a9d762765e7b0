-- Traces at scale: bodies apart, an index for every filter of the list, retention by tenant and by a role that can do
-- nothing else.
--
-- Takes the traces' lock until it is done: bodies are copied and indexes are built. Nodes keep what arrives meanwhile in
-- their spools.

-- The bodies of a trace, apart from it: listing never reads them, and they may go earlier.
create table trace_bodies (
  tenant_id uuid not null,
  at timestamptz not null,
  id uuid not null,
  -- How the bytes are stored. `masked`: text, as it left. Part of the key: one trace may be stored in several forms.
  form text not null check (form in ('masked')),
  request bytea,
  response bytea,
  truncated boolean not null,
  primary key (tenant_id, at, id, form)
) partition by range (at);

-- One row for each detector that found something in a request. The list filters by it, so it carries what else the list
-- filters by: a walk along one detector then needs no look at the trace to know that it is not wanted.
create table trace_detectors (
  tenant_id uuid not null,
  detector text not null,
  at timestamptz not null,
  id uuid not null,
  agent_id uuid,
  outcome text not null,
  model_asked text,
  primary key (tenant_id, detector, at, id) include (agent_id, outcome, model_asked)
) partition by range (at);

-- The tables that share their days: made, checked and dropped together, locked in this order by everybody.
create function trace_tables() returns text[] language sql immutable
  set search_path = bulkhead, pg_temp as $$ select array['traces', 'trace_bodies', 'trace_detectors'] $$;

-- What `traces` has, the new tables get.
do $$
declare
  parent text;
  partition text;
  bounds text;
begin
  foreach parent in array array['trace_bodies', 'trace_detectors'] loop
    for partition, bounds in
      select relname, pg_get_expr(relpartbound, pg_class.oid) from pg_class join pg_inherits on inhrelid = pg_class.oid
      where inhparent = 'traces'::regclass
    loop
      partition := replace(partition, 'traces_', parent || '_');
      execute format('create table %I partition of %I %s', partition, parent, bounds);
      execute format('alter table %I enable row level security', partition);
      execute format('alter table %I force row level security', partition);
    end loop;
  end loop;
end
$$;

-- The owner, too, sees no tenant's rows while row-level security is forced; only this transaction sees it lifted.
alter table traces no force row level security;
insert into trace_bodies (tenant_id, at, id, form, request, response, truncated)
  select tenant_id, at, id, 'masked', request_body, response_body, bodies_truncated from traces
  where request_body is not null or response_body is not null;
insert into trace_detectors (tenant_id, detector, at, id, agent_id, outcome, model_asked)
  select distinct tenant_id, finding ->> 'detector', at, id, agent_id, outcome, model_asked
  from traces, jsonb_array_elements(findings) as finding;
alter table traces force row level security;
alter table traces drop column request_body, drop column response_body, drop column bodies_truncated;

call isolate_tenants('trace_bodies');
call isolate_tenants('trace_detectors');

create policy appended_rows on trace_bodies for insert to bulkhead_writer
  with check (tenant_id = any ((select nullif(current_setting('bulkhead.tenant_ids', true), '')::uuid[])::uuid[]));
create policy appended_rows on trace_detectors for insert to bulkhead_writer
  with check (tenant_id = any ((select nullif(current_setting('bulkhead.tenant_ids', true), '')::uuid[])::uuid[]));
grant insert on trace_bodies, trace_detectors to bulkhead_writer;
grant select on trace_bodies, trace_detectors to bulkhead_api;

-- An index for each filter, in the order of the list. The other filters stand behind the order, so that a walk along one of
-- them drops what the second does not want without reading the row.
drop index traces_tenant_id_agent_id_at_id_idx;
create index traces_by_agent on traces (tenant_id, agent_id, at, id, outcome, model_asked);
create index traces_by_outcome on traces (tenant_id, outcome, at, id, agent_id, model_asked);
create index traces_by_model on traces (tenant_id, model_asked, at, id, agent_id, outcome);
-- Few traces have findings, so here the pair that is asked for most has an index of its own.
create index trace_detectors_by_outcome on trace_detectors (tenant_id, detector, outcome, at, id);

-- As before, for every table of `trace_tables`.
create or replace function ensure_trace_partitions(first date, days integer) returns integer
language plpgsql security definer
set search_path = bulkhead, pg_temp set timezone = 'UTC' set lock_timeout = '3s' as $$
declare
  day date;
  parent text;
  partition text;
  created integer := 0;
begin
  if days not between 1 and 31 or first not between current_date - 7 and current_date + 31 then
    raise exception 'partitions can be created from 7 days ago to 31 days ahead, at most 31 at once'
      using errcode = 'invalid_parameter_value';
  end if;
  -- One node at a time; the others find the work done.
  perform pg_advisory_xact_lock(hashtextextended('bulkhead.trace_partitions', 0));
  for parent, day in select t, first + n from unnest(trace_tables()) as t, generate_series(0, days - 1) as n loop
    partition := parent || '_' || to_char(day, 'YYYYMMDD');
    continue when to_regclass('bulkhead.' || partition) is not null;
    begin
      -- Made apart and attached, because `partition of` would lock the parent against every insert.
      execute format('create table %I (like %I including defaults including constraints)', partition, parent);
      execute format('alter table %I enable row level security', partition);
      execute format('alter table %I force row level security', partition);
      execute format('alter table %I attach partition %I for values from (%L) to (%L)',
        parent, partition, day::timestamptz, (day + 1)::timestamptz);
      created := created + 1;
    exception when check_violation then
      -- The default partition already holds rows of that day. They stay there until retention takes them.
      raise warning 'no partition of % for %: the default partition holds rows of that day', parent, day;
    end;
  end loop;
  return created;
end
$$;

-- Drops the partitions of some of the tables that lie wholly before `before`, empties their default partitions of what is
-- older, and returns how many days of the first table went. For the two functions below.
create function drop_partitions_of(parents text[], before date) returns integer
language plpgsql set search_path = bulkhead, pg_temp set timezone = 'UTC' as $$
declare
  parent text;
  partition text;
  dropped integer := 0;
begin
  if before >= current_date then
    raise exception 'traces of today cannot be dropped' using errcode = 'invalid_parameter_value';
  end if;
  perform pg_advisory_xact_lock(hashtextextended('bulkhead.trace_partitions', 0));
  foreach parent in array parents loop
    for partition in
      select relname from pg_class join pg_inherits on inhrelid = pg_class.oid
      where inhparent = parent::regclass and relname ~ ('^' || parent || '_[0-9]{8}$') and right(relname, 8)::date < before
    loop
      execute format('drop table %I', partition);
      dropped := dropped + (parent = parents[1])::integer;
    end loop;
    -- Forced row-level security hides the rows from the owner too. Only this transaction sees it lifted, on a partition that
    -- nobody else can reach, under an exclusive lock.
    execute format('alter table %I no force row level security', parent || '_default');
    execute format('delete from %I where at < $1', parent || '_default') using before::timestamptz;
    execute format('alter table %I force row level security', parent || '_default');
  end loop;
  return dropped;
end
$$;

-- Drops whole days of traces with all that belongs to them.
create or replace function drop_trace_partitions(before date) returns integer
language sql security definer set search_path = bulkhead, pg_temp set lock_timeout = '3s' as $$
  select drop_partitions_of(trace_tables(), before)
$$;

-- Drops whole days of bodies alone.
create function drop_body_partitions(before date) returns integer
language sql security definer set search_path = bulkhead, pg_temp set lock_timeout = '3s' as $$
  select drop_partitions_of(array['trace_bodies'], before)
$$;

-- Retention is a role of its own: who appends traces cannot make them vanish, and who removes them cannot read what they
-- say. It drops days for everybody, and of one tenant removes the rows that are older than a day.
grant execute on function drop_trace_partitions(date), drop_body_partitions(date) to bulkhead_retention;
create procedure expire_rows(target regclass)
language plpgsql set search_path = bulkhead, pg_temp as $$
declare
  old_rows constant text :=
    'tenant_id = (select nullif(current_setting(''bulkhead.tenant_id'', true), '''')::uuid)
     and at < current_timestamp - interval ''24 hours''';
begin
  execute format('create policy retention_sees on %s for select to bulkhead_retention using (%s)', target, old_rows);
  execute format('create policy retention_removes on %s for delete to bulkhead_retention using (%s)', target, old_rows);
  execute format('grant select (tenant_id, at), delete on %s to bulkhead_retention', target);
end
$$;
call expire_rows('traces');
call expire_rows('trace_bodies');
call expire_rows('trace_detectors');

-- Asked for once for a statement, not for each row.
alter policy writer_forgets on budget_usage using (window_start < current_timestamp - interval '60 days');
alter policy writer_forgets on budget_batches using (at < current_timestamp - interval '30 days');
