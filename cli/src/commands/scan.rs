//! `bulkhead scan`: looks for secrets and personal data in files and standard input.

mod files;
mod locate;
mod report;

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use bulkhead_dlp::{Action, Detector, Rule, RuleSet, catalogue};
use bulkhead_policy::address::Reach;
use bulkhead_policy::compile::Layer;
use clap::{Args, ValueEnum};

use super::detectors;
use crate::failure::Failure;
use crate::output::Format;
use crate::policy_file;
use locate::Finding;
use report::Report;

/// Up to this size a text is scanned as a whole, which is faster; longer ones as streams.
const WHOLE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Where a name stands for standard input.
const STDIN: &str = "-";

#[derive(Debug, Args)]
pub(crate) struct ScanArgs {
    /// Files, folders with everything in them, or - for standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Look for what the rules of this policy name
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Look for this: an id, a pattern such as 'AWS_*', a category such as 'secret.*'; may be repeated
    ///
    /// Without it and without a policy: the detectors that are likely to be right, and not e-mail addresses,
    /// telephone numbers and IP addresses.
    #[arg(long, value_name = "GLOB")]
    detect: Vec<String>,
    /// Report documented example values too, such as test cards and AKIA...EXAMPLE
    #[arg(long)]
    examples: bool,
    /// How to print findings
    #[arg(long, value_enum)]
    format: Option<ScanFormat>,
    /// Say what was skipped
    #[arg(long, short)]
    verbose: bool,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ScanFormat {
    /// `path:line:column  DETECTOR  confidence  masked excerpt`
    Text,
    /// One JSON object a line
    Json,
    /// SARIF 2.1.0
    Sarif,
}

/// Scans everything; the code says whether something was found.
pub(crate) fn run(args: &ScanArgs, format: Format) -> Result<ExitCode, Failure> {
    let format = args.format.unwrap_or(match format {
        Format::People => ScanFormat::Text,
        Format::Machines => ScanFormat::Json,
    });
    let rules = Arc::new(rules(args)?);
    let mut report = Report::new(format, &rules);
    let mut failed = false;
    for path in &args.paths {
        for file in files::below(path)? {
            let scanned = match file {
                Ok(file) => scan_file(&rules, &file, args.verbose, &mut report),
                Err(failure) => Err(failure),
            };
            // One file that cannot be read must not hide what is in the others.
            if let Err(failure) = scanned {
                eprintln!("bulkhead: {failure}");
                failed = true;
            }
        }
    }
    let found = report.finish()?;
    Ok(ExitCode::from(if failed { 2 } else { u8::from(found) }))
}

/// What to look for. Everything is masked, because excerpts show the text around a finding.
fn rules(args: &ScanArgs) -> Result<RuleSet, Failure> {
    let mut wanted: Vec<Arc<Detector>> = Vec::new();
    let mut known: Vec<Arc<Detector>> = catalogue().iter().map(Arc::clone).collect();
    let mut allow_values = Vec::new();
    if let Some(path) = &args.policy {
        let document = policy_file::read(path, &Reach::Anywhere)?;
        let source = path.display().to_string();
        let layers = [(Layer::Tenant, &document)];
        let policy = policy_file::compile_layers(&layers, None, &Reach::Anywhere, &source)?;
        let rules =
            [policy.request_rules(), policy.response_rules()].into_iter().flat_map(|rules| rules.rules());
        wanted.extend(rules.map(|rule| Arc::clone(rule.detector)));
        known.extend(wanted.iter().filter(|detector| detector.category() == "custom").cloned());
        allow_values.extend(document.dlp.allow_values.clone().unwrap_or_default());
    }
    for selector in &args.detect {
        wanted.extend(
            detectors::select(selector, known.iter()).map_err(|failure| failure.context("--detect"))?,
        );
    }
    if args.policy.is_none() && args.detect.is_empty() {
        wanted.extend(catalogue().default_set().into_iter().map(Arc::clone));
    }
    let mut seen = HashSet::new();
    wanted.retain(|detector| seen.insert(detector.id().clone()));
    let rules = wanted.into_iter().map(|detector| Rule::new(detector, Action::Mask)).collect();
    Ok(RuleSet::new(rules, allow_values).ignoring_examples(!args.examples))
}

fn scan_file(
    rules: &Arc<RuleSet>,
    path: &Path,
    verbose: bool,
    report: &mut Report<'_>,
) -> Result<(), Failure> {
    let name = path.display().to_string();
    let cannot_read = |error: io::Error| Failure::Usage(format!("{name}: {error}"));
    let mut reader: Box<dyn Read> = if path == Path::new(STDIN) {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(cannot_read)?)
    };
    let mut text = Vec::new();
    reader.by_ref().take(WHOLE_BYTES_MAX as u64).read_to_end(&mut text).map_err(cannot_read)?;
    if path != Path::new(STDIN) && files::is_binary(&text) {
        if verbose {
            eprintln!("bulkhead: {name}: skipped, binary");
        }
        return Ok(());
    }
    let mut findings: Vec<Finding> = Vec::new();
    if text.len() < WHOLE_BYTES_MAX {
        locate::in_whole(rules, &text, &mut findings);
        return report.add(&name, &findings);
    }
    let mut stream = locate::Stream::new(rules);
    while !text.is_empty() {
        stream.push(&text, &mut findings);
        report.add(&name, &findings)?;
        findings.clear();
        text.clear();
        reader.by_ref().take(WHOLE_BYTES_MAX as u64).read_to_end(&mut text).map_err(cannot_read)?;
    }
    stream.finish(&mut findings);
    report.add(&name, &findings)
}

#[cfg(test)]
mod tests;
