//! How long a policy change takes until it is enforced, while requests run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::task::JoinSet;

use crate::driver::{Check, Connection, Target};
use crate::measure::percentile;
use crate::scenario::{Kind, Scenario};
use crate::subject::{POLICY, Subjects};

/// What the changes have shown.
#[derive(Clone, Debug)]
pub struct Propagation {
    /// Changes made.
    pub changes: usize,
    /// Requests served meanwhile; none failed.
    pub requests: u64,
    /// Sorted microseconds from the start of `policy apply` to the first answer under the new revision.
    pub applied: Vec<u32>,
    /// The node's own histogram of commit to publication: upper bound in seconds, cumulative count.
    pub published: Vec<(f64, u64)>,
}

/// Changes the demo tenant's policy `changes` times under load.
///
/// # Errors
/// If a request fails, or a change is not enforced within ten seconds.
pub async fn measure(
    subjects: &Subjects,
    target: &Target,
    scenario: &Scenario,
    changes: usize,
) -> anyhow::Result<Propagation> {
    let before = histogram(&subjects.bulkhead.metrics().await);
    let newest = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for _ in 0..4 {
        load.spawn(requests(target.clone(), scenario.clone(), Arc::clone(&newest), Arc::clone(&stop)));
    }
    let mut applied = Vec::with_capacity(changes);
    for change in 0..changes {
        let seen = newest.load(Ordering::Acquire);
        let policy = POLICY.replace("100000000,", &format!("{},", 100_000_000 + change));
        let start = Instant::now();
        let apply = subjects.bulkhead.apply(&subjects.bulkhead.ready.tenant, &policy);
        let enforced = async {
            while newest.load(Ordering::Acquire) <= seen {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            start.elapsed()
        };
        let (printed, enforced) =
            tokio::join!(apply, tokio::time::timeout(Duration::from_secs(10), enforced));
        ensure!(printed.code == Some(0), "policy apply: {}{}", printed.out, printed.err);
        let enforced = enforced.context("the change is not enforced within ten seconds")?;
        applied.push(u32::try_from(enforced.as_micros()).unwrap_or(u32::MAX));
    }
    stop.store(true, Ordering::Release);
    let mut requests = 0;
    while let Some(served) = load.join_next().await {
        requests += served?.context("a request failed while policies changed")?;
    }
    applied.sort_unstable();
    let after = histogram(&subjects.bulkhead.metrics().await);
    let published = after
        .iter()
        .map(|(bound, count)| {
            let earlier =
                before.iter().find(|(b, _)| b.total_cmp(bound).is_eq()).map_or(0, |(_, count)| *count);
            (*bound, count.saturating_sub(earlier))
        })
        .collect();
    Ok(Propagation { changes, requests, applied, published })
}

impl Propagation {
    /// The table.
    #[must_use]
    pub fn table(&self) -> String {
        let bound = |per_cent: u64| {
            let total = self.published.last().map_or(0, |(_, count)| *count);
            let bucket = self.published.iter().find(|(_, count)| count * 100 >= total * per_cent);
            bucket
                .filter(|_| total > 0)
                .map_or_else(|| "-".to_owned(), |(bound, _)| format!("< {} ms", bound * 1000.0))
        };
        let millis = |per_cent: usize| f64::from(percentile(&self.applied, per_cent)) / 1000.0;
        format!(
            "\nPolicy propagation, {} changes while {} requests were served and none failed\n  \
             commit to publication on the node (its own histogram): p50 {}, p99 {}\n  \
             start of `policy apply` to the first answer under the new revision: p50 {:.1} ms, p99 {:.1} ms\n",
            self.changes,
            self.requests,
            bound(50),
            bound(99),
            millis(50),
            millis(99),
        )
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
    while !stop.load(Ordering::Acquire) {
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
