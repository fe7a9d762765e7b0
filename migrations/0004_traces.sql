-- Traces: one row per request, appended by proxies, partitioned by day so that retention is a drop.
--
-- No foreign keys: a row may arrive from a spool after its tenant, agent or key is gone, and must not hold up its batch.
-- Bodies are bytea, because text refuses U+0000 and a caller may send one.

create table traces (
  tenant_id uuid not null,
  at timestamptz not null,
  id uuid not null,
  agent_id uuid,
  key_id text,
  policy_revision bigint not null,
  dialect text not null,
  operation text not null,
  model_asked text,
  model_served text,
  upstream text,
  status integer not null,
  outcome text not null,
  reason text,
  streamed boolean not null,
  input_tokens bigint not null,
  cached_input_tokens bigint not null,
  output_tokens bigint not null,
  reasoning_tokens bigint not null,
  tokens_estimated boolean not null,
  cost_nano_usd bigint not null,
  overhead_micros bigint not null,
  first_byte_micros bigint,
  total_micros bigint not null,
  attempts integer not null,
  request_bytes bigint not null,
  response_bytes bigint not null,
  findings jsonb not null,
  findings_total bigint not null,
  uninspected boolean not null,
  request_body bytea,
  response_body bytea,
  bodies_truncated boolean not null,
  -- The order of the list, newest last. The time of arrival is also in the id, so an id finds its partition.
  primary key (tenant_id, at, id)
) partition by range (at);
create index on traces (tenant_id, agent_id, at, id);
call isolate_tenants('traces');

-- The writer appends and nothing else: no select, hence no returning and no conflict target. It names the tenants of a batch
-- first, so a record that slipped into the wrong batch is refused.
create policy appended_rows on traces for insert to bulkhead_writer
  with check (tenant_id = any ((select nullif(current_setting('bulkhead.tenant_ids', true), '')::uuid[])::uuid[]));
grant insert on traces to bulkhead_writer;
grant select on traces to bulkhead_api;

-- Partitions inherit neither row-level security nor its absence: each is closed by itself and granted to nobody. Rows are
-- reached through the parent, whose policies apply.
create table traces_default partition of traces default;
alter table traces_default enable row level security;
alter table traces_default force row level security;

-- Creates the missing partitions of `days` days from `first` on and returns how many.
--
-- Proxies call this themselves, daily: a forgotten cron job must not drive everything into the default partition. Because
-- the writer owns nothing, it runs as the owner; what it can be made to do is bounded by its checks.
create function ensure_trace_partitions(first date, days integer) returns integer
language plpgsql security definer
set search_path = bulkhead, pg_temp set timezone = 'UTC' set lock_timeout = '3s' as $$
declare
  day date;
  partition text;
  created integer := 0;
begin
  if days not between 1 and 31 or first not between current_date - 7 and current_date + 31 then
    raise exception 'partitions can be created from 7 days ago to 31 days ahead, at most 31 at once'
      using errcode = 'invalid_parameter_value';
  end if;
  -- One node at a time; the others find the work done.
  perform pg_advisory_xact_lock(hashtextextended('bulkhead.trace_partitions', 0));
  for day in select first + n from generate_series(0, days - 1) as n loop
    partition := 'traces_' || to_char(day, 'YYYYMMDD');
    continue when to_regclass('bulkhead.' || partition) is not null;
    begin
      -- Made apart and attached, because `partition of` would lock the parent against every insert.
      execute format('create table %I (like traces including defaults including constraints)', partition);
      execute format('alter table %I enable row level security', partition);
      execute format('alter table %I force row level security', partition);
      execute format('alter table traces attach partition %I for values from (%L) to (%L)',
        partition, day::timestamptz, (day + 1)::timestamptz);
      created := created + 1;
    exception when check_violation then
      -- The default partition already holds rows of that day. They stay there until retention takes them.
      raise warning 'no partition for %: the default partition holds rows of that day', day;
    end;
  end loop;
  return created;
end
$$;

-- Drops the partitions that lie wholly before `before`, empties the default partition of what is older, and returns how
-- many partitions went.
create function drop_trace_partitions(before date) returns integer
language plpgsql security definer
set search_path = bulkhead, pg_temp set timezone = 'UTC' set lock_timeout = '3s' as $$
declare
  partition text;
  dropped integer := 0;
begin
  if before >= current_date then
    raise exception 'traces of today cannot be dropped' using errcode = 'invalid_parameter_value';
  end if;
  perform pg_advisory_xact_lock(hashtextextended('bulkhead.trace_partitions', 0));
  for partition in
    select relname from pg_class join pg_inherits on inhrelid = pg_class.oid
    where inhparent = 'traces'::regclass and relname ~ '^traces_[0-9]{8}$' and right(relname, 8)::date < before
  loop
    execute format('drop table %I', partition);
    dropped := dropped + 1;
  end loop;
  -- Forced row-level security hides the rows from the owner too. Only this transaction sees it lifted, on a partition that
  -- nobody else can reach, under an exclusive lock.
  alter table traces_default no force row level security;
  delete from traces_default where at < before::timestamptz;
  alter table traces_default force row level security;
  return dropped;
end
$$;

grant execute on function ensure_trace_partitions(date, integer) to bulkhead_writer;
