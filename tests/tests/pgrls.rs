//! What a linter for row-level security says about the schema: every finding is one that we know, with a reason.
//!
//! Needs `python3` with `venv`; the packages are pinned and kept in the target folder.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use bulkhead_tests::{Bulkhead, Options, packages, run};
use serde_json::Value;

/// A rule that an object breaks.
type Finding = (String, String);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pgrls")
}

/// What pgrls finds in a database. It ends with 1 if there is anything, and with another code if it could not look.
fn found(database_url: &str) -> BTreeSet<Finding> {
    let program = packages::python("pgrls", &folder().join("requirements.txt")).join("pgrls");
    let printed = Command::new(program)
        .args(["lint", "--schemas", "bulkhead", "--fail-on", "info", "--format", "json", "--database-url"])
        .arg(database_url)
        .output()
        .expect("run pgrls");
    let said = String::from_utf8_lossy(&printed.stderr);
    assert!(matches!(printed.status.code(), Some(0 | 1)), "{said}");
    let report: Value = serde_json::from_slice(&printed.stdout).expect("JSON");
    let finding = |violation: &Value| {
        let text = |name: &str| violation[name].as_str().expect("text").to_owned();
        (object(&text("location")), text("rule_id"))
    };
    report["violations"].as_array().expect("a list").iter().map(finding).collect()
}

/// The object without the schema, and without the day of a partition.
fn object(location: &str) -> String {
    let name = location.strip_prefix("bulkhead.").unwrap_or(location);
    let day =
        name.rsplit_once('_').filter(|(_, day)| day.len() == 8 && day.bytes().all(|b| b.is_ascii_digit()));
    day.map_or_else(|| name.to_owned(), |(table, _)| format!("{table}_DAY"))
}

/// The findings of the list, each below a reason: the comment of its paragraph.
fn listed() -> BTreeSet<Finding> {
    let text = std::fs::read_to_string(folder().join("findings.txt")).expect("the list");
    let mut findings = BTreeSet::new();
    for paragraph in text.split("\n\n").skip(1) {
        let (reason, lines): (Vec<&str>, Vec<&str>) =
            paragraph.lines().partition(|line| line.starts_with("# "));
        assert!(!reason.is_empty(), "no reason is given for:\n{paragraph}");
        for line in lines {
            let rules: Vec<&str> = line.split(' ').rev().take_while(|word| is_rule(word)).collect();
            assert!(!rules.is_empty(), "{line:?} names no rule");
            let object = line.split(' ').take_while(|word| !is_rule(word)).collect::<Vec<_>>().join(" ");
            for rule in rules {
                assert!(findings.insert((object.clone(), rule.to_owned())), "{object} {rule} is there twice");
            }
        }
    }
    findings
}

/// Capitals and a number of three digits.
fn is_rule(word: &str) -> bool {
    let (kind, number) = word.split_at(word.len().saturating_sub(3));
    !kind.is_empty()
        && kind.bytes().all(|byte| byte.is_ascii_uppercase())
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[test]
fn every_finding_is_known_and_has_a_reason() {
    run(async {
        let bulkhead = Bulkhead::start(Options::default()).await;
        let (found, listed) = (found(&bulkhead.ready.database_url), listed());
        let lines = |findings: &BTreeSet<Finding>, others: &BTreeSet<Finding>| -> Vec<String> {
            findings.difference(others).map(|(object, rule)| format!("{object} {rule}")).collect()
        };
        assert_eq!(lines(&found, &listed), [""; 0], "found, and not in findings.txt");
        assert_eq!(lines(&listed, &found), [""; 0], "in findings.txt, and not found any more");
    });
}
