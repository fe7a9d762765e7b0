//! How long a policy change and a key's revocation take until three nodes enforce them, while requests run.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use bulkhead_tests::shapes::chat;
use bulkhead_tests::{Bulkhead, Client, Options};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::driver::{Check, Connection, Target};
use crate::measure::percentile;
use crate::scenario::{Kind, Scenario};
use crate::subject::{POLICY, Subjects, address_of};

/// What the changes have shown.
#[derive(Clone, Debug)]
pub struct Propagation {
    /// Requests served meanwhile; none failed.
    pub requests: u64,
    /// From a policy's commit until all nodes answered under the new revision.
    pub applied: Changes,
    /// From a key's revocation until all nodes refused it.
    pub revoked: Changes,
    /// The same two while the database tells nobody.
    pub applied_untold: Changes,
    /// As before.
    pub revoked_untold: Changes,
}

/// Changes of one kind.
#[derive(Clone, Debug)]
pub struct Changes {
    /// Sorted microseconds of each, as callers see it.
    pub seen: Vec<u32>,
    /// The nodes' own histograms of commit to publication, added up: upper bound in seconds, cumulative count.
    pub published: Vec<(f64, u64)>,
}

/// Between two requests of one caller: the nodes are busy, but no request waits for the processor. What is measured is the
/// propagation, not a queue.
const PACE: Duration = Duration::from_millis(10);

/// Three nodes under load.
struct Nodes<'a> {
    first: &'a Bulkhead,
    beside: [Bulkhead; 2],
    /// The newest revision that each has answered under.
    newest: [Arc<AtomicU64>; 3],
    stop: Arc<AtomicBool>,
    load: JoinSet<anyhow::Result<u64>>,
}

/// Changes the demo tenant's policy `changes` times under load, and revokes keys.
///
/// # Errors
/// If a request fails, or a change is not enforced within ten seconds.
pub async fn measure(
    subjects: &Subjects,
    target: &Target,
    scenario: &Scenario,
    changes: usize,
) -> anyhow::Result<Propagation> {
    let mut nodes = Nodes::start(&subjects.bulkhead, target, scenario).await?;
    let applied = nodes.apply(0..changes).await?;
    let revoked = nodes.revoke(changes / 5).await?;
    // Only looking for changes finds them now.
    nodes.first.sql("alter table tenants disable trigger announce");
    let untold = changes.div_ceil(10);
    let applied_untold = nodes.apply(changes..changes + untold).await?;
    let revoked_untold = nodes.revoke(untold).await?;
    nodes.first.sql("alter table tenants enable trigger announce");
    let requests = nodes.stop().await?;
    Ok(Propagation { requests, applied, revoked, applied_untold, revoked_untold })
}

impl<'a> Nodes<'a> {
    async fn start(first: &'a Bulkhead, target: &Target, scenario: &Scenario) -> anyhow::Result<Self> {
        let folder = first.data_dir().display().to_string();
        let beside = || {
            let arguments = ["--beside", &folder, "--threads", "1"].map(str::to_owned).to_vec();
            Bulkhead::start(Options { arguments, ..Options::default() })
        };
        let beside = [beside().await, beside().await];
        let newest: [Arc<AtomicU64>; 3] = Default::default();
        let stop = Arc::new(AtomicBool::new(false));
        let mut load = JoinSet::new();
        for (node, newest) in [first].into_iter().chain(&beside).zip(&newest) {
            let target = Target { address: address_of(node)?, ..target.clone() };
            for _ in 0..2 {
                load.spawn(requests(target.clone(), scenario.clone(), Arc::clone(newest), Arc::clone(&stop)));
            }
        }
        // What a node answers under at first is no change.
        while newest.iter().any(|newest| newest.load(Ordering::Acquire) == 0) {
            tokio::time::sleep(PACE).await;
        }
        Ok(Self { first, beside, newest, stop, load })
    }

    fn all(&self) -> impl Iterator<Item = &Bulkhead> {
        [self.first].into_iter().chain(&self.beside)
    }

    /// Applies policies, one after the other.
    async fn apply(&self, changes: Range<usize>) -> anyhow::Result<Changes> {
        let before = self.histogram().await;
        let mut seen = Vec::new();
        for change in changes {
            seen.push(self.apply_one(change).await?);
        }
        Ok(Changes::since(&before, &self.histogram().await, seen))
    }

    /// Applies a policy; microseconds until the last node enforces it.
    async fn apply_one(&self, change: usize) -> anyhow::Result<u32> {
        let seen = self.newest.each_ref().map(|newest| newest.load(Ordering::Acquire));
        let policy = POLICY.replace("100000000,", &format!("{},", 100_000_000 + change));
        let apply = self.first.apply(&self.first.ready.tenant, &policy);
        let enforced = async {
            while self.newest.iter().zip(seen).any(|(newest, seen)| newest.load(Ordering::Acquire) <= seen) {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            SystemTime::now()
        };
        let (printed, enforced) =
            tokio::join!(apply, tokio::time::timeout(Duration::from_secs(10), enforced));
        ensure!(printed.code == Some(0), "policy apply: {}{}", printed.out, printed.err);
        self.since_commit(enforced.context("the change is not enforced within ten seconds")?)
    }

    /// Microseconds from the tenant's newest change, by the clock of the database, which is this machine's.
    fn since_commit(&self, enforced: SystemTime) -> anyhow::Result<u32> {
        let tenant = &self.first.ready.tenant;
        let changed = self.first.sql(&format!(
            "select (extract(epoch from changed_at) * 1000000)::bigint from tenants where name = '{tenant}'"
        ));
        let changed = UNIX_EPOCH + Duration::from_micros(changed.trim().parse()?);
        let took = enforced.duration_since(changed).context("enforced before it was committed")?;
        Ok(u32::try_from(took.as_micros())?)
    }

    /// Makes keys and revokes them, one after the other. Its histogram has the making, too.
    async fn revoke(&self, keys: usize) -> anyhow::Result<Changes> {
        let (tenant, agent) = (&self.first.ready.tenant, &self.first.ready.agent);
        let before = self.histogram().await;
        let mut seen = Vec::new();
        for _ in 0..keys {
            let key = self.first.new_key(tenant, agent, &[]).await;
            let clients: Vec<Client> = self.all().map(|node| node.client().with_key(&key)).collect();
            until_all_answer(&clients, 200).await?;
            let refused = async { until_all_answer(&clients, 401).await.map(|()| SystemTime::now()) };
            let (_, refused) = tokio::join!(self.first.revoke(tenant, &key), refused);
            seen.push(self.since_commit(refused?)?);
        }
        Ok(Changes::since(&before, &self.histogram().await, seen))
    }

    async fn histogram(&self) -> Vec<(f64, u64)> {
        let mut sum: Vec<(f64, u64)> = Vec::new();
        for node in self.all() {
            let buckets = histogram(&node.metrics().await);
            sum.resize(buckets.len().max(sum.len()), (0.0, 0));
            for (sum, (bound, count)) in sum.iter_mut().zip(buckets) {
                *sum = (bound, sum.1 + count);
            }
        }
        sum
    }

    async fn stop(&mut self) -> anyhow::Result<u64> {
        self.stop.store(true, Ordering::Release);
        let mut requests = 0;
        while let Some(served) = self.load.join_next().await {
            requests += served?.context("a request failed while policies changed")?;
        }
        Ok(requests)
    }
}

async fn until_all_answer(clients: &[Client], status: u16) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    for client in clients {
        while client.post("/v1/chat/completions", &chat(Kind::Json.model(), "hi")).await.status != status {
            ensure!(Instant::now() < deadline, "not every node answers {status} within ten seconds");
        }
    }
    Ok(())
}

impl Changes {
    fn since(before: &[(f64, u64)], after: &[(f64, u64)], mut seen: Vec<u32>) -> Self {
        seen.sort_unstable();
        let published =
            after.iter().zip(before).map(|((bound, count), (_, earlier))| (*bound, count - earlier));
        Self { seen, published: published.collect() }
    }

    /// The bucket that this part of the publications is in.
    fn published_within(&self, per_cent: u64) -> String {
        let total = self.published.last().map_or(0, |(_, count)| *count);
        let bucket = self.published.iter().find(|(_, count)| count * 100 >= total * per_cent);
        let bound = bucket.filter(|_| total > 0);
        bound.map_or_else(|| "-".to_owned(), |(bound, _)| format!("< {} ms", bound * 1000.0))
    }
}

impl Propagation {
    /// The table.
    #[must_use]
    pub fn table(&self) -> String {
        let rows = [
            ("policy", &self.applied),
            ("revoked key", &self.revoked),
            ("policy, notifications suppressed", &self.applied_untold),
            ("revoked key, notifications suppressed", &self.revoked_untold),
        ];
        let mut table = format!(
            "\nPropagation to three nodes, while they served {} requests and none failed\n  \
             {:<40}{:>6}  {:>24}  {:>30}\n",
            self.requests, "", "times", "published p50, p99", "enforced by all p50, p99"
        );
        for (name, changes) in rows {
            let published = format!("{}, {}", changes.published_within(50), changes.published_within(99));
            let at = |per_cent| f64::from(percentile(&changes.seen, per_cent)) / 1000.0;
            let seen = format!("{:.1} ms, {:.1} ms", at(50), at(99));
            let times = changes.seen.len();
            table.push_str(&format!("  {name:<40}{times:>6}  {published:>24}  {seen:>30}\n"));
        }
        table
    }
}

async fn requests(
    target: Target,
    scenario: Scenario,
    newest: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<u64> {
    let mut connection = Connection::open(&target).await?;
    let mut served = 0;
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !stop.load(Ordering::Acquire) {
        pace.tick().await;
        let mut check = Check::new(Kind::Json, &target);
        let revision = connection.ask(&target, scenario.body.clone(), &mut check, || ()).await?;
        newest.fetch_max(revision.context("an answer without a policy revision")?, Ordering::AcqRel);
        served += 1;
    }
    Ok(served)
}

/// The buckets of the propagation histogram, in ascending order.
fn histogram(metrics: &str) -> Vec<(f64, u64)> {
    let bucket = |line: &str| {
        let rest = line.strip_prefix("bulkhead_policy_propagation_seconds_bucket{le=\"")?;
        let (bound, count) = rest.split_once("\"} ")?;
        let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
        Some((bound, count.trim().parse().ok()?))
    };
    metrics.lines().filter_map(bucket).collect()
}
