//! What a process has used, read from `/proc`, and order statistics.

use std::time::Duration;

use anyhow::Context;

/// Kernel ticks per second in `/proc/PID/stat`; 100 on every Linux that this runs on (`getconf CLK_TCK`).
const TICKS_PER_SECOND: u64 = 100;

/// User and system time of all threads of a process, the ended ones included.
///
/// # Errors
/// If the process is gone.
pub fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("read the process's stat")?;
    // The name in parentheses may hold spaces; the numbers stand after it.
    let (_, rest) = stat.rsplit_once(')').context("a stat line")?;
    let field = |index: usize| -> anyhow::Result<u64> {
        rest.split_whitespace().nth(index).context("a stat field")?.parse().context("a number of ticks")
    };
    let ticks = field(11)? + field(12)?;
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// Resident memory of a process in bytes.
///
/// # Errors
/// If the process is gone.
pub fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let status =
        std::fs::read_to_string(format!("/proc/{pid}/status")).context("read the process's status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a line VmRSS")?;
    let kilobytes: u64 = line.split_whitespace().next().context("a number")?.parse()?;
    Ok(kilobytes * 1024)
}

/// The value below which `per_cent` of the sorted values lie; 0 where there are none.
#[must_use]
pub fn percentile(sorted: &[u32], per_cent: usize) -> u32 {
    let index = (sorted.len() * per_cent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or(0)
}

/// The median; 0 where there is none.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Lets this process, and those it starts, open as many files as the system allows.
///
/// # Errors
/// If the system does not even tell the limit.
pub fn raise_file_limit() -> anyhow::Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(())
}
