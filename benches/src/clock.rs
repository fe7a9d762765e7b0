//! Times a call whose result is checked every time: a scanner is fastest when it finds nothing.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::measure::median;

const RUNS: usize = 9;
/// Long enough that a clock tick does not matter.
const RUN_TIME: Duration = Duration::from_millis(40);

/// The median time of a call, and how many bytes it looked at.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Seconds per call.
    pub seconds: f64,
    bytes: usize,
}

impl Timing {
    /// Nanoseconds per byte.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "texts are a few megabytes at most")]
    pub fn nanos_per_byte(&self) -> f64 {
        self.seconds * 1e9 / self.bytes as f64
    }
}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10.1} us {:>7.0} MB/s", self.seconds * 1e6, 1e3 / self.nanos_per_byte())
    }
}

/// The median over several runs of `call`, which must give `expected` each time.
///
/// # Errors
/// If it gives anything else.
pub fn time<T: PartialEq + fmt::Debug>(
    bytes: usize,
    expected: &T,
    call: impl Fn() -> anyhow::Result<T>,
) -> anyhow::Result<Timing> {
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let (mut calls, start) = (0_u32, Instant::now());
        while calls == 0 || start.elapsed() < RUN_TIME {
            let found = call()?;
            ensure!(found == *expected, "{found:?} instead of {expected:?}");
            calls += 1;
        }
        times.push(start.elapsed().as_secs_f64() / f64::from(calls));
    }
    Ok(Timing { seconds: Some(median(times)).filter(|time| *time > 0.0).context("a run")?, bytes })
}
