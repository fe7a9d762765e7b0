//! Logs: on standard error, for people at a terminal, as JSON lines in production.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

/// Who reads the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Starts logging; `BULKHEAD_LOG` says what (`debug`, `warn,bulkhead_proxy=trace`), without it `default`.
pub(crate) fn install(format: LogFormat, default: &str) -> Result<(), Failure> {
    let text = std::env::var("BULKHEAD_LOG").unwrap_or_else(|_| default.to_owned());
    let filter = EnvFilter::try_new(&text).map_err(|error| {
        Failure::Usage(format!("BULKHEAD_LOG: {text:?}: {error}: expected a level such as info"))
    })?;
    // A line that a full disk refuses is lost: told of on the same standard error it would be a panic, in whoever wrote it.
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).log_internal_errors(false);
    match format {
        LogFormat::Text => builder.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}
