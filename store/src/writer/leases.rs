//! Grants nodes their shares of budgets.
//!
//! The protocol, and why it keeps every limit, is in [`bulkhead_policy::ledger::lease`]. Here is what it needs of the database: the
//! row of `budget_usage` is locked before anything of its count is read or changed, by this and by
//! [shipments](super::shipment), always in the order of the keys.

use std::collections::HashSet;

use bulkhead_policy::ledger::{Holder, Lease, LeaseAnswer, LeaseAsk, Standing};
use sqlx::PgConnection;

use super::counts::Counts;
use crate::Store;
use crate::error::{Attempted, StoreError};
use crate::numbers::{to_i64, to_u64};

/// Answers a process's asks, in their order; `None` for one that was overtaken by a later one, or for a count that an earlier one
/// of these is about, or that somebody else holds for long.
///
/// # Errors
/// [`StoreError::Database`]: then nobody can say whether they were granted, and asking again settles it.
pub async fn lease(
    store: &Store,
    holder: Holder,
    asks: &[LeaseAsk],
) -> Result<Vec<Option<LeaseAnswer>>, StoreError> {
    match answer(store, holder, asks, Busy::Wait).await {
        Err(error) if error.is_lock_timeout() => answer(store, holder, asks, Busy::Skip).await,
        answered => answered,
    }
}

async fn answer(
    store: &Store,
    holder: Holder,
    asks: &[LeaseAsk],
    busy: Busy,
) -> Result<Vec<Option<LeaseAnswer>>, StoreError> {
    let mut tx = super::begin(store, asks.iter().map(|ask| ask.key.tenant.as_uuid()).collect()).await?;
    let locked = match lock(&mut tx, &Keys::of(asks), busy).await {
        Ok(locked) => locked,
        Err(error) => {
            // The error comes before its locks have gone; who asks again must not meet them.
            tx.rollback().await.attempted("give up on leases")?;
            return Err(error);
        }
    };
    let asked: Vec<_> = asks.iter().enumerate().filter(|(place, _)| locked.contains(place)).collect();
    let seen = read(&mut tx, &Keys::of(asked.iter().map(|(_, ask)| *ask)), holder).await?;
    let mut granted = Vec::new();
    let mut answers = vec![None; asks.len()];
    let mut decided = HashSet::new();
    for ((place, ask), seen) in asked.into_iter().zip(&seen) {
        // What was read is as it was before the first: a second one would be granted the same room again.
        let is_first = decided.insert((&ask.key, ask.unit, ask.window_start));
        if !is_first || seen.number >= to_i64(ask.number) {
            continue;
        }
        let standing = seen.standing(ask.limit);
        let total = standing.grant(ask.have, ask.need, ask.want);
        granted.push(Granted { ask: place, total });
        let others_settled = standing.settled.saturating_sub(standing.own.reported);
        if let Some(answer) = answers.get_mut(place) {
            *answer = Some(LeaseAnswer { granted: total, others_settled });
        }
    }
    write(&mut tx, asks, &granted, holder).await?;
    tx.commit().await.attempted("commit leases")?;
    Ok(answers)
}

/// The asks' counts, by column.
#[derive(Default)]
struct Keys {
    counts: Counts,
    opening: Vec<i64>,
}

impl Keys {
    fn of<'a>(asks: impl IntoIterator<Item = &'a LeaseAsk>) -> Self {
        let mut keys = Self::default();
        for ask in asks {
            keys.counts.push(&ask.key, ask.unit, ask.window_start);
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

/// What to do about rows that somebody else has locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Busy {
    /// Wait, but less than a node does: what it has given up on would hold the others' locks on.
    Wait,
    /// Leave them out: one tenant's row must not keep all others waiting.
    Skip,
}

/// Locks the counts; returns the places of those that are locked then.
async fn lock(connection: &mut PgConnection, keys: &Keys, busy: Busy) -> Result<HashSet<usize>, StoreError> {
    sqlx::query!("select set_config('lock_timeout', '500ms', true)")
        .fetch_one(&mut *connection)
        .await
        .attempted("lock budget usage")?;
    match busy {
        Busy::Wait => lock_all(connection, keys).await,
        Busy::Skip => lock_free(connection, keys).await,
    }
}

/// Those that nobody holds; new ones wait.
async fn lock_free(connection: &mut PgConnection, keys: &Keys) -> Result<HashSet<usize>, StoreError> {
    let places = sqlx::query_scalar!(
        r#"select place as "place!" from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
           with ordinality as ask (tenant_id, budget, subject, unit, window_start, place)
         join budget_usage usage using (tenant_id, budget, subject, unit, window_start)
         order by tenant_id, budget, subject, unit, window_start for update of usage skip locked"#,
        &keys.counts.tenant_id,
        &keys.counts.budget,
        &keys.counts.subject,
        &keys.counts.unit,
        &keys.counts.window_start,
    )
    .fetch_all(connection)
    .await
    .attempted("lock budget usage")?;
    Ok(places.into_iter().filter_map(|place| usize::try_from(place - 1).ok()).collect())
}

/// All, and begins those that are new.
async fn lock_all(connection: &mut PgConnection, keys: &Keys) -> Result<HashSet<usize>, StoreError> {
    sqlx::query!(
        "insert into budget_usage (tenant_id, budget, subject, unit, window_start, amount)
         select distinct tenant_id, budget, subject, unit, window_start, 0
         from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
           as ask (tenant_id, budget, subject, unit, window_start)
         order by tenant_id, budget, subject, unit, window_start
         on conflict (tenant_id, budget, subject, unit, window_start) do update set amount = budget_usage.amount",
        &keys.counts.tenant_id,
        &keys.counts.budget,
        &keys.counts.subject,
        &keys.counts.unit,
        &keys.counts.window_start,
    )
    .execute(connection)
    .await
    .attempted("lock budget usage")?;
    Ok((0..keys.opening.len()).collect())
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
        &keys.counts.tenant_id,
        &keys.counts.budget,
        &keys.counts.subject,
        &keys.counts.unit,
        &keys.counts.window_start,
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
        &keys.counts.tenant_id,
        &keys.counts.budget,
        &keys.counts.subject,
        &keys.counts.unit,
        &keys.counts.window_start,
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
