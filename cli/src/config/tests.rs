use bulkhead_policy::address::Reach;
use bulkhead_store::Role;

use super::raw::KEYS;
use super::{Config, parse};

const MINIMAL: &str = "[database]\nurl = \"postgres://bulkhead@db/bulkhead\"\n";

fn none(_: &str) -> Option<String> {
    None
}

fn parse_file(text: &str) -> Result<Config, String> {
    parse(text, &none, std::iter::empty())
}

fn parse_with(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Config, String> {
    parse(text, variable, std::iter::empty())
}

#[test]
fn a_database_is_enough() {
    let config = parse_file(MINIMAL).expect("is valid");
    let default = bulkhead_proxy::Config::default();
    assert_eq!(config.proxy.listen, default.listen);
    assert_eq!(config.proxy.limits.connections, default.limits.connections);
    assert_eq!(config.database.sync_url, "postgres://bulkhead@db/bulkhead");
    assert_eq!(config.proxy.upstreams, Reach::Public, "production never reaches into the network by default");
}

#[test]
fn values_are_taken() {
    let config = parse_file(
        "[proxy]\nlisten = \"0.0.0.0:1\"\nthreads = 3\nprivate_upstreams = \"10.2.0.0/16, fd00::1\"\n[database]\nurl = \"a\"\nwriter_url = \"w\"\n\
         [limits]\nheld_bytes = 2048\nbody_memory_bytes = 2147483648\ntenant_percent = 10\n[spool]\nfolder = \"s\"\nquota_bytes = 1048576\ntenant_percent = 50\n[timeouts]\ndrain_ms = 1500\n[node]\nname = \"eu-1\"\n\
         [retention]\nkeep_days = 90\nkeep_body_days = 7\n",
    )
    .expect("is valid");
    assert_eq!(config.proxy.listen.to_string(), "0.0.0.0:1");
    assert_eq!(config.proxy.threads, 3);
    let reach = &config.proxy.upstreams;
    let admits = |address: &str| reach.admits(address.parse().unwrap(), false);
    assert!(admits("10.2.3.4") && admits("fd00::1") && !admits("10.3.0.1") && !admits("127.0.0.1"));
    assert_eq!((config.database.sync_url.as_str(), config.database.writer_url.as_str()), ("a", "w"));
    assert_eq!(config.proxy.limits.held_bytes, 2048);
    assert_eq!((config.proxy.limits.body_memory_bytes, config.proxy.limits.tenant_percent), (2 << 30, 10));
    assert_eq!(config.proxy.timeouts.drain.as_millis(), 1500);
    assert_eq!(config.node, "eu-1");
    assert_eq!((config.keep.traces, config.keep.bodies), (Some(90), Some(7)));
    assert_eq!(config.spool_folder.to_str(), Some("s"));
    assert_eq!((config.proxy.spool.quota_bytes, config.proxy.spool.tenant_percent), (1 << 20, 50));
}

#[test]
fn variables_override_the_file() {
    let variable = |name: &str| {
        let value = match name {
            "BULKHEAD_PROXY_LISTEN" => "127.0.0.1:7",
            "BULKHEAD_DATABASE_URL" => "postgres://other/db",
            "BULKHEAD_LIMITS_CONNECTIONS" => "9",
            "BULKHEAD_MASTER_KEY_FILE" => "/run/key",
            "BULKHEAD_MASTER_KEY_SEALING_FILE" => "/run/sealing",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let config = parse_with("[proxy]\nlisten = \"0.0.0.0:1\"\n", &variable).expect("is valid");
    assert_eq!(config.proxy.listen.to_string(), "127.0.0.1:7");
    assert_eq!(config.database.writer_url, "postgres://other/db");
    assert_eq!(config.proxy.limits.connections, 9);
    assert_eq!(config.master_key_file, Some("/run/key".into()));
    assert_eq!(config.sealing_keys.sealing_key_file, Some("/run/sealing".into()));
}

#[test]
fn errors_name_the_key_the_value_and_what_is_allowed() {
    for (text, parts) in [
        ("", &["database.url", "missing"][..]),
        ("[proxy]\nlisen = \"x\"\n", &["proxy", "lisen", "`listen`"]),
        ("[porxy]\n", &["porxy", "`proxy`"]),
        ("[proxy]\nlisten = \"x\"\n", &["proxy.listen", "\"x\"", "0.0.0.0:8080"]),
        ("[proxy]\nlisten = 8080\n", &["proxy.listen", "8080", "string"]),
        (
            "[proxy]\nprivate_upstreams = \"10.1.0.0/16, 10.2.0.1/16\"\n",
            &["proxy.private_upstreams", "10.2.0.1/16", "such as 10.2.0.0/16"],
        ),
        ("[proxy]\nthreads = 0\n", &["proxy.threads", "0", "from 1 to 1024"]),
        ("[proxy]\nthreads = -1\n", &["proxy.threads", "-1"]),
        ("[spool]\ntenant_percent = 0\n", &["spool.tenant_percent", "0", "from 1 to 100"]),
        ("[limits]\nheld_bytes = 1\n", &["limits.held_bytes", "1", "from 1024"]),
        ("[limits]\ntenant_percent = 101\n", &["limits.tenant_percent", "101", "from 1 to 100"]),
        ("[limits]\ntenant_percent = 5\n", &["limits.body_memory_bytes", "1073741824", "5 %", "100663296"]),
        ("[timeouts]\nhead_ms = 0\n", &["timeouts.head_ms", "0", "from 1"]),
        ("[timeouts]\nbody_ms = 3600000\n", &["timeouts.body_ms", "3600000", "1800000"]),
        ("[timeouts]\ndrain_ms = 999999999999\n", &["timeouts.drain_ms", "86400000"]),
        ("[database]\nurl = \"a\"\n[node]\nname = \"\"\n", &["node.name", "1 to 128"]),
        ("proxy = 1\n", &["proxy", "1"]),
        ("[proxy]\nlisten = \"a\"\nlisten = \"b\"\n", &["line 3", "duplicate"]),
        ("[proxy\n", &["line 1"]),
    ] {
        let error = parse_file(text).expect_err(text);
        for part in parts {
            assert!(error.contains(part), "{text:?}: {error:?} lacks {part:?}");
        }
        assert!(!error.contains('\n'), "one line: {error:?}");
    }
}

#[test]
fn placed_databases_come_from_the_file_and_from_variables() {
    let file = "[databases.acme-eu]\nurl = \"a\"\nwriter_url = \"w\"\n[databases.b]\nurl = \"b\"\n";
    let variables = [
        ("BULKHEAD_DATABASES_ACME_EU_RETENTION_URL", "r"),
        ("BULKHEAD_DATABASES_B_URL", "c"),
        ("BULKHEAD_DATABASES_NEW_URL", "n"),
        ("BULKHEAD_DATABASE_URL", "not one of them"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = parse(&format!("{MINIMAL}{file}"), &none, variables.into_iter()).expect("is valid");
    for (name, role, url) in [
        ("acme-eu", Role::Api, "a"),
        ("acme-eu", Role::Writer, "w"),
        ("acme-eu", Role::Retention, "r"),
        ("acme-eu", Role::Migrator, "a"),
        ("b", Role::Writer, "c"),
        ("new", Role::Revealer, "n"),
    ] {
        let found = config.databases.url(&name.parse().expect("a name"), role).expect("is known");
        assert_eq!(found, url, "{name} as {role:?}");
    }
    let unknown = config.databases.url(&"acme".parse().expect("a name"), Role::Api).expect_err("is unknown");
    assert!(unknown.to_string().contains("known: acme-eu, b, new"), "{unknown}");
}

#[test]
fn placed_databases_that_cannot_be_meant_are_refused() {
    for (file, variable, parts) in [
        ("[databases.shared]\nurl = \"a\"\n", None, &["databases.shared", "[database]"][..]),
        ("[databases.Acme]\nurl = \"a\"\n", None, &["databases.Acme", "a-z"]),
        ("[databases.a]\nwriter_url = \"a\"\n", None, &["databases.a.url", "missing", "migrator_url"]),
        ("[databases.a]\nuri = \"a\"\n", None, &["databases.a", "uri"]),
        ("", Some("BULKHEAD_DATABASES_SHARED_URL"), &["BULKHEAD_DATABASES_SHARED_URL"]),
        ("", Some("BULKHEAD_DATABASES_A_RETENTION_URL"), &["databases.a.url", "missing"]),
        ("", Some("BULKHEAD_DATABASES_A"), &["BULKHEAD_DATABASES_A", "BULKHEAD_DATABASES_NAME_URL"]),
    ] {
        let variables = variable.into_iter().map(|name| (name.to_owned(), "x".to_owned()));
        let error = parse(&format!("{MINIMAL}{file}"), &none, variables).expect_err(file);
        for part in parts {
            assert!(error.contains(part), "{file:?}: {error:?} lacks {part:?}");
        }
    }
}

#[test]
fn wrong_variables_are_named() {
    let variable = |name: &str| (name == "BULKHEAD_LIMITS_CONNECTIONS").then(|| "many".to_owned());
    let error = parse_with(MINIMAL, &variable).expect_err("is no number");
    assert_eq!(error, "BULKHEAD_LIMITS_CONNECTIONS: \"many\": expected a whole number");
}

#[test]
fn the_example_is_valid_and_names_every_key() {
    let text = include_str!("../../../bulkhead.example.toml");
    parse_file(text).expect("the example is valid");
    // Keys that are commented out show their default: valid too.
    let all: String =
        text.lines().map(|line| line.strip_prefix("#:").unwrap_or(line).to_owned() + "\n").collect();
    parse_file(&all).expect("the example's defaults are valid");
    let table: toml::Table = all.parse().expect("is TOML");
    for (section, keys, _) in KEYS {
        for key in keys {
            let there = table.get(section).and_then(|section| section.get(key)).is_some();
            assert!(there, "the example lacks {section}.{key}");
        }
    }
}
