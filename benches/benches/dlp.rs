//! What inspecting costs: a whole request body, and streams in the pieces that providers send.
//!
//! `cargo bench -p bulkhead-benches`. Each line is the median of several runs; each run's result is checked, because
//! a scanner is fastest when it finds nothing.

use std::hint::black_box;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bulkhead_benches::agent_body::history_text;
use bulkhead_dlp::{Action, Rule, RuleSet, apply_edits, catalogue};

const RUNS: usize = 15;
const TEXT_BYTES: usize = 60_000;
/// Long enough that a clock tick does not matter.
const RUN_TIME: Duration = Duration::from_millis(40);
const CARD: &str = "4539 5787 6362 1486";

fn main() -> anyhow::Result<()> {
    let secrets = rules(&["secret.*"])?;
    let everything = rules(&["secret.*", "pii.*", "financial.*"])?;
    let clean = history_text(TEXT_BYTES);
    let mut dirty = clean.clone();
    dirty.insert_str(dirty.len() / 2, &format!(" card {CARD}. "));
    let mut out = std::io::stdout().lock();
    for (name, rules) in [("secrets", &secrets), ("secrets, PII, financial", &everything)] {
        for (what, text, found) in
            [("clean", &clean, 0), ("one card", &dirty, usize::from(name != "secrets"))]
        {
            let whole = measure(|| whole(rules, text), found, text.len())?;
            writeln!(out, "{name}, {what}: 60 KB at once            {whole}")?;
            for piece in [4, 64] {
                let stream = measure(|| stream(rules, text, piece), found, text.len())?;
                writeln!(out, "{name}, {what}: stream of {piece:>2}-byte pieces {stream}")?;
            }
        }
    }
    let start = measure(|| Ok((usize::from(black_box(everything.scanner()).pushed() > 0), 0)), 0, 0)?;
    writeln!(out, "a scanner for one channel: {start}")?;
    same_result(&everything, &dirty)
}

fn rules(selectors: &[&str]) -> anyhow::Result<Arc<RuleSet>> {
    let mut rules = Vec::new();
    for selector in selectors {
        let detectors = catalogue().select(selector);
        ensure!(!detectors.is_empty(), "no detector for {selector}");
        rules.extend(
            detectors
                .into_iter()
                .map(|detector| Rule { detector: Arc::clone(detector), action: Action::Mask }),
        );
    }
    Ok(Arc::new(RuleSet::new(rules, Vec::new())))
}

/// Number of matches, and of bytes that may leave.
type Outcome = anyhow::Result<(usize, usize)>;

fn whole(rules: &RuleSet, text: &str) -> Outcome {
    let scan = black_box(rules.scan(black_box(text.as_bytes())));
    Ok((scan.matches.len(), text.len()))
}

fn stream(rules: &Arc<RuleSet>, text: &str, piece: usize) -> Outcome {
    let mut scanner = rules.scanner();
    let mut matches = Vec::new();
    for piece in text.as_bytes().chunks(piece) {
        scanner.push(black_box(piece));
        black_box(scanner.released());
    }
    scanner.finish();
    scanner.take_matches(&mut matches);
    Ok((matches.len(), usize::try_from(scanner.released())?))
}

/// The law of the streams, on the benchmark's own text: cut anyhow, the output is that of the whole.
fn same_result(rules: &Arc<RuleSet>, text: &str) -> anyhow::Result<()> {
    let whole = apply_edits(text.as_bytes(), &rules.scan(text.as_bytes()).edits);
    for piece in [1, 3, 17, 1000] {
        let mut scanner = rules.scanner();
        let mut edits = Vec::new();
        for piece in text.as_bytes().chunks(piece) {
            scanner.push(piece);
        }
        scanner.finish();
        scanner.take_edits(&mut edits);
        ensure!(apply_edits(text.as_bytes(), &edits) == whole, "pieces of {piece} bytes give another output");
    }
    Ok(())
}

/// Time per call, and throughput where the call has `bytes`.
fn measure(call: impl Fn() -> Outcome, matches: usize, bytes: usize) -> anyhow::Result<String> {
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let (mut calls, start) = (0_u32, Instant::now());
        while calls == 0 || start.elapsed() < RUN_TIME {
            let (found, released) = call()?;
            ensure!(found == matches, "{found} matches instead of {matches}");
            ensure!(released == bytes, "{released} of {bytes} bytes released");
            calls += 1;
        }
        times.push(start.elapsed().as_secs_f64() / f64::from(calls));
    }
    times.sort_by(f64::total_cmp);
    let median = times.get(RUNS / 2).copied().context("a run")?;
    let micros = median * 1e6;
    let rate = u32::try_from(bytes).map(f64::from)? / median / 1e6;
    Ok(if bytes == 0 { format!("{micros:>10.2} us") } else { format!("{micros:>10.1} us {rate:>9.0} MB/s") })
}
