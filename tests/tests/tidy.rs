//! Rules about the repository itself: who may depend on whom, and under which licences.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde::Deserialize;
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

/// `deny.toml`, as far as these tests keep it; `cargo deny check` keeps all of it.
#[derive(Deserialize)]
struct Deny {
    licenses: Licences,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licences {
    allow: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Banned>,
}

/// A crate that only its wrappers may name; without any, nobody at all.
#[derive(Deserialize)]
struct Banned {
    #[serde(rename = "crate")]
    name: String,
    #[serde(default)]
    wrappers: BTreeSet<String>,
}

fn deny() -> Deny {
    toml::from_str(include_str!("../../deny.toml")).expect("deny.toml is as these tests read it")
}

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
}

#[test]
fn what_is_banned_is_named_by_its_wrappers_alone() {
    let metadata = metadata();
    let dependencies = dependencies(&metadata);
    for Banned { name, wrappers } in deny().bans.deny {
        let who = dependencies.iter().filter(|(_, named)| named.contains(&name)).map(|(who, _)| who.clone());
        assert_eq!(who.collect::<BTreeSet<_>>(), wrappers, "who names {name}");
        let is_there = packages(&metadata).any(|package| package["name"] == name.as_str());
        assert_eq!(is_there, !wrappers.is_empty(), "{name} in the lock file");
    }
}

#[test]
fn crates_come_from_one_registry() {
    let metadata = metadata();
    let sources = packages(&metadata).filter_map(|package| package["source"].as_str());
    let sources: BTreeSet<&str> = sources.collect();
    assert!(
        sources.len() == 1 && sources.iter().all(|source| source.starts_with("registry+")),
        "{sources:?}"
    );
}

#[test]
fn licences_are_among_those_we_accept() {
    let (metadata, accepted) = (metadata(), deny().licenses.allow);
    for package in packages(&metadata).filter(|package| !package["source"].is_null()) {
        let licence = package["license"].as_str().unwrap_or("");
        let passes = |alternative: &str| {
            let parts = alternative.split(" AND ").map(|part| part.trim_matches(['(', ')', ' ']));
            parts.into_iter().all(|part| accepted.contains(part))
        };
        assert!(
            licence.replace('/', " OR ").split(" OR ").any(passes),
            "{} {}: licence {licence:?}",
            package["name"],
            package["version"]
        );
    }
}
