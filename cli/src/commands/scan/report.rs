//! Findings as text, as JSON lines, as SARIF. A finding's value is in none of them.

use bulkhead_dlp::{Detector, RuleSet};
use serde_json::{Value, json};

use super::ScanFormat;
use super::locate::Finding;
use crate::commands::detectors::confidence;
use crate::failure::Failure;
use crate::output::{print, print_json, printable};

/// Prints findings as they come, or at the end where the format is one document.
pub(super) struct Report<'a> {
    format: ScanFormat,
    rules: &'a RuleSet,
    results: Vec<Value>,
    found: bool,
}

impl<'a> Report<'a> {
    pub(super) fn new(format: ScanFormat, rules: &'a RuleSet) -> Self {
        Self { format, rules, results: Vec::new(), found: false }
    }

    /// Adds the findings of one file.
    pub(super) fn add(&mut self, path: &str, findings: &[Finding]) -> Result<(), Failure> {
        self.found |= !findings.is_empty();
        match self.format {
            ScanFormat::Text => {
                let lines: String = findings.iter().map(|finding| text(path, finding)).collect();
                print(&lines)
            }
            ScanFormat::Json => findings.iter().try_for_each(|finding| print_json(&object(path, finding))),
            ScanFormat::Sarif => {
                self.results.extend(findings.iter().map(|finding| result(path, finding)));
                Ok(())
            }
        }
    }

    /// Ends the report; says whether there was a finding.
    pub(super) fn finish(self) -> Result<bool, Failure> {
        if self.format == ScanFormat::Sarif {
            let rules = self.rules.rules().map(|rule| sarif_rule(rule.detector));
            print_json(&json!({
                "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
                "version": "2.1.0",
                "runs": [{
                    "tool": { "driver": {
                        "name": "bulkhead",
                        "version": env!("CARGO_PKG_VERSION"),
                        "rules": rules.collect::<Vec<_>>(),
                    } },
                    "columnKind": "utf16CodeUnits",
                    "results": self.results,
                }],
            }))?;
        }
        Ok(self.found)
    }
}

fn text(path: &str, finding: &Finding) -> String {
    let Finding { place, detector, .. } = finding;
    format!(
        "{}:{}:{}  {}  {:.2}  {}{}\n",
        printable(path),
        place.line,
        place.column,
        detector.id(),
        detector.confidence(),
        printable(&place.before),
        detector.placeholder()
    )
}

fn object(path: &str, finding: &Finding) -> Value {
    json!({
        "path": path,
        "start": finding.start,
        "end": finding.end,
        "line": finding.place.line,
        "column": finding.place.column,
        "detector": finding.detector.id().as_str(),
        "category": finding.detector.category(),
        "confidence": confidence(&finding.detector),
    })
}

fn result(path: &str, finding: &Finding) -> Value {
    let Finding { place, detector, start, end } = finding;
    json!({
        "ruleId": detector.id().as_str(),
        "level": level(detector),
        "message": { "text": format!("{} found", detector.id()) },
        "locations": [{ "physicalLocation": {
            "artifactLocation": { "uri": uri(path) },
            "region": {
                "startLine": place.line,
                "byteOffset": start,
                "byteLength": end - start,
            },
        } }],
    })
}

fn sarif_rule(detector: &Detector) -> Value {
    json!({
        "id": detector.id().as_str(),
        "shortDescription": { "text": format!("{} ({})", detector.id(), detector.category()) },
        "defaultConfiguration": { "level": level(detector) },
        "properties": { "category": detector.category(), "confidence": confidence(detector) },
    })
}

fn level(detector: &Detector) -> &'static str {
    const SURE: f32 = 0.9;
    if detector.confidence() >= SURE { "error" } else { "warning" }
}

/// A path as a URI reference: every byte that is none of a plain name is escaped.
fn uri(path: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    path.bytes().map(escape).collect()
}
