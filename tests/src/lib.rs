//! The harness of the end-to-end tests: the real binary, its private PostgreSQL, and a scripted provider.
//!
//! A test file shares one running Bulkhead, because each start costs an `initdb`; a test gets its own
//! model name (and so its own script at the provider) and, where it needs another policy, its own tenant.
//! Nothing waits for a fixed time: tests open gates, or poll a condition up to [`DEADLINE`].

pub mod client;
pub mod commands;
pub mod fixture;
pub mod load;
pub mod originals;
pub mod packages;
pub mod placed;
pub mod postgres;
pub mod process;
pub mod provider;
pub mod samples;
pub mod shapes;
pub mod traces;

use std::future::Future;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

pub use client::{Call, Client, Live, Reply};
pub use fixture::{Fixture, Shared};
pub use process::{Bulkhead, Options};
pub use provider::{Answer, FakeProvider, Gate, Seen};

/// How long any single wait may take before the test fails.
///
/// Generous: it is reached only by failures, and a debug binary shares the machine with other tests.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// How often a polled condition is looked at.
const POLL: Duration = Duration::from_millis(10);

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("start the tests' runtime")
});

/// Runs one test on the runtime that all tests of the file share.
///
/// Shared, because the provider's connections must outlive the test that opened them.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    RUNTIME.block_on(test)
}

/// The handle of the shared runtime, for tasks that outlive one test.
pub fn runtime() -> tokio::runtime::Handle {
    RUNTIME.handle().clone()
}

/// Polls `condition` until it gives a value; fails the test with `what` after [`DEADLINE`].
pub async fn eventually<T, F>(what: &str, mut condition: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let start = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(start.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// Awaits `future`; fails the test with `what` after [`DEADLINE`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {DEADLINE:?}: {what}"),
    }
}
