//! `noisy [--quick]`: what a tenant notices of another one that asks for twenty times its limits. See `benches/README.md`.
//!
//! Fails if one request of the quiet tenant is not answered as it must be.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use bulkhead_benches::agent_body::small_request;
use bulkhead_benches::driver::{self, Target};
use bulkhead_benches::measure::{percentile, raise_file_limit};
use bulkhead_benches::noise::{Noise, Noisy, policy};
use bulkhead_benches::scenario::{Kind, Scenario};
use bulkhead_benches::subject::{address_of, start_bulkhead};
use bulkhead_benches::upstream;
use bulkhead_tests::Bulkhead;
use clap::Parser;

/// The most that the quiet tenant's p99 may grow because it shares a proxy with the noise.
const TARGET: f64 = 1.2;
/// How often the quiet tenant asks.
const EVERY: Duration = Duration::from_millis(40);
/// Between two policies of the noisy tenant.
const PUBLISH_EVERY: Duration = Duration::from_millis(500);

/// Compares a quiet tenant alone with the same beside a noisy one.
#[derive(Debug, Parser)]
struct Arguments {
    /// One short round: shows that everything works, not how much is noticed.
    #[arg(long)]
    quick: bool,
    /// Rounds in which quiet and noise take turns.
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds for each.
    #[arg(long)]
    seconds: Option<u64>,
    /// Makes only noise whose name contains this.
    #[arg(long)]
    only: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    raise_file_limit()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(compare(&arguments))
}

/// What the quiet tenant has seen of one kind of noise: microseconds, a list for each round.
#[derive(Debug, Default)]
struct Line {
    name: &'static str,
    alone: Vec<Vec<u32>>,
    /// The noise is at another proxy on the same machine.
    elsewhere: Vec<Vec<u32>>,
    beside: Vec<Vec<u32>>,
    asked: u64,
    served: u64,
}

/// A proxy with a noisy tenant.
struct Subject {
    bulkhead: Bulkhead,
    noisy: Target,
    upstreams: String,
    /// Policies that the noisy tenant has had.
    published: usize,
}

impl Subject {
    async fn start(upstream: SocketAddr, clock: Instant) -> anyhow::Result<Self> {
        let bulkhead = start_bulkhead(upstream).await;
        let upstreams = format!(
            "upstreams: {{ openai: {{ base_url: \"http://{upstream}\", dialect: openai, credential: provider }} }}\n"
        );
        let tenant = bulkhead.tenant("noisy", "sk-noisy", &policy(&upstreams, 0)).await;
        let address = address_of(&bulkhead)?;
        let noisy = Target { address, key: Arc::from(tenant.key.as_str()), masks: false, clock };
        Ok(Self { bulkhead, noisy, upstreams, published: 0 })
    }

    /// The first tenant of it, who asks little.
    fn quiet(&self) -> Target {
        let key = Arc::from(self.bulkhead.ready.api_key.as_str());
        Target { key, masks: true, ..self.noisy.clone() }
    }

    /// Runs `quiet` beside noise; returns what it gives, and how often the noise asked and was served.
    async fn with_noise<T>(
        &mut self,
        kinds: &[Noise],
        quiet: impl Future<Output = T>,
    ) -> anyhow::Result<(T, (u64, u64))> {
        let noise = Noisy::start(kinds, &self.noisy)?;
        let seen = if kinds.contains(&Noise::Policies) { self.publishing(quiet).await } else { quiet.await };
        Ok((seen, noise.stop()?))
    }

    /// Publishes policies of the noisy tenant while `quiet` runs.
    async fn publishing<T>(&mut self, quiet: impl Future<Output = T>) -> T {
        let done = AtomicBool::new(false);
        let publish = async {
            while !done.load(Ordering::Acquire) {
                self.published += 1;
                let file = self.bulkhead.write("noise", &policy(&self.upstreams, self.published));
                let file = file.to_str().unwrap_or_default();
                self.bulkhead.cli(&["policy", "apply", file, "--tenant", "noisy"]).await.ok();
                tokio::time::sleep(PUBLISH_EVERY).await;
            }
        };
        let quiet = async {
            let seen = quiet.await;
            done.store(true, Ordering::Release);
            seen
        };
        tokio::join!(quiet, publish).0
    }
}

async fn compare(arguments: &Arguments) -> anyhow::Result<()> {
    let clock = Instant::now();
    let upstream = upstream::start(clock)?;
    let mut shared = Subject::start(upstream, clock).await?;
    let mut other = Subject::start(upstream, clock).await?;
    let quiet = shared.quiet();

    let rounds = arguments.rounds.unwrap_or(if arguments.quick { 1 } else { 5 });
    let time = Duration::from_secs(arguments.seconds.unwrap_or(if arguments.quick { 2 } else { 8 }));
    let mut kinds: Vec<(&'static str, Vec<Noise>)> =
        Noise::ALL.map(|noise| (noise.as_str(), vec![noise])).to_vec();
    kinds.push(("all of it", Noise::ALL.to_vec()));
    kinds.retain(|(name, _)| arguments.only.as_ref().is_none_or(|only| name.contains(only.as_str())));
    let mut lines: Vec<Line> = kinds.iter().map(|(name, _)| Line { name, ..Line::default() }).collect();
    ask(&quiet, time / 4).await?;
    for round in 0..rounds {
        for ((name, kinds), line) in kinds.iter().zip(&mut lines) {
            eprintln!("round {} of {rounds}: {name}", round + 1);
            line.alone.push(ask(&quiet, time).await?);
            let (seen, _) = other.with_noise(kinds, ask(&quiet, time)).await?;
            line.elsewhere.push(seen?);
            let (seen, (asked, served)) = shared.with_noise(kinds, ask(&quiet, time)).await?;
            line.beside.push(seen.with_context(|| format!("the quiet tenant beside {name}"))?);
            (line.asked, line.served) = (line.asked + asked, line.served + served);
        }
    }
    report(lines)
}

/// The quiet tenant's requests, each from the moment at which it was due; sorted microseconds.
async fn ask(quiet: &Target, time: Duration) -> anyhow::Result<Vec<u32>> {
    let scenario = Scenario {
        name: "quiet",
        kind: Kind::Json,
        body: small_request(Kind::Json.model(), 1024, false).into(),
        connections: 4,
        fresh: false,
        requests_each: None,
    };
    Ok(driver::run_paced(quiet, &scenario, EVERY, time).await?.latencies)
}

fn report(lines: Vec<Line>) -> anyhow::Result<()> {
    let mut text = format!(
        "\n{:12} {:>10} {:>10} {:>10} {:>10} {:>11} {:>9} {:>9} {:>9}\n",
        "noise", "p50 alone", "p99 alone", "elsewhere", "beside", "x elsewhere", "x alone", "asked", "served"
    );
    let (mut worst, mut worst_of_machine): (f64, f64) = (0.0, 0.0);
    for Line { name, alone, elsewhere, beside, asked, served } in lines {
        let p50 = median_of(&alone, 50);
        let [alone, elsewhere, beside] = [&alone, &elsewhere, &beside].map(|rounds| median_of(rounds, 99));
        let times = |before: u32| f64::from(beside) / f64::from(before.max(1));
        worst = worst.max(times(elsewhere));
        worst_of_machine = worst_of_machine.max(times(alone));
        text += &format!(
            "{name:12} {p50:>7} us {alone:>7} us {elsewhere:>7} us {beside:>7} us {:>11.2} {:>9.2} {asked:>9} {served:>9}\n",
            times(elsewhere),
            times(alone)
        );
    }
    let verdict = if worst <= TARGET { "within" } else { "beyond" };
    text += &format!(
        "the worst p99 is {worst:.2} x that beside the same noise at another proxy, {verdict} the target of {TARGET}, and \
         {worst_of_machine:.2} x that alone; no request of the quiet tenant failed\n"
    );
    Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
}

/// The median of the rounds' percentiles: one round in which the machine stood still decides nothing.
fn median_of(rounds: &[Vec<u32>], per_cent: usize) -> u32 {
    let mut rounds: Vec<u32> = rounds.iter().map(|latencies| percentile(latencies, per_cent)).collect();
    rounds.sort_unstable();
    percentile(&rounds, 50)
}
