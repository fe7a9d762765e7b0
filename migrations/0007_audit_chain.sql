-- The audit trail becomes tamper-evident: the entries of each tenant are a chain of hashes, and so are the platform's.
--
-- What is hashed is told in `policy/src/audit.rs`, which checks chains and trusts nothing here. The database numbers, times
-- and hashes, not the caller: who may only insert says what happened, and nothing about where in the chain.

-- What was done for the platform as a whole belongs to no tenant. Its chain has the nil id.
alter table tenants add constraint nil_is_the_platforms check (id <> '00000000-0000-0000-0000-000000000000');

alter table audit add column seq bigint, add column hash bytea;

-- A text, length first, so that no two rows are hashed as the same bytes.
create function audit_text(value text) returns bytea
language sql stable set search_path = bulkhead, pg_temp as $$
  select int4send(octet_length(convert_to(value, 'UTF8'))) || convert_to(value, 'UTF8')
$$;

create function audit_hash(previous bytea, entry audit) returns bytea
language sql stable set search_path = bulkhead, pg_temp as $$
  select sha256(previous || '\x01'::bytea || uuid_send(entry.tenant_id) || int8send(entry.seq) || uuid_send(entry.id)
    || int8send((extract(epoch from entry.at) * 1000000)::bigint)
    || audit_text(entry.actor) || audit_text(entry.action) || audit_text(entry.target) || audit_text(entry.detail::text))
$$;

-- The last entry of each chain. The lock on its row makes the writers of one chain take turns, and keeps up no other's; a
-- trail whose newest entries are gone ends before it.
create table audit_heads (
  tenant_id uuid primary key,
  seq bigint not null check (seq > 0),
  hash bytea not null check (octet_length(hash) = 32)
);

-- Entries from before are chained in the order of their time.
alter table audit disable trigger immutable;
alter table audit no force row level security;
do $$
declare
  entry audit;
  previous audit;
begin
  for entry in select * from audit order by tenant_id, at, id loop
    if previous.tenant_id is distinct from entry.tenant_id then
      previous := null;
    end if;
    entry.seq := coalesce(previous.seq, 0) + 1;
    entry.hash := audit_hash(coalesce(previous.hash, decode(repeat('00', 32), 'hex')), entry);
    update audit set seq = entry.seq, hash = entry.hash
      where tenant_id = entry.tenant_id and at = entry.at and id = entry.id;
    previous := entry;
  end loop;
end
$$;
insert into audit_heads (tenant_id, seq, hash)
  select distinct on (tenant_id) tenant_id, seq, hash from audit order by tenant_id, seq desc;
-- The number is the only unique key, and always free: no insert can meet a conflict and be skipped after it was counted.
alter table audit
  drop constraint audit_pkey,
  add primary key (tenant_id, seq),
  alter column hash set not null,
  add check (octet_length(hash) = 32);
create index on audit (tenant_id, at);
alter table audit force row level security;
alter table audit enable trigger immutable;

create function chain_audit_entry() returns trigger
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
declare
  previous bytea;
begin
  insert into audit_heads as head (tenant_id, seq, hash)
    values (new.tenant_id, 1, decode(repeat('00', 32), 'hex'))
    on conflict (tenant_id) do update set seq = head.seq + 1
    returning head.seq, head.hash into new.seq, previous;
  -- Read when it is this entry's turn, so that times go with numbers.
  new.at := clock_timestamp();
  new.hash := audit_hash(previous, new);
  update audit_heads set hash = new.hash where tenant_id = new.tenant_id;
  return new;
end
$$;
create trigger chain before insert on audit for each row execute function chain_audit_entry();

-- Only the trigger above moves a head.
create function refuse_change_by_hand() returns trigger
language plpgsql set search_path = bulkhead, pg_temp as $$
begin
  if pg_trigger_depth() < 2 then
    raise exception '% rows follow from others', tg_table_name using errcode = 'restrict_violation';
  end if;
  return null;
end
$$;
create trigger derived before insert or update or delete or truncate on audit_heads
  for each statement execute function refuse_change_by_hand();

call isolate_tenants('audit_heads');
create policy audit_reads on audit_heads for select to bulkhead_auditor using (true);
grant select on audit_heads to bulkhead_auditor;

-- The platform's chain is the owner's, and with it the migrator's. A tenant's role cannot reach it, whatever tenant it names.
create policy platform_rows on audit to bulkhead_owner
  using (tenant_id = '00000000-0000-0000-0000-000000000000') with check (tenant_id = '00000000-0000-0000-0000-000000000000');
create policy platform_rows on audit_heads to bulkhead_owner
  using (tenant_id = '00000000-0000-0000-0000-000000000000') with check (tenant_id = '00000000-0000-0000-0000-000000000000');
create policy platform_floor on audit as restrictive to bulkhead_api
  using (tenant_id <> '00000000-0000-0000-0000-000000000000')
  with check (tenant_id <> '00000000-0000-0000-0000-000000000000');

-- So that no chain that should be there is empty: a tenant's begins with its creation, the platform's with this.
insert into audit (tenant_id, id, actor, action, target, detail)
  values ('00000000-0000-0000-0000-000000000000', gen_random_uuid(), 'migration', 'audit.begin', 'platform', '{}');

revoke insert on audit from bulkhead_api;
grant insert (tenant_id, id, actor, action, target, detail) on audit to bulkhead_api;
