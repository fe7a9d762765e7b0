//! Grants nodes their shares of budgets.
//!
//! The protocol, and why it keeps every limit, is in [`bulkhead_policy::ledger::lease`]. Here is what it needs of the database: the
//! row of `budget_usage` is locked before anything of its count is read or changed, by this and by
//! [shipments](super::shipment), always in the order of the keys.

use std::collections::HashSet;

use bulkhead_policy::ledger::{Holder, Lease, LeaseAnswer, LeaseAsk, Standing};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Store;
use crate::error::{Attempted, StoreError};
use crate::numbers::{to_i64, to_u64};

/// Answers a process's asks, in their order; `None` for one that was overtaken by a later one, or for a count that an earlier one
/// of these is about.
///
/// # Errors
/// [`StoreError::Database`]: then nobody can say whether they were granted, and asking again settles it.
pub async fn lease(
    store: &Store,
    holder: Holder,
    asks: &[LeaseAsk],
) -> Result<Vec<Option<LeaseAnswer>>, StoreError> {
    let mut tx = super::begin(store, asks.iter().map(|ask| ask.key.tenant.as_uuid()).collect()).await?;
    let keys = Keys::of(asks);
    lock(&mut tx, &keys).await?;
    let seen = read(&mut tx, &keys, holder).await?;
    let mut granted = Vec::new();
    let mut answers = Vec::new();
    let mut decided = HashSet::new();
    for (index, (ask, seen)) in asks.iter().zip(&seen).enumerate() {
        // What was read is as it was before the first: a second one would be granted the same room again.
        let is_first = decided.insert((&ask.key, ask.unit, ask.window_start));
        if !is_first || seen.number >= to_i64(ask.number) {
            answers.push(None);
            continue;
        }
        let standing = seen.standing(ask.limit);
        let total = standing.grant(ask.have, ask.need, ask.want);
        granted.push(Granted { ask: index, total });
        let others_settled = standing.settled.saturating_sub(standing.own.reported);
        answers.push(Some(LeaseAnswer { granted: total, others_settled }));
    }
    write(&mut tx, asks, &granted, holder).await?;
    tx.commit().await.attempted("commit leases")?;
    Ok(answers)
}

/// The asks' counts, by column.
#[derive(Default)]
struct Keys {
    tenant_id: Vec<Uuid>,
    budget: Vec<String>,
    subject: Vec<String>,
    unit: Vec<String>,
    window_start: Vec<DateTime<Utc>>,
    opening: Vec<i64>,
}

impl Keys {
    fn of<'a>(asks: impl IntoIterator<Item = &'a LeaseAsk>) -> Self {
        let mut keys = Self::default();
        for ask in asks {
            keys.tenant_id.push(ask.key.tenant.as_uuid());
            keys.budget.push(ask.key.budget.as_str().to_owned());
            keys.subject.push(ask.key.subject.to_string());
            keys.unit.push(ask.unit.as_str().to_owned());
            keys.window_start.push(ask.window_start);
            keys.opening.push(to_i64(ask.opening));
        }
        keys
    }
}

/// How a count stands, as rows.
struct Seen {
    settled: i64,
    others_held: i64,
    others_alive: i64,
    granted: i64,
    reported: i64,
    number: i64,
}

impl Seen {
    fn standing(&self, limit: u64) -> Standing {
        Standing {
            // More could not be written, and what all hold together could not be added up.
            limit: to_u64(to_i64(limit)),
            settled: to_u64(self.settled),
            others_held: to_u64(self.others_held),
            others_alive: to_u64(self.others_alive),
            own: Lease { granted: to_u64(self.granted), reported: to_u64(self.reported) },
        }
    }
}

struct Granted {
    ask: usize,
    total: u64,
}

/// Locks the counts, and begins those that are new.
async fn lock(connection: &mut PgConnection, keys: &Keys) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into budget_usage (tenant_id, budget, subject, unit, window_start, amount)
         select distinct tenant_id, budget, subject, unit, window_start, 0
         from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
           as ask (tenant_id, budget, subject, unit, window_start)
         order by tenant_id, budget, subject, unit, window_start
         on conflict (tenant_id, budget, subject, unit, window_start) do update set amount = budget_usage.amount",
        &keys.tenant_id,
        &keys.budget,
        &keys.subject,
        &keys.unit,
        &keys.window_start,
    )
    .execute(connection)
    .await
    .attempted("lock budget usage")?;
    Ok(())
}

/// Reads how each count stands. A statement of its own: it sees what was committed before the locks were had.
async fn read(connection: &mut PgConnection, keys: &Keys, holder: Holder) -> Result<Vec<Seen>, StoreError> {
    sqlx::query_as!(
        Seen,
        r#"select usage.amount as settled,
           coalesce(sum(greatest(lease.granted - lease.reported, 0)) filter (where not is_own), 0)::bigint as "others_held!",
           count(distinct lease.spool) filter (where lease.spool <> $6 and lease.expires_at > clock_timestamp())
             as "others_alive!",
           coalesce(max(lease.granted) filter (where is_own), 0) as "granted!",
           coalesce(max(lease.reported) filter (where is_own), 0) as "reported!",
           coalesce(max(lease.number) filter (where is_own), 0) as "number!"
         from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $8::bigint[]) with ordinality
           as ask (tenant_id, budget, subject, unit, window_start, opening, place)
         join budget_usage usage using (tenant_id, budget, subject, unit, window_start)
         left join budget_leases lease using (tenant_id, budget, subject, unit, window_start)
         cross join lateral (
           select coalesce((lease.spool, lease.term, lease.opening) = ($6, $7, ask.opening), false)) as own (is_own)
         group by place, usage.amount order by place"#,
        &keys.tenant_id,
        &keys.budget,
        &keys.subject,
        &keys.unit,
        &keys.window_start,
        holder.spool,
        to_i64(holder.term),
        &keys.opening,
    )
    .fetch_all(connection)
    .await
    .attempted("read leases")
}

/// Writes what was granted, and prolongs it.
async fn write(
    connection: &mut PgConnection,
    asks: &[LeaseAsk],
    granted: &[Granted],
    holder: Holder,
) -> Result<(), StoreError> {
    let answered: Vec<&LeaseAsk> = granted.iter().filter_map(|granted| asks.get(granted.ask)).collect();
    let totals: Vec<i64> = granted.iter().map(|granted| to_i64(granted.total)).collect();
    let numbers: Vec<i64> = answered.iter().map(|ask| to_i64(ask.number)).collect();
    let keys = Keys::of(answered);
    sqlx::query!(
        "insert into budget_leases as lease
           (tenant_id, budget, subject, unit, window_start, spool, term, opening, granted, number, expires_at)
         select tenant_id, budget, subject, unit, window_start, $8, $9, opening, granted, number,
           clock_timestamp() + interval '60 seconds'
         from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[], $7::bigint[],
             $10::bigint[]) as answer (tenant_id, budget, subject, unit, window_start, granted, number, opening)
         on conflict (tenant_id, budget, subject, unit, window_start, spool, term, opening) do update
         set granted = excluded.granted, number = excluded.number, expires_at = excluded.expires_at",
        &keys.tenant_id,
        &keys.budget,
        &keys.subject,
        &keys.unit,
        &keys.window_start,
        &totals,
        &numbers,
        holder.spool,
        to_i64(holder.term),
        &keys.opening,
    )
    .execute(connection)
    .await
    .attempted("write leases")?;
    Ok(())
}
