//! The three systems that are compared.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bulkhead_tests::{Bulkhead, Options};

use crate::driver::Target;

/// Everything that Bulkhead can do is on: rules both ways, budgets, limits, and traces as always.
pub const POLICY: &str = r#"
allow: { operations: [chat, responses, messages], models: ["gpt-*", "claude-*"] }
dlp:
  detectors:
    - { id: PROJECT_NAMES, terms: ["blue falcon", "red heron"], ignore_case: true }
    - { id: EMPLOYEE_ID, regex: "EMP-[0-9]{6}" }
  rules:
    - { detect: ["secret.*"], on: both, action: block }
    - { detect: [CREDIT_CARD, EMAIL_ADDRESS, "pii.*"], on: both, action: mask }
    - { detect: [PROJECT_NAMES, EMPLOYEE_ID], on: both, action: alert }
budgets:
  - { id: month, scope: tenant, unit: usd, limit: "1000000.00", window: month, at_limit: cut }
  - { id: agent-day, scope: agent, unit: tokens, limit: 900000000000, window: day, at_limit: refuse }
limits: { requests_per_minute: 100000000, concurrent_requests: 100000 }
capture: none
"#;

/// Which system it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// No proxy: the upstream itself.
    Direct,
    /// A pass-through made of the same pingora.
    Bare,
    /// Bulkhead.
    Bulkhead,
}

impl Name {
    /// All, in the order in which they take turns.
    pub const ALL: [Self; 3] = [Self::Direct, Self::Bare, Self::Bulkhead];

    /// What the table calls it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Bare => "bare pingora",
            Self::Bulkhead => "Bulkhead",
        }
    }
}

/// The running systems.
#[derive(Debug)]
pub struct Subjects {
    upstream: SocketAddr,
    bare: Bare,
    /// Bulkhead, for its commands and metrics.
    pub bulkhead: Bulkhead,
    clock: Instant,
}

impl Subjects {
    /// Starts the two proxies in front of `upstream`.
    ///
    /// # Errors
    /// If one of them does not start.
    pub async fn start(upstream: SocketAddr, clock: Instant) -> anyhow::Result<Self> {
        let bulkhead = start_bulkhead(upstream).await;
        let bare = Bare::start(&std::env::current_exe()?.with_file_name("bare-proxy"), upstream).await?;
        Ok(Self { upstream, bare, bulkhead, clock })
    }

    /// Where a system listens, and what it must answer.
    ///
    /// # Errors
    /// If Bulkhead's address is not one.
    pub fn target(&self, name: Name) -> anyhow::Result<Target> {
        let address = match name {
            Name::Direct => self.upstream,
            Name::Bare => self.bare.address,
            Name::Bulkhead => address_of(&self.bulkhead)?,
        };
        let key = Arc::from(self.bulkhead.ready.api_key.as_str());
        Ok(Target { address, key, masks: name == Name::Bulkhead, clock: self.clock })
    }

    /// The process that does the work; none for the upstream itself.
    #[must_use]
    pub fn pid(&self, name: Name) -> Option<u32> {
        match name {
            Name::Direct => None,
            Name::Bare => Some(self.bare.child.id()),
            Name::Bulkhead => Some(self.bulkhead.pid()),
        }
    }
}

/// Starts a Bulkhead with [`POLICY`] and one worker thread in front of `upstream`.
pub async fn start_bulkhead(upstream: SocketAddr) -> Bulkhead {
    let options = Options {
        policy: Some(POLICY.to_owned()),
        upstream: Some(format!("http://{upstream}")),
        arguments: vec!["--threads".to_owned(), "1".to_owned()],
        ..Options::default()
    };
    Bulkhead::start(options).await
}

/// Where a Bulkhead listens.
///
/// # Errors
/// If its address is not one.
pub fn address_of(bulkhead: &Bulkhead) -> anyhow::Result<SocketAddr> {
    Ok(bulkhead.ready.proxy_url.trim_start_matches("http://").trim_end_matches('/').parse()?)
}

/// The running bare pass-through; stopped when dropped.
#[derive(Debug)]
pub struct Bare {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Bare {
    /// Starts `program`, which is `bare-proxy`, in front of `upstream`.
    ///
    /// # Errors
    /// If it does not listen within 20 seconds.
    pub async fn start(program: &Path, upstream: SocketAddr) -> anyhow::Result<Self> {
        // Pingora cannot tell which port it was given, so one that is free now has to do.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new(program)
            .args([address.to_string(), upstream.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let mut bare = Self { child, address };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).is_err() {
            if Instant::now() > deadline || bare.child.try_wait()?.is_some() {
                bail!("the bare proxy does not listen on {address}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(bare)
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}
