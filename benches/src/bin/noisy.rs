//! `noisy [--quick]`: what a tenant notices of another one that asks for twenty times its limits. See `benches/README.md`.
//!
//! Fails if one request of the quiet tenant is not answered as it must be.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use bulkhead_benches::agent_body::small_request;
use bulkhead_benches::driver::{self, Target};
use bulkhead_benches::measure::{percentile, raise_file_limit};
use bulkhead_benches::noise::{Noise, Noisy, policy};
use bulkhead_benches::scenario::{Kind, Scenario};
use bulkhead_benches::subject::{POLICY, address_of};
use bulkhead_benches::upstream;
use bulkhead_tests::{Bulkhead, Options};
use clap::Parser;

/// The most that the quiet tenant's p99 may grow.
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
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    raise_file_limit()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(compare(&arguments))
}

/// What the quiet tenant has seen beside one kind of noise.
#[derive(Debug, Default)]
struct Line {
    name: &'static str,
    alone: Vec<u32>,
    beside: Vec<u32>,
    asked: u64,
    served: u64,
}

async fn compare(arguments: &Arguments) -> anyhow::Result<()> {
    let clock = Instant::now();
    let upstream = upstream::start(clock)?;
    let options = Options {
        policy: Some(POLICY.to_owned()),
        upstream: Some(format!("http://{upstream}")),
        arguments: vec!["--threads".to_owned(), "1".to_owned()],
        ..Options::default()
    };
    let bulkhead = Bulkhead::start(options).await;
    let upstreams = format!(
        "upstreams: {{ openai: {{ base_url: \"http://{upstream}\", dialect: openai, credential: provider }} }}\n"
    );
    let noisy = bulkhead.tenant("noisy", "sk-noisy", &policy(&upstreams, 0)).await;
    let address = address_of(&bulkhead)?;
    let target = |key: &str, masks| Target { address, key: Arc::from(key), masks, clock };
    let (quiet, noisy) = (target(&bulkhead.ready.api_key, true), target(&noisy.key, false));

    let rounds = arguments.rounds.unwrap_or(if arguments.quick { 1 } else { 5 });
    let time = Duration::from_secs(arguments.seconds.unwrap_or(if arguments.quick { 2 } else { 8 }));
    let mut kinds: Vec<(&'static str, Vec<Noise>)> =
        Noise::ALL.map(|noise| (noise.as_str(), vec![noise])).to_vec();
    kinds.push(("all of it", Noise::ALL.to_vec()));
    let mut lines: Vec<Line> = kinds.iter().map(|(name, _)| Line { name, ..Line::default() }).collect();
    let mut published = 0;
    ask(&quiet, time / 4).await?;
    for round in 0..rounds {
        for ((name, kinds), line) in kinds.iter().zip(&mut lines) {
            eprintln!("round {} of {rounds}: {name}", round + 1);
            line.alone.extend(ask(&quiet, time).await?);
            let noise = Noisy::start(kinds, &noisy)?;
            let publish = kinds.contains(&Noise::Policies);
            let asked = beside(&bulkhead, &upstreams, publish.then_some(&mut published), ask(&quiet, time));
            line.beside.extend(asked.await.with_context(|| format!("the quiet tenant beside {name}"))?);
            let (asked, served) = noise.stop()?;
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

/// Publishes policies of the noisy tenant while `quiet` runs.
async fn beside<T>(
    bulkhead: &Bulkhead,
    upstreams: &str,
    published: Option<&mut usize>,
    quiet: impl Future<Output = T>,
) -> T {
    let Some(published) = published else { return quiet.await };
    let done = AtomicBool::new(false);
    let publish = async {
        while !done.load(Ordering::Acquire) {
            *published += 1;
            let file = bulkhead.write("noise", &policy(upstreams, *published));
            let file = file.to_str().unwrap_or_default();
            bulkhead.cli(&["policy", "apply", file, "--tenant", "noisy"]).await.ok();
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

fn report(lines: Vec<Line>) -> anyhow::Result<()> {
    let mut text = format!(
        "\n{:12} {:>10} {:>10} {:>10} {:>10} {:>8} {:>8} {:>9} {:>9}\n",
        "noise", "p50 alone", "p50 beside", "p99 alone", "p99 beside", "x p50", "x p99", "asked", "served"
    );
    let mut worst: f64 = 0.0;
    for Line { name, mut alone, mut beside, asked, served } in lines {
        alone.sort_unstable();
        beside.sort_unstable();
        let at = |per_cent| (percentile(&alone, per_cent), percentile(&beside, per_cent));
        let ratio = |(alone, beside): (u32, u32)| f64::from(beside) / f64::from(alone.max(1));
        let (p50, p99) = (at(50), at(99));
        worst = worst.max(ratio(p99));
        text += &format!(
            "{name:12} {:>7} us {:>7} us {:>7} us {:>7} us {:>8.2} {:>8.2} {asked:>9} {served:>9}\n",
            p50.0,
            p50.1,
            p99.0,
            p99.1,
            ratio(p50),
            ratio(p99)
        );
    }
    let verdict = if worst <= TARGET { "within" } else { "beyond" };
    text += &format!(
        "the worst p99 is {worst:.2} x that alone, {verdict} the target of {TARGET}; no request of the quiet tenant failed\n"
    );
    Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
}
