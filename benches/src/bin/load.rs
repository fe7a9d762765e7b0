//! `load [--quick]`: compares the upstream alone, a bare pass-through and Bulkhead. See `benches/README.md`.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bulkhead_benches::agent_body::small_request;
use bulkhead_benches::measure::{cpu_time, raise_file_limit, resident_bytes};
use bulkhead_benches::report::{self, Run};
use bulkhead_benches::scenario::{Kind, Scenario, scenarios};
use bulkhead_benches::subject::{Name, Subjects};
use bulkhead_benches::{driver, propagation, upstream};
use clap::Parser;

/// Compares Bulkhead with a bare pass-through; every answer is checked.
#[derive(Debug, Parser)]
struct Arguments {
    /// One short round: shows that everything works, not how fast it is.
    #[arg(long)]
    quick: bool,
    /// Rounds in which the systems take turns.
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds that each system has for each scenario in each round.
    #[arg(long)]
    seconds: Option<u64>,
    /// Runs only scenarios whose name contains this; `memory` and `propagation` are two, too.
    #[arg(long)]
    only: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    raise_file_limit()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(compare(&arguments))
}

async fn compare(arguments: &Arguments) -> anyhow::Result<()> {
    let clock = Instant::now();
    let subjects = Subjects::start(upstream::start(clock)?, clock).await?;
    let rounds = arguments.rounds.unwrap_or(if arguments.quick { 1 } else { 3 });
    let time = Duration::from_secs(arguments.seconds.unwrap_or(if arguments.quick { 1 } else { 4 }));
    let is_wanted = |name: &str| arguments.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let scenarios = scenarios(arguments.quick);

    let mut runs = Vec::new();
    for round in 0..rounds {
        for scenario in scenarios.iter().filter(|scenario| is_wanted(scenario.name)) {
            for system in Name::ALL {
                eprintln!("round {} of {rounds}: {}, {}", round + 1, scenario.name, system.as_str());
                runs.push(measure(&subjects, scenario, system, time).await?);
            }
        }
    }
    print(&report::table(&runs))?;
    if is_wanted("memory") {
        let streams = if arguments.quick { 100 } else { 1000 };
        print(&memory(&subjects, streams).await?)?;
    }
    if is_wanted("propagation") {
        let json = scenarios.first().context("a scenario")?;
        let target = subjects.target(Name::Bulkhead)?;
        let changes = if arguments.quick { 5 } else { 50 };
        print(&propagation::measure(&subjects, &target, json, changes).await?.table())?;
    }
    Ok(())
}

/// Runs one scenario once, after a warm-up that opens the connections to the upstream.
async fn measure(
    subjects: &Subjects,
    scenario: &Scenario,
    system: Name,
    time: Duration,
) -> anyhow::Result<Run> {
    let target = subjects.target(system)?;
    let pid = subjects.pid(system);
    let context = || format!("{}, {}", scenario.name, system.as_str());
    if scenario.requests_each.is_none() {
        driver::run(&target, scenario, time / 10).await.with_context(context)?;
    }
    let before = pid.map(cpu_time).transpose()?;
    let sample = driver::run(&target, scenario, time).await.with_context(context)?;
    let cpu = pid.map(cpu_time).transpose()?.zip(before).map(|(after, before)| after.saturating_sub(before));
    ensure!(sample.requests > 0, "{}: no request was answered", context());
    Ok(Run { scenario: scenario.name, events: scenario.kind.events(), system, sample, cpu })
}

async fn memory(subjects: &Subjects, streams: usize) -> anyhow::Result<String> {
    let body = small_request(Kind::Held.model(), 1024, true).into();
    let mut rows = Vec::new();
    for system in [Name::Bare, Name::Bulkhead] {
        eprintln!("{streams} live streams: {}", system.as_str());
        let pid = subjects.pid(system).context("a process")?;
        let before = resident_bytes(pid)?;
        let with = driver::hold(&subjects.target(system)?, &body, streams, || resident_bytes(pid)).await??;
        rows.push((system, before, with));
    }
    Ok(report::memory(streams, &rows))
}

fn print(text: &str) -> anyhow::Result<()> {
    Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
}
