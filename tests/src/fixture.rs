//! One provider and one Bulkhead for all tests of a file.

use tokio::sync::OnceCell;

use crate::client::Client;
use crate::process::{Bulkhead, Options};
use crate::provider::FakeProvider;

/// A running Bulkhead and the provider behind it.
#[derive(Debug)]
pub struct Fixture {
    /// The provider.
    pub provider: FakeProvider,
    /// Bulkhead.
    pub bulkhead: Bulkhead,
}

impl Fixture {
    /// Starts both, with `policy` for the demo tenant.
    pub async fn start(policy: &str) -> Self {
        let provider = FakeProvider::start().await;
        let options =
            Options { policy: Some(policy.to_owned()), upstream: Some(provider.url()), ..Options::default() };
        let bulkhead = Bulkhead::start(options).await;
        Self { provider, bulkhead }
    }

    /// A client with the demo agent's key.
    pub fn client(&self) -> Client {
        self.bulkhead.client()
    }

    /// The policy sections that lead a tenant made by [`Bulkhead::tenant`] to this provider.
    pub fn upstreams(&self) -> String {
        upstreams(&self.provider)
    }
}

/// The policy sections that send every model to `provider` with the credential `provider`.
pub fn upstreams(provider: &FakeProvider) -> String {
    let url = provider.url();
    format!(
        "upstreams:\n  openai: {{ base_url: \"{url}\", dialect: openai, credential: provider }}\n  \
         anthropic: {{ base_url: \"{url}\", dialect: anthropic, credential: provider }}\n  \
         gemini: {{ base_url: \"{url}\", dialect: gemini, credential: provider }}\n\
         routes:\n  - {{ models: [\"claude-*\"], to: [anthropic] }}\n  - {{ models: [\"gemini-*\"], to: [gemini] }}\n  - {{ models: [\"*\"], to: [openai] }}\n"
    )
}

/// A fixture that the tests of one file share.
///
/// A static is never dropped: the guard of [`Bulkhead`] cleans up when the test process ends.
#[derive(Debug)]
pub struct Shared {
    policy: &'static str,
    cell: OnceCell<Fixture>,
}

impl Shared {
    /// A fixture that starts when it is first asked for.
    pub const fn new(policy: &'static str) -> Self {
        Self { policy, cell: OnceCell::const_new() }
    }

    /// The running fixture.
    pub async fn get(&self) -> &Fixture {
        self.cell.get_or_init(|| Fixture::start(self.policy)).await
    }
}
