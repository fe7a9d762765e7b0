//! One connection's life: listen, catch up, then follow changes until it is lost.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bulkhead_policy::ids::{Revision, TenantId};
use bulkhead_policy::raw::RawTenant;
use bulkhead_policy::snapshot::{Rejected, Snapshot, Tenant};
use bulkhead_store::StoreError;
use bulkhead_store::system::{self, Change, Revisions, Verdict};
use chrono::Utc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tracing::{debug, info, warn};

use crate::PolicySync;
use crate::known::{Known, NotBuilt};
use crate::workshop::{self, Ready, Step, Workshop};

/// Longest wait for an answer. A server that is stopped but not gone would hold us for ever.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// From this many changed tenants on, all revisions are compared instead of loading each by name.
const BATCH_MAX: usize = 64;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lost {
    #[error("database failed")]
    Store(#[from] StoreError),
    #[error("no answer within {} seconds", ANSWER_TIMEOUT.as_secs())]
    Silent,
    #[error(transparent)]
    NotBuilt(#[from] NotBuilt),
}

/// Follows the database until it is lost. Sets `reached` once everything in it is known.
pub(crate) async fn run(sync: &PolicySync, known: &mut Known, reached: &mut bool) -> Lost {
    let Err(lost) = follow(sync, known, reached).await;
    lost
}

async fn follow(
    sync: &PolicySync,
    known: &mut Known,
    reached: &mut bool,
) -> Result<std::convert::Infallible, Lost> {
    // Listening first: what is committed from now on is heard, what was committed before is found by comparing.
    let mut changes = answer(system::listen(&sync.store)).await?;
    let is_told = answer(changes.are_heard(&sync.store)).await?;
    sync.observer.told(is_told);
    if !is_told {
        warn!(
            poll_seconds = sync.config.poll.as_secs(),
            "notifications do not arrive, so changes are only found by looking for them: does the URL lead through a pooler \
             in transaction mode? connect the policy feed directly to PostgreSQL"
        );
    }
    say_alive(sync).await?;
    let mut workshop = Workshop::default();
    let refused = compare(sync, known, &mut workshop, Told::Nothing).await?;
    // Everything, because what was told in the last session may have been lost with it.
    let all: Vec<_> = tenants(known).map(Tenant::id).collect();
    acknowledge(sync, known, &all, &refused).await?;
    *reached = true;
    sync.observer.connected(true);
    info!(tenants = all.len(), "policies are in step");

    let mut poll = interval_at(Instant::now() + sync.config.poll, sync.config.poll);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        sync.observer.compiling(workshop.len());
        tokio::select! {
            heard = changes.next() => hear(sync, known, &mut workshop, &heard?).await?,
            step = workshop.next() => match step {
                Step::Load(tenant) => take_turn(sync, known, &mut workshop, tenant).await?,
                Step::Apply(ready) => finish(sync, known, &mut workshop, ready).await?,
            },
            _ = poll.tick() => {
                say_alive(sync).await?;
                compare(sync, known, &mut workshop, Told::Everything).await?;
            }
            () = known.keep_file() => {}
        }
    }
}

/// Says that this node serves, and learns among how many the rates are divided.
async fn say_alive(sync: &PolicySync) -> Result<(), Lost> {
    let nodes = answer(system::sign_of_life(&sync.store, &sync.config.node)).await?;
    sync.builder.nodes().set(nodes);
    Ok(())
}

async fn answer<T>(asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, Lost> {
    Ok(timeout(ANSWER_TIMEOUT, asked).await.map_err(|_| Lost::Silent)??)
}

/// Whether the nodes' table is told at once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// The caller does it for all tenants.
    Nothing,
    Everything,
}

/// Acts on what was heard: loads the tenants that are named, or compares everything.
async fn hear(
    sync: &PolicySync,
    known: &mut Known,
    workshop: &mut Workshop,
    heard: &[Change],
) -> Result<(), Lost> {
    let named: Option<HashSet<TenantId>> = heard
        .iter()
        .filter(|change| change.tenant.is_none_or(|tenant| is_news(known, tenant, change.revision)))
        .map(|change| change.tenant)
        .collect();
    match named {
        Some(tenants) if tenants.is_empty() => Ok(()),
        Some(tenants) if tenants.len() <= BATCH_MAX => {
            let tenants = tenants.into_iter().collect();
            load(sync, known, workshop, tenants, Vec::new(), Told::Everything).await.map(drop)
        }
        _ => compare(sync, known, workshop, Told::Everything).await.map(drop),
    }
}

fn is_news(known: &Known, tenant: TenantId, revision: Revision) -> bool {
    known.revision(tenant).is_none_or(|known| revision > known)
}

/// Compares every revision with what is known, and loads what differs.
async fn compare(
    sync: &PolicySync,
    known: &mut Known,
    workshop: &mut Workshop,
    told: Told,
) -> Result<Vec<Rejected>, Lost> {
    let asked_at = Utc::now();
    let newest = answer(system::revisions(&sync.store)).await?;
    let refused = catch_up(sync, known, workshop, newest, told).await?;
    sync.handle.confirm(asked_at);
    Ok(refused)
}

/// Loads what differs from the newest revisions.
async fn catch_up(
    sync: &PolicySync,
    known: &mut Known,
    workshop: &mut Workshop,
    newest: Revisions,
    told: Told,
) -> Result<Vec<Rejected>, Lost> {
    if known.snapshot().is_none() || known.platform != Some(newest.platform) {
        return load_all(sync, known, newest.platform, told).await;
    }
    let changed: Vec<_> = newest
        .tenants
        .iter()
        .filter(|(tenant, revision)| {
            known.revision(*tenant) != Some(*revision)
                && !known.went_back(*tenant, *revision)
                && !workshop.has(*tenant)
        })
        .map(|(tenant, _)| *tenant)
        .collect();
    let present: HashSet<_> = newest.tenants.iter().map(|(tenant, _)| *tenant).collect();
    let removed: Vec<_> = tenants(known).map(Tenant::id).filter(|tenant| !present.contains(tenant)).collect();
    if changed.is_empty() && removed.is_empty() {
        return Ok(Vec::new());
    }
    debug!(changed = changed.len(), removed = removed.len(), "found changes by comparing");
    load(sync, known, workshop, changed, removed, told).await
}

fn tenants(known: &Known) -> impl Iterator<Item = &Tenant> {
    known.snapshot().into_iter().flat_map(|snapshot| snapshot.tenants())
}

/// Loads everything and publishes it.
async fn load_all(
    sync: &PolicySync,
    known: &mut Known,
    platform: Revision,
    told: Told,
) -> Result<Vec<Rejected>, Lost> {
    let raw = answer(system::load_snapshot(&sync.store)).await?;
    let loaded: Vec<_> = raw.tenants.iter().map(|tenant| tenant.id).collect();
    let before = known.snapshot().cloned();
    let refused = known.apply_all(&sync.builder, raw).await?;
    known.platform = Some(platform);
    publish(sync, known, before.as_deref(), &loaded, &refused);
    if told == Told::Everything {
        acknowledge(sync, known, &loaded, &refused).await?;
    }
    Ok(refused)
}

/// Loads some tenants and publishes those that are quick; the others wait for their turn.
async fn load(
    sync: &PolicySync,
    known: &mut Known,
    workshop: &mut Workshop,
    changed: Vec<TenantId>,
    mut removed: Vec<TenantId>,
    told: Told,
) -> Result<Vec<Rejected>, Lost> {
    let loaded = answer(system::load_tenants(&sync.store, &changed)).await?;
    let found: HashSet<_> = loaded.iter().map(|tenant| tenant.id).collect();
    // Heard of, but not there: deleted.
    removed.extend(changed.iter().filter(|tenant| !found.contains(tenant)));
    let (quick, slow) = workshop::split(&sync.builder, loaded).await;
    removed.iter().chain(quick.iter().map(|raw| &raw.id)).for_each(|tenant| workshop.forget(*tenant));
    slow.iter().for_each(|raw| workshop.wait(raw.id));
    if quick.is_empty() && removed.is_empty() {
        return Ok(Vec::new());
    }
    apply(sync, known, quick, removed, told).await
}

/// Compiles what a tenant has published last, now that its turn has come.
async fn take_turn(
    sync: &PolicySync,
    known: &mut Known,
    workshop: &mut Workshop,
    tenant: TenantId,
) -> Result<(), Lost> {
    let loaded = answer(system::load_tenants(&sync.store, &[tenant])).await?;
    workshop.forget(tenant);
    let removed = if loaded.is_empty() { vec![tenant] } else { Vec::new() };
    let (quick, slow) = workshop::split(&sync.builder, loaded).await;
    slow.into_iter().for_each(|raw| workshop.start(&sync.builder, raw));
    if quick.is_empty() && removed.is_empty() {
        return Ok(());
    }
    apply(sync, known, quick, removed, Told::Everything).await.map(drop)
}

/// Publishes what was compiled aside, unless something newer was meanwhile.
async fn finish(
    sync: &PolicySync,
    known: &mut Known,
    workshop: &mut Workshop,
    ready: Box<Ready>,
) -> Result<(), Lost> {
    let Ready { raw, prepared, .. } = *ready;
    let tenant = raw.id;
    if is_news(known, tenant, raw.revision) {
        apply(sync, known, vec![raw], Vec::new(), Told::Everything).await?;
    }
    drop(prepared);
    if workshop.waits(tenant) {
        // What was heard of it meanwhile, such as a revoked key, may need no detector that is not there now.
        load(sync, known, workshop, vec![tenant], Vec::new(), Told::Everything).await?;
    }
    Ok(())
}

/// Takes tenants over and publishes them.
async fn apply(
    sync: &PolicySync,
    known: &mut Known,
    loaded: Vec<RawTenant>,
    removed: Vec<TenantId>,
    told: Told,
) -> Result<Vec<Rejected>, Lost> {
    let changed: Vec<_> = loaded.iter().map(|raw| raw.id).collect();
    let before = known.snapshot().cloned();
    let refused = known.apply(&sync.builder, loaded, removed).await?;
    publish(sync, known, before.as_deref(), &changed, &refused);
    if told == Told::Everything {
        acknowledge(sync, known, &changed, &refused).await?;
    }
    Ok(refused)
}

/// Puts the new snapshot in front of requests, then tells the observer what is new in it.
fn publish(
    sync: &PolicySync,
    known: &Known,
    before: Option<&Snapshot>,
    loaded: &[TenantId],
    refused: &[Rejected],
) {
    let Some(snapshot) = known.snapshot() else { return };
    let is_first = sync.handle.load().is_none();
    sync.handle.publish(Arc::clone(snapshot));
    let now = Utc::now();
    sync.observer.published(snapshot);
    for Rejected { tenant, revision, reason } in refused {
        match tenant {
            Some(tenant) => warn!(%tenant, %revision, reason, "policy update rejected"),
            None => warn!(%revision, reason, "platform policy rejected"),
        }
        sync.observer.rejected(*tenant, *revision, reason);
    }
    // What was there when this node started did not propagate; it was found.
    for tenant in loaded.iter().filter(|_| !is_first).filter_map(|tenant| snapshot.tenant(*tenant)) {
        let was = before.and_then(|before| before.tenant(tenant.id())).map(Tenant::revision);
        if tenant.rejection().is_none() && was != Some(tenant.revision()) {
            let propagation = (now - tenant.changed_at()).to_std().unwrap_or_default();
            let micros = propagation.as_micros();
            debug!(tenant = %tenant.id(), revision = %tenant.revision(), propagation_us = micros, "policy applied");
            sync.observer.applied(tenant.id(), tenant.revision(), propagation);
        }
    }
}

/// Writes what was judged, for those who wait for a revision to be live.
async fn acknowledge(
    sync: &PolicySync,
    known: &Known,
    tenants: &[TenantId],
    refused: &[Rejected],
) -> Result<(), Lost> {
    let Some(snapshot) = known.snapshot() else { return Ok(()) };
    let mut verdicts: BTreeMap<TenantId, Verdict> = BTreeMap::new();
    for tenant in tenants.iter().filter_map(|tenant| snapshot.tenant(*tenant)) {
        let live = tenant.policy().map(|policy| policy.revision());
        let reason = tenant.rejection().map(str::to_owned);
        let verdict = Verdict { tenant: tenant.id(), revision: tenant.revision(), refused: reason, live };
        verdicts.insert(tenant.id(), verdict);
    }
    for Rejected { tenant, revision, reason } in refused {
        let Some(tenant) = tenant else { continue };
        let live =
            snapshot.tenant(*tenant).and_then(|tenant| tenant.policy()).map(|policy| policy.revision());
        let verdict = Verdict { tenant: *tenant, revision: *revision, refused: Some(reason.clone()), live };
        verdicts.insert(*tenant, verdict);
    }
    if verdicts.is_empty() {
        return Ok(());
    }
    let verdicts: Vec<_> = verdicts.into_values().collect();
    answer(system::record_verdicts(&sync.store, &sync.config.node, &verdicts)).await
}
