-- How much of each node's spool is in this database. Written in the transaction that stores what the spool holds, so that
-- whatever ends a node or the server in between, a stretch of a spool is stored once.
--
-- Belongs to no tenant: names of spools, and numbers.

create table spool_positions (
  spool uuid not null,
  segment bigint not null,
  -- Bytes of the segment that are stored.
  position bigint not null check (position >= 0),
  at timestamptz not null default clock_timestamp(),
  primary key (spool, segment)
);
create index on spool_positions (at);
alter table spool_positions enable row level security;
alter table spool_positions force row level security;
create policy writer_reads on spool_positions for select to bulkhead_writer using (true);
create policy writer_adds on spool_positions for insert to bulkhead_writer with check (true);
create policy writer_goes_on on spool_positions for update to bulkhead_writer using (true);
-- No segment waits for a month.
create policy writer_forgets on spool_positions for delete to bulkhead_writer
  using (at < clock_timestamp() - interval '30 days');
grant select, insert, update (position, at), delete on spool_positions to bulkhead_writer;
