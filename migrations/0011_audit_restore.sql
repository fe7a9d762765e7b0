-- An audit trail can be brought back whole, as `bulkhead tenant import` reads it from an archive.
--
-- An entry may come with its hash where its chain begins in the same transaction, so that nobody has seen that chain yet.
-- It is taken only if the chain gives the same hash: its number and place follow from the chain as ever, and the one thing
-- that it brings is its time. Only the owner may name the columns; on any other chain it is refused like everybody else.
create or replace function chain_audit_entry() returns trigger
language plpgsql security definer set search_path = bulkhead, pg_temp as $$
declare
  brought constant bytea := new.hash;
  previous bytea;
begin
  insert into audit_heads as head (tenant_id, seq, hash)
    values (new.tenant_id, 1, decode(repeat('00', 32), 'hex'))
    on conflict (tenant_id) do update set seq = head.seq + 1
    returning head.seq, head.hash into new.seq, previous;
  if brought is null then
    -- Read when it is this entry's turn, so that times go with numbers.
    new.at := clock_timestamp();
  elsif new.seq > 1 and not exists (
    select from audit where tenant_id = new.tenant_id and seq = 1 and xmin = pg_current_xact_id()::xid
  ) then
    raise exception 'only a chain that begins in this transaction takes entries with their hashes'
      using errcode = 'restrict_violation';
  end if;
  new.hash := audit_hash(previous, new);
  if brought <> new.hash then
    raise exception 'entry % of the audit trail is not what its hash stands for', new.seq
      using errcode = 'integrity_constraint_violation';
  end if;
  update audit_heads set hash = new.hash where tenant_id = new.tenant_id;
  return new;
end
$$;
