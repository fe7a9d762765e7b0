//! `endure [--kills N] [--freeze SECONDS]`: kills and freezes under load, then counts. See `benches/README.md`.
//!
//! Fails if a request whose last byte a client received has no row or two, or a charge is missing or doubled.

use std::collections::HashSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bulkhead_tests::load::{Answered, Load};
use bulkhead_tests::postgres::Frozen;
use bulkhead_tests::{Bulkhead, FakeProvider, Options};
use clap::Parser;

/// Counts every request; far more than are sent.
const POLICY: &str = "budgets: [{ id: all, scope: tenant, unit: requests, limit: 1000000000, window: total, at_limit: refuse, when_unreachable: allow }]";
const MODEL: &str = "gpt-endure";
/// How long the standstill's figures are compared with.
const STEADY: Duration = Duration::from_secs(30);
const CALLERS: usize = 32;
/// With what an answer takes, a little over 500 requests a second.
const PACE: Duration = Duration::from_millis(55);

/// Kills and freezes what runs, and counts what is left.
#[derive(Debug, Parser)]
struct Arguments {
    /// How often the proxy is killed.
    #[arg(long, default_value_t = 20)]
    kills: usize,
    /// How often PostgreSQL is killed.
    #[arg(long, default_value_t = 3)]
    database_kills: usize,
    /// Fills the spool's disk too, which needs the right to mount one.
    #[arg(long)]
    full_disk: bool,
    /// Seconds that PostgreSQL stands still.
    #[arg(long, default_value_t = 60)]
    freeze: u64,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    bulkhead_tests::run(endure(&arguments))
}

async fn endure(arguments: &Arguments) -> anyhow::Result<()> {
    let provider = FakeProvider::start().await;
    let options =
        Options { upstream: Some(provider.url()), policy: Some(POLICY.to_owned()), ..Options::default() };
    let mut bulkhead = Bulkhead::start(options).await;
    let mut answered = Vec::new();

    for kill in 1..=arguments.kills {
        let load = Load::start(&bulkhead.client(), CALLERS, PACE, MODEL);
        // Not always at the same moment of whatever goes on inside.
        load.more(400 + 37 * kill).await;
        bulkhead.kill_9();
        answered.extend(load.stop().await.into_iter().map(|answer| answer.id));
        bulkhead.restart().await;
    }
    say(&format!("proxy killed {} times", arguments.kills))?;

    for _ in 0..arguments.database_kills {
        let load = Load::start(&bulkhead.client(), CALLERS, PACE, MODEL);
        load.more(500).await;
        bulkhead.kill_postgres().await;
        load.more(1_000).await;
        answered.extend(load.stop().await.into_iter().map(|answer| answer.id));
    }
    say(&format!("PostgreSQL killed {} times", arguments.database_kills))?;

    let steady = period(&bulkhead, STEADY).await;
    say(&format!("steady: {}", figures(&steady, STEADY)))?;
    answered.extend(steady.iter().map(|answer| answer.id.clone()));
    let waiting = Duration::from_secs(arguments.freeze);
    let frozen = Frozen::of(&bulkhead);
    let outage = period(&bulkhead, waiting).await;
    drop(frozen);
    let drained = drained(&bulkhead).await?;
    say(&format!(
        "PostgreSQL frozen: {}; p99 is {:.2} x that before; backlog drained in {:.1} s",
        figures(&outage, waiting),
        p99(&outage).as_secs_f64() / p99(&steady).as_secs_f64(),
        drained.as_secs_f64()
    ))?;
    answered.extend(outage.into_iter().map(|answer| answer.id));
    count(&bulkhead, &answered, 0)?;
    if arguments.full_disk {
        let disk = Disk::below(&mut bulkhead).await?;
        answered.extend(full(&bulkhead).await?);
        let dropped = metric(&bulkhead, "bulkhead_traces_dropped_total").await?;
        ensure!(dropped > 0, "the disk was never full");
        count(&bulkhead, &answered, dropped)?;
        bulkhead.kill_9();
        drop(disk);
    }
    Ok(())
}

/// Load while the spool's disk is full, and a little after it has room again.
async fn full(bulkhead: &Bulkhead) -> anyhow::Result<Vec<String>> {
    let frozen = Frozen::of(bulkhead);
    let mut answered = period(bulkhead, Duration::from_secs(20)).await;
    drop(frozen);
    let took = drained(bulkhead).await?;
    answered.extend(period(bulkhead, Duration::from_secs(2)).await);
    drained(bulkhead).await?;
    say(&format!("disk full: {} answered, backlog drained in {:.1} s", answered.len(), took.as_secs_f64()))?;
    Ok(answered.into_iter().map(|answer| answer.id).collect())
}

/// A small disk of its own; unmounted when dropped.
struct Disk(PathBuf);

impl Disk {
    /// Puts it below the spool.
    async fn below(bulkhead: &mut Bulkhead) -> anyhow::Result<Self> {
        bulkhead.sigterm();
        ensure!(bulkhead.exited().await == Some(0), "it stops");
        let place = bulkhead.data_dir().join("spool");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(&place).status()?;
        ensure!(mounted.success(), "mount a disk at {}", place.display());
        bulkhead.restart().await;
        Ok(Self(place))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _stays_mounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

async fn metric(bulkhead: &Bulkhead, name: &str) -> anyhow::Result<usize> {
    let metrics = bulkhead.metrics().await;
    let values = metrics.lines().filter(|line| line.starts_with(name) && !line.contains("body_only"));
    values.map(|line| Ok(line.rsplit(' ').next().unwrap_or_default().parse::<usize>()?)).sum()
}

/// Load for a while.
async fn period(bulkhead: &Bulkhead, time: Duration) -> Vec<Answered> {
    let load = Load::start(&bulkhead.client(), CALLERS, PACE, MODEL);
    tokio::time::sleep(time).await;
    load.stop().await
}

/// Waits until the spool is empty and says how long that took.
async fn drained(bulkhead: &Bulkhead) -> anyhow::Result<Duration> {
    let started = Instant::now();
    while !bulkhead.metrics().await.lines().any(|line| line == "bulkhead_spool_records 0") {
        ensure!(started.elapsed() < Duration::from_secs(600), "the spool is not empty after ten minutes");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(started.elapsed())
}

/// Compares what clients got with what is stored.
fn count(bulkhead: &Bulkhead, answered: &[String], dropped: usize) -> anyhow::Result<()> {
    let rows = bulkhead.sql("select id from traces");
    let rows: Vec<&str> = rows.lines().collect();
    let distinct: HashSet<&str> = rows.iter().copied().collect();
    let missing = answered.iter().filter(|id| !distinct.contains(id.as_str())).count();
    let doubled = rows.len() - distinct.len();
    let known: HashSet<&str> = answered.iter().map(String::as_str).collect();
    let unseen = distinct.difference(&known).count();
    let charged = bulkhead.sql("select sum(amount) from budget_usage where budget = 'all'");
    let charged: usize = charged.trim().parse().context("a sum of charges")?;
    let said = if dropped > 0 { format!(", {dropped} traces said to be dropped") } else { String::new() };
    say(&format!(
        "{} requests answered to the last byte: {missing} without a row, {doubled} rows doubled; {unseen} rows of requests \
         whose last byte a kill kept from the client; {charged} charges for {} rows{said}",
        answered.len(),
        rows.len()
    ))?;
    ensure!(missing == dropped && doubled == 0, "traces were lost or doubled");
    ensure!(charged == rows.len() + dropped, "charges were lost or doubled");
    Ok(())
}

fn figures(answers: &[Answered], time: Duration) -> String {
    format!(
        "{:.0} requests/s, p99 {:.1} ms",
        f64::from(u32::try_from(answers.len()).unwrap_or(u32::MAX)) / time.as_secs_f64(),
        p99(answers).as_secs_f64() * 1e3
    )
}

fn p99(answers: &[Answered]) -> Duration {
    let mut took: Vec<Duration> = answers.iter().map(|answer| answer.took).collect();
    took.sort_unstable();
    took.get(took.len() * 99 / 100).copied().unwrap_or_default()
}

fn say(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}
