//! `bulkhead detectors`: what can be detected, for people who write policies.

use std::sync::Arc;

use bulkhead_dlp::{Detector, catalogue};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::{Format, Table, print_list};

#[derive(Debug, Args)]
pub(crate) struct DetectorsArgs {
    /// Only what this names: a category such as 'secret.*', an id, or a pattern of ids such as 'AWS_*'
    #[arg(long, value_name = "GLOB", default_value = "*", alias = "detect")]
    category: String,
    /// How to print them
    #[arg(long, value_enum)]
    format: Option<ListFormat>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ListFormat {
    Text,
    Json,
}

pub(crate) fn run(args: &DetectorsArgs, format: Format) -> Result<(), Failure> {
    let detectors = select(&args.category, catalogue().iter())?;
    let mut table = Table::new(&["ID", "CATEGORY", "CONFIDENCE", "CONTEXT", "CHECKS"]);
    for detector in &detectors {
        table.row([
            detector.id().to_string(),
            detector.category().to_owned(),
            format!("{:.2}", detector.confidence()),
            if detector.context().is_empty() { "-".to_owned() } else { detector.context().join(", ") },
            detector.validates().unwrap_or("-").to_owned(),
        ]);
    }
    let values: Vec<Value> = detectors.iter().map(|detector| describe(detector)).collect();
    let format = match args.format {
        Some(ListFormat::Text) => Format::People,
        Some(ListFormat::Json) => Format::Machines,
        None => format,
    };
    print_list(format, &table, &values)
}

fn describe(detector: &Detector) -> Value {
    json!({
        "id": detector.id().as_str(),
        "category": detector.category(),
        "confidence": confidence(detector),
        "context": detector.context(),
        "checks": detector.validates(),
        "aliases": detector.aliases().collect::<Vec<_>>(),
        "example": detector.example(),
        "near_miss": detector.near_miss(),
    })
}

/// The confidence to two digits, as it is written down; the nearest `f64` of an `f32` has more.
pub(super) fn confidence(detector: &Detector) -> f64 {
    (f64::from(detector.confidence()) * 100.0).round() / 100.0
}

/// The detectors that a selector names.
///
/// # Errors
/// [`Failure::Usage`] if it names none, with the names that come close.
pub(super) fn select<'a>(
    selector: &str,
    known: impl Iterator<Item = &'a Arc<Detector>>,
) -> Result<Vec<Arc<Detector>>, Failure> {
    let known: Vec<&Arc<Detector>> = known.collect();
    let named: Vec<Arc<Detector>> = known
        .iter()
        .filter(|detector| detector.is_named_by(selector))
        .map(|&detector| Arc::clone(detector))
        .collect();
    if named.is_empty() {
        let near = near(selector, &known);
        return Err(Failure::Usage(format!(
            "{selector:?}: no such detector or category{}; `bulkhead detectors` lists them",
            if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(", ")) }
        )));
    }
    Ok(named)
}

/// The names of detectors and categories most like a selector, at most three.
fn near<'a>(selector: &str, known: &[&'a Arc<Detector>]) -> Vec<&'a str> {
    const LIKENESS_MIN: f64 = 0.8;
    const COUNT_MAX: usize = 3;
    let wanted = selector.trim_end_matches(".*").to_ascii_uppercase();
    let names = known.iter().flat_map(|&detector| {
        let aliases = detector.aliases().map(|alias| -> &'a str { alias });
        let names: [&'a str; 2] = [detector.id().as_str(), detector.category()];
        names.into_iter().chain(aliases)
    });
    let mut scored: Vec<(f64, &str)> =
        names.map(|name| (strsim::jaro_winkler(&wanted, &name.to_ascii_uppercase()), name)).collect();
    scored.retain(|(likeness, _)| *likeness >= LIKENESS_MIN);
    scored.sort_by(|left, right| right.0.total_cmp(&left.0).then(left.1.cmp(right.1)));
    scored.dedup_by_key(|(_, name)| *name);
    scored.into_iter().take(COUNT_MAX).map(|(_, name)| name).collect()
}
