//! The tables that the benchmark prints.

use std::fmt::Write as _;
use std::time::Duration;

use crate::driver::Sample;
use crate::measure::{median, percentile};
use crate::subject::Name;

/// One run of one scenario against one system.
#[derive(Clone, Debug)]
pub struct Run {
    /// The scenario.
    pub scenario: &'static str,
    /// Events per answer; 0 where it is no stream.
    pub events: usize,
    /// The system.
    pub system: Name,
    /// What was seen.
    pub sample: Sample,
    /// CPU time that the proxy's process used for it.
    pub cpu: Option<Duration>,
}

/// Medians over the rounds of one scenario and system.
struct Line {
    requests_per_second: f64,
    cpu_micros: Option<f64>,
    p50: f64,
    p99: f64,
}

impl Line {
    fn of(runs: &[&Run]) -> Self {
        let over = |value: &dyn Fn(&Run) -> f64| median(runs.iter().map(|run| value(run)).collect());
        let requests = |run: &Run| f64_of(run.sample.requests).max(1.0);
        let cpu: Vec<f64> = runs
            .iter()
            .filter_map(|run| run.cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / requests(run)))
            .collect();
        Self {
            requests_per_second: over(&|run| requests(run) / run.sample.elapsed.as_secs_f64()),
            cpu_micros: (!cpu.is_empty()).then(|| median(cpu)),
            p50: over(&|run| f64::from(percentile(&run.sample.latencies, 50))),
            p99: over(&|run| f64::from(percentile(&run.sample.latencies, 99))),
        }
    }
}

/// Requests of one run fit a float.
fn f64_of(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

/// A table per scenario, with ratios to the bare pass-through.
#[must_use]
pub fn table(runs: &[Run]) -> String {
    let mut out = String::new();
    let mut names: Vec<&str> = Vec::new();
    for run in runs {
        if !names.contains(&run.scenario) {
            names.push(run.scenario);
        }
    }
    for name in names {
        let of = |system: Name| -> Vec<&Run> {
            runs.iter().filter(|run| run.scenario == name && run.system == system).collect()
        };
        let events = of(Name::Bare).first().map_or(0, |run| run.events);
        let what = if events > 0 && name.contains("apart") { "event" } else { "answer" };
        let bare = Line::of(&of(Name::Bare));
        let _ = writeln!(out, "\n{name}");
        let _ = writeln!(
            out,
            "  {:<14}{:>12}{:>14}{:>11}{:>14}{:>14}",
            "",
            "requests/s",
            "CPU us/req",
            "x bare",
            format!("p50 us/{what}"),
            format!("p99 us/{what}")
        );
        for system in Name::ALL {
            let line = Line::of(&of(system));
            let cpu = line.cpu_micros.map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.1}"));
            let ratio = line
                .cpu_micros
                .zip(bare.cpu_micros)
                .map(|(own, bare)| format!("{:.2}", own / bare.max(0.001)));
            let _ = writeln!(
                out,
                "  {:<14}{:>12.0}{cpu:>14}{:>11}{:>14.0}{:>14.0}",
                system.as_str(),
                line.requests_per_second,
                ratio.unwrap_or_else(|| "-".to_owned()),
                line.p50,
                line.p99
            );
        }
    }
    out
}

/// Memory before and with many live streams.
#[must_use]
pub fn memory(streams: usize, rows: &[(Name, u64, u64)]) -> String {
    let mut out = format!("\nResident memory with {streams} live streams\n");
    let _ = writeln!(out, "  {:<14}{:>12}{:>12}{:>16}", "", "before MB", "with MB", "KB per stream");
    for (system, before, with) in rows {
        let per_stream = with.saturating_sub(*before) / u64::try_from(streams).unwrap_or(1).max(1) / 1024;
        let _ = writeln!(
            out,
            "  {:<14}{:>12}{:>12}{per_stream:>16}",
            system.as_str(),
            before / (1024 * 1024),
            with / (1024 * 1024)
        );
    }
    out
}
