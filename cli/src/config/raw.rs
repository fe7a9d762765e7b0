//! The file as it is written, and the checks of single values.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::databases::Urls;

/// A day is longer than anything is worth waiting for.
pub(super) const SPAN_MS_MAX: u64 = 24 * 3600 * 1000;
/// A request is charged to the window it came in, and a window is remembered for an hour after its end.
pub(super) const BODY_MS_MAX: u64 = 30 * 60 * 1000;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Config {
    pub(super) proxy: Proxy,
    pub(super) database: Database,
    /// By name; see [`super::databases`] for the variables.
    pub(super) databases: BTreeMap<String, Urls>,
    pub(super) master_key: MasterKey,
    pub(super) snapshot: Snapshot,
    pub(super) spool: Spool,
    pub(super) retention: Retention,
    pub(super) node: Node,
    pub(super) limits: Limits,
    pub(super) timeouts: Timeouts,
}

/// Makes a section: a struct of optional values, and the list of its keys for the variables.
macro_rules! section {
    ($name:ident, $keys:ident { $($key:ident: $kind:ty),* $(,)? }) => {
        #[derive(Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(super) struct $name {
            $(pub(super) $key: Option<$kind>,)*
        }
        const $keys: &[&str] = &[$(stringify!($key)),*];
    };
}

section!(Proxy, PROXY { listen: String, metrics_listen: String, threads: u64, private_upstreams: String });
section!(
    Database,
    DATABASE {
        url: String,
        sync_url: String,
        writer_url: String,
        migrator_url: String,
        retention_url: String
    }
);
section!(MasterKey, MASTER_KEY { file: PathBuf, sealing_file: PathBuf, previous_sealing_file: PathBuf });
section!(Snapshot, SNAPSHOT { file: PathBuf });
section!(Spool, SPOOL { folder: PathBuf, quota_bytes: u64, tenant_percent: u64 });
section!(Retention, RETENTION { keep_days: u64, keep_body_days: u64 });
section!(Node, NODE { name: String });
section!(
    Limits,
    LIMITS {
        connections: u64,
        head_bytes: u64,
        request_body_bytes: u64,
        answer_bytes: u64,
        event_bytes: u64,
        held_bytes: u64,
        body_memory_bytes: u64,
        tenant_percent: u64,
        captured_body_bytes: u64,
        idle_upstream_connections: u64,
    }
);
section!(
    Timeouts,
    TIMEOUTS {
        head_ms: u64,
        body_ms: u64,
        client_write_ms: u64,
        upstream_connect_ms: u64,
        upstream_head_ms: u64,
        upstream_idle_ms: u64,
        stream_ping_ms: u64,
        drain_delay_ms: u64,
        drain_ms: u64,
    }
);

/// Keys in sections of texts whose values are numbers.
const NUMBERS: &[&str] = &["threads", "quota_bytes", "tenant_percent"];

/// Every key, by section, and whether its values are numbers.
pub(super) const KEYS: [(&str, &[&str], bool); 9] = [
    ("proxy", PROXY, false),
    ("database", DATABASE, false),
    ("master_key", MASTER_KEY, false),
    ("snapshot", SNAPSHOT, false),
    ("spool", SPOOL, false),
    ("retention", RETENTION, true),
    ("node", NODE, false),
    ("limits", LIMITS, true),
    ("timeouts", TIMEOUTS, true),
];

/// Reads the file's text, lays the variables over it and checks names and types.
pub(super) fn read(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Config, String> {
    let mut table: toml::Table = text.parse().map_err(|error| syntax_error(text, &error))?;
    for (section, keys, numbers) in KEYS {
        for key in keys {
            let name = format!("BULKHEAD_{section}_{key}").to_ascii_uppercase();
            let Some(value) = variable(&name) else { continue };
            let value = if numbers || NUMBERS.contains(key) {
                let wrong = |_| format!("{name}: {value:?}: expected a whole number");
                toml::Value::Integer(value.trim().parse().map_err(wrong)?)
            } else {
                toml::Value::String(value)
            };
            let section = table.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            // What is no table is refused below, under its own name.
            if let Some(section) = section.as_table_mut() {
                section.insert((*key).to_owned(), value);
            }
        }
    }
    serde_path_to_error::deserialize(table).map_err(|error| {
        let message = one_line(&error.inner().to_string());
        match error.path().to_string().as_str() {
            "." => message,
            path => format!("{path}: {message}"),
        }
    })
}

/// An address with a port.
pub(super) fn address(key: &str, value: Option<&str>, default: SocketAddr) -> Result<SocketAddr, String> {
    let Some(text) = value else { return Ok(default) };
    text.parse()
        .map_err(|_| format!("{key}: {text:?}: expected an IP address and a port, such as 0.0.0.0:8080"))
}

/// A count within a range.
pub(super) fn number(
    key: &str,
    value: Option<u64>,
    range: RangeInclusive<usize>,
    default: usize,
) -> Result<usize, String> {
    let Some(number) = value else { return Ok(default) };
    usize::try_from(number)
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| format!("{key}: {number}: expected from {} to {}", range.start(), range.end()))
}

/// A span of time in milliseconds.
pub(super) fn span(
    key: &str,
    value: Option<u64>,
    allowed: RangeInclusive<u64>,
    default: Duration,
) -> Result<Duration, String> {
    let Some(number) = value else { return Ok(default) };
    if allowed.contains(&number) {
        Ok(Duration::from_millis(number))
    } else {
        let (least, most) = allowed.into_inner();
        Err(format!("{key}: {number}: expected from {least} to {most} milliseconds"))
    }
}

fn syntax_error(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    format!("line {}: {}", before.matches('\n').count() + 1, one_line(error.message()))
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
