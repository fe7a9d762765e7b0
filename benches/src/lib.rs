//! The load benchmark: what Bulkhead costs on top of a bare pass-through that is built from the same parts.
//!
//! - Everything runs on loopback, with one worker thread in each proxy, so figures are ratios, not records.
//! - The measure is CPU time of the proxy's process per request: it does not depend on who else uses the machine.
//! - The systems take turns, round after round, because machines are noisy; the table shows medians.
//! - Every response is checked: a proxy that is fast because it drops or leaks bytes fails the run.

pub mod agent_body;
pub mod clock;
pub mod driver;
pub mod measure;
pub mod noise;
pub mod propagation;
pub mod report;
pub mod scenario;
pub mod subject;
pub mod upstream;
