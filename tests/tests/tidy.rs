//! Rules about the repository itself: who may depend on whom, and under which licences.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Which of our crates a crate may name, beside itself. The compiler keeps what this lists.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("bulkhead-dlp", &[]),
    ("bulkhead-dialect", &[]),
    ("bulkhead-policy", &["bulkhead-dlp"]),
    ("bulkhead-spool", &[]),
    ("bulkhead-store", &["bulkhead-policy", "bulkhead-dlp"]),
    ("bulkhead-policy-sync", &["bulkhead-policy", "bulkhead-store"]),
    (
        "bulkhead-proxy",
        &["bulkhead-dlp", "bulkhead-dialect", "bulkhead-policy", "bulkhead-spool", "bulkhead-store"],
    ),
];

/// Crates that only one of ours may name.
const OWNED: &[(&str, &[&str])] =
    &[("sqlx", &["bulkhead-store"]), ("pingora", &["bulkhead-proxy", "bulkhead-benches"])];

/// The same list as in deny.toml; an expression passes if one of its alternatives does.
const LICENCES: &[&str] = &[
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Zlib",
];

fn metadata() -> Value {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let printed = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--manifest-path", manifest])
        .output()
        .expect("run cargo metadata");
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    serde_json::from_slice(&printed.stdout).expect("JSON")
}

fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().expect("packages").iter()
}

/// What each of our crates names as a normal dependency.
fn dependencies(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let ours = packages(metadata).filter(|package| package["source"].is_null());
    ours.map(|package| {
        let normal = package["dependencies"].as_array().expect("dependencies").iter();
        let names = normal.filter(|dependency| dependency["kind"].is_null());
        let names = names.map(|dependency| dependency["name"].as_str().expect("a name").to_owned());
        (package["name"].as_str().expect("a name").to_owned(), names.collect())
    })
    .collect()
}

#[test]
fn imports_go_one_way() {
    let dependencies = dependencies(&metadata());
    for (name, allowed) in MAY_IMPORT {
        let named = dependencies.get(*name).unwrap_or_else(|| panic!("no crate {name}"));
        for dependency in named.iter().filter(|dependency| dependency.starts_with("bulkhead")) {
            assert!(allowed.contains(&dependency.as_str()), "{name} must not depend on {dependency}");
        }
    }
    for (owned, owners) in OWNED {
        let who =
            dependencies.iter().filter(|(_, named)| named.contains(*owned)).map(|(name, _)| name.as_str());
        let who: BTreeSet<&str> = who.collect();
        assert_eq!(who, owners.iter().copied().collect(), "who names {owned}");
    }
}

#[test]
fn licences_are_among_those_we_accept() {
    let metadata = metadata();
    for package in packages(&metadata).filter(|package| !package["source"].is_null()) {
        let licence = package["license"].as_str().unwrap_or("");
        let passes = |alternative: &str| {
            let parts = alternative.split(" AND ").map(|part| part.trim_matches(['(', ')', ' ']));
            parts.into_iter().all(|part| LICENCES.contains(&part))
        };
        let accepted = licence.replace('/', " OR ").split(" OR ").any(passes);
        assert!(accepted, "{} {}: licence {licence:?}", package["name"], package["version"]);
    }
}
