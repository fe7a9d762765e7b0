//! The configuration of `bulkhead proxy`: a file, and variables that override it.
//!
//! Strict: an unknown section or key, a wrong type or a value out of range is an error that names the key, the value and
//! what is allowed. `section.key` is overridden by the variable `BULKHEAD_SECTION_KEY`. Nothing is read but the file and
//! the environment, so that a configuration can be checked anywhere.

mod databases;
mod raw;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bulkhead_policy::address::{Network, Reach};

use crate::failure::Failure;
use crate::master_key::SealingKeyArgs;
pub(crate) use databases::Databases;
use raw::{BODY_MS_MAX, Config as RawConfig, SPAN_MS_MAX, number, span};

/// Where the spool is unless the configuration says otherwise.
const SPOOL_FOLDER_DEFAULT: &str = "spool";

/// A configuration that was checked.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) proxy: bulkhead_proxy::Config,
    pub(crate) database: Database,
    /// Those that tenants may be placed in.
    pub(crate) databases: Databases,
    /// Where the master key is, unless `BULKHEAD_MASTER_KEY` holds it.
    pub(crate) master_key_file: Option<PathBuf>,
    /// Which keys seal in its place, if any.
    pub(crate) sealing_keys: SealingKeyArgs,
    /// Where the last good snapshot is kept for a start without a database.
    pub(crate) snapshot_file: Option<PathBuf>,
    /// Where traces wait for the database; this process's alone.
    pub(crate) spool_folder: PathBuf,
    /// What nobody's traces outlast.
    pub(crate) keep: KeepDays,
    /// What this node calls itself when it acknowledges policies.
    pub(crate) node: String,
}

/// One database; roles may log in separately.
#[derive(Debug)]
pub(crate) struct Database {
    /// The login of all roles without one of their own.
    pub(crate) url: Option<String>,
    pub(crate) sync_url: String,
    pub(crate) writer_url: String,
    pub(crate) migrator_url: String,
    pub(crate) retention_url: String,
}

/// Whole days after which everybody's traces and bodies go; `None`: never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct KeepDays {
    pub(crate) traces: Option<u32>,
    pub(crate) bodies: Option<u32>,
}

/// Reads and checks a configuration file, with the process's environment over it.
pub(crate) fn load(path: &Path) -> Result<Config, Failure> {
    let wrong = |reason: String| Failure::Usage(format!("{}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let config = parse(&text, &|name| std::env::var(name).ok(), variables()).map_err(wrong)?;
    Ok(config.beside(path.parent().unwrap_or(Path::new("."))))
}

/// Reads the sections of the data plane from the process's environment alone.
pub(crate) fn proxy_from_environment() -> Result<bulkhead_proxy::Config, Failure> {
    let read = raw::read("", &|name| std::env::var(name).ok()).and_then(|raw| proxy(&raw));
    read.map_err(Failure::Usage)
}

/// Reads the databases that tenants may be placed in from the process's environment alone.
pub(crate) fn databases_from_environment() -> Result<Databases, Failure> {
    Databases::read(BTreeMap::new(), variables()).map_err(Failure::Usage)
}

/// The process's environment, as far as it is text.
fn variables() -> impl Iterator<Item = (String, String)> {
    let texts =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os().filter_map(texts)
}

/// Reads and checks a configuration.
///
/// # Errors
/// One line: which key, which value, what is allowed.
fn parse(
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Config, String> {
    let raw = raw::read(text, variable)?;
    let proxy = proxy(&raw)?;
    let databases = Databases::read(raw.databases, variables)?;
    let url = raw.database.url;
    let role_url = |own: Option<String>, key: &str| {
        own.or_else(|| url.clone()).ok_or_else(|| {
            format!("database.url: missing: expected postgres://user@host:port/name (or database.{key})")
        })
    };
    let database = Database {
        sync_url: role_url(raw.database.sync_url, "sync_url")?,
        writer_url: role_url(raw.database.writer_url, "writer_url")?,
        migrator_url: role_url(raw.database.migrator_url, "migrator_url")?,
        retention_url: role_url(raw.database.retention_url, "retention_url")?,
        url,
    };
    let node = raw.node.name.unwrap_or_else(|| default_node_name(proxy.listen));
    if node.is_empty() || node.chars().count() > 128 || node.chars().any(char::is_control) {
        return Err(format!("node.name: {node:?}: expected 1 to 128 visible characters"));
    }
    Ok(Config {
        proxy,
        database,
        databases,
        master_key_file: raw.master_key.file,
        sealing_keys: SealingKeyArgs {
            sealing_key_file: raw.master_key.sealing_file,
            previous_sealing_key_file: raw.master_key.previous_sealing_file,
        },
        snapshot_file: raw.snapshot.file,
        keep: KeepDays {
            traces: days("retention.keep_days", raw.retention.keep_days)?,
            bodies: days("retention.keep_body_days", raw.retention.keep_body_days)?,
        },
        spool_folder: raw.spool.folder.unwrap_or_else(|| PathBuf::from(SPOOL_FOLDER_DEFAULT)),
        node,
    })
}

impl Config {
    /// Takes relative paths as relative to the configuration file.
    fn beside(mut self, folder: &Path) -> Self {
        self.master_key_file = self.master_key_file.map(|path| folder.join(path));
        let SealingKeyArgs { sealing_key_file, previous_sealing_key_file } = &mut self.sealing_keys;
        for path in [sealing_key_file, previous_sealing_key_file].into_iter().flatten() {
            *path = folder.join(&*path);
        }
        self.snapshot_file = self.snapshot_file.map(|path| folder.join(path));
        self.spool_folder = folder.join(self.spool_folder);
        self
    }
}

/// Two nodes on one machine listen on different ports.
pub(crate) fn default_node_name(listen: SocketAddr) -> String {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    format!("{}:{}", host.unwrap_or_else(|| "node".to_owned()), listen.port())
}

fn days(key: &str, value: Option<u64>) -> Result<Option<u32>, String> {
    let days = value.map(|_| number(key, value, 1..=36_500, 1)).transpose()?;
    Ok(days.and_then(|days| u32::try_from(days).ok()))
}

fn proxy(raw: &RawConfig) -> Result<bulkhead_proxy::Config, String> {
    let default = bulkhead_proxy::Config::default();
    Ok(bulkhead_proxy::Config {
        listen: raw::address("proxy.listen", raw.proxy.listen.as_deref(), default.listen)?,
        metrics_listen: raw::address(
            "proxy.metrics_listen",
            raw.proxy.metrics_listen.as_deref(),
            default.metrics_listen,
        )?,
        upstreams: private_upstreams(raw.proxy.private_upstreams.as_deref().unwrap_or_default())?,
        threads: number("proxy.threads", raw.proxy.threads, 1..=1024, default.threads)?,
        limits: limits(&raw.limits, &default.limits)?,
        timeouts: timeouts(&raw.timeouts, &default.timeouts)?,
        spool: spool(&raw.spool, default.spool)?,
    })
}

/// Networks behind commas.
fn private_upstreams(networks: &str) -> Result<Reach, String> {
    let networks = networks.split(',').map(str::trim).filter(|network| !network.is_empty());
    let wrong = |network, error| format!("proxy.private_upstreams: {network:?}: {error}");
    networks.map(|network| network.parse::<Network>().map_err(|error| wrong(network, error))).collect()
}

fn limits(raw: &raw::Limits, default: &bulkhead_proxy::Limits) -> Result<bulkhead_proxy::Limits, String> {
    const KIB: usize = 1024;
    const GIB: usize = 1024 * 1024 * KIB;
    let percent =
        number("limits.tenant_percent", raw.tenant_percent, 1..=100, default.tenant_percent.into())?;
    let limits = bulkhead_proxy::Limits {
        connections: number("limits.connections", raw.connections, 1..=1_000_000, default.connections)?,
        head_bytes: number("limits.head_bytes", raw.head_bytes, 4 * KIB..=1024 * KIB, default.head_bytes)?,
        request_body_bytes: number(
            "limits.request_body_bytes",
            raw.request_body_bytes,
            KIB..=GIB,
            default.request_body_bytes,
        )?,
        answer_bytes: number("limits.answer_bytes", raw.answer_bytes, KIB..=GIB, default.answer_bytes)?,
        event_bytes: number("limits.event_bytes", raw.event_bytes, KIB..=GIB, default.event_bytes)?,
        held_bytes: number("limits.held_bytes", raw.held_bytes, KIB..=GIB, default.held_bytes)?,
        body_memory_bytes: number(
            "limits.body_memory_bytes",
            raw.body_memory_bytes,
            1024 * KIB..=1024 * GIB,
            default.body_memory_bytes,
        )?,
        tenant_percent: u8::try_from(percent).unwrap_or(100),
        captured_body_bytes: number(
            "limits.captured_body_bytes",
            raw.captured_body_bytes,
            0..=64 * 1024 * KIB,
            default.captured_body_bytes,
        )?,
        idle_upstream_connections: number(
            "limits.idle_upstream_connections",
            raw.idle_upstream_connections,
            1..=100_000,
            default.idle_upstream_connections,
        )?,
    };
    // The largest request there may be, packed and unpacked, and the largest answer to it.
    let needed = 2 * limits.request_body_bytes + limits.answer_bytes;
    if limits.body_memory_bytes / 100 * percent < needed {
        return Err(format!(
            "limits.body_memory_bytes: {}: {percent} % of it (limits.tenant_percent) is less than one request may need, {needed}: \
             twice limits.request_body_bytes and limits.answer_bytes",
            limits.body_memory_bytes
        ));
    }
    Ok(limits)
}

fn spool(
    raw: &raw::Spool,
    default: bulkhead_proxy::SpoolLimits,
) -> Result<bulkhead_proxy::SpoolLimits, String> {
    const MIB: usize = 1024 * 1024;
    let quota = usize::try_from(default.quota_bytes).unwrap_or(usize::MAX);
    let quota = number("spool.quota_bytes", raw.quota_bytes, MIB..=1024 * 1024 * MIB, quota)?;
    let percent = number("spool.tenant_percent", raw.tenant_percent, 1..=100, default.tenant_percent.into())?;
    Ok(bulkhead_proxy::SpoolLimits {
        quota_bytes: quota as u64,
        tenant_percent: u8::try_from(percent).unwrap_or(100),
    })
}

fn timeouts(
    raw: &raw::Timeouts,
    default: &bulkhead_proxy::Timeouts,
) -> Result<bulkhead_proxy::Timeouts, String> {
    Ok(bulkhead_proxy::Timeouts {
        head: span("timeouts.head_ms", raw.head_ms, 1..=SPAN_MS_MAX, default.head)?,
        body: span("timeouts.body_ms", raw.body_ms, 1..=BODY_MS_MAX, default.body)?,
        client_write: span(
            "timeouts.client_write_ms",
            raw.client_write_ms,
            1..=SPAN_MS_MAX,
            default.client_write,
        )?,
        upstream_connect: span(
            "timeouts.upstream_connect_ms",
            raw.upstream_connect_ms,
            1..=SPAN_MS_MAX,
            default.upstream_connect,
        )?,
        upstream_head: span(
            "timeouts.upstream_head_ms",
            raw.upstream_head_ms,
            1..=SPAN_MS_MAX,
            default.upstream_head,
        )?,
        upstream_idle: span(
            "timeouts.upstream_idle_ms",
            raw.upstream_idle_ms,
            1..=SPAN_MS_MAX,
            default.upstream_idle,
        )?,
        stream_ping: span(
            "timeouts.stream_ping_ms",
            raw.stream_ping_ms,
            1..=SPAN_MS_MAX,
            default.stream_ping,
        )?,
        drain_delay: span(
            "timeouts.drain_delay_ms",
            raw.drain_delay_ms,
            0..=SPAN_MS_MAX,
            default.drain_delay,
        )?,
        drain: span("timeouts.drain_ms", raw.drain_ms, 0..=SPAN_MS_MAX, default.drain)?,
    })
}

#[cfg(test)]
mod tests;
