//! Names of upstreams to addresses, off the request path.
//!
//! 1. A host name is looked up by the operating system, at most once per [`FRESH`] while it is used.
//! 2. A stale name is looked up by one request at a time; a failed look-up keeps the last good answer.
//! 3. Every address is checked when it is resolved and the connection goes to that very address, so a name
//!    that later points inwards (DNS rebinding) never reaches the inside.

use arc_swap::ArcSwap;
use bulkhead_policy::address::is_public;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an answer is used without asking again.
const FRESH: Duration = Duration::from_secs(20);
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// Names kept at once; the oldest goes first. Upstreams come from policies, so only operators can add names.
const NAMES_MAX: usize = 4096;

/// Why a name has no usable address.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error("looking up the upstream's host failed")]
    Lookup(#[source] std::io::Error),
    #[error("looking up the upstream's host took longer than {} s", LOOKUP_TIMEOUT.as_secs())]
    Timeout,
    #[error("the upstream's host has no public address; private ones are refused")]
    NotPublic,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Name {
    host: String,
    port: u16,
}

#[derive(Debug)]
struct Answer {
    addresses: Vec<SocketAddr>,
    fetched: Instant,
}

/// Resolves upstream hosts and remembers the answers.
#[derive(Debug)]
pub(crate) struct Resolver {
    answers: ArcSwap<HashMap<Name, Arc<Answer>>>,
    allow_private: bool,
}

impl Resolver {
    /// `allow_private` admits loopback and private addresses: for development and for upstreams inside the
    /// operator's own network, never for policies that tenants write themselves.
    pub(crate) fn new(allow_private: bool) -> Self {
        Self { answers: ArcSwap::default(), allow_private }
    }

    /// Returns the usable addresses of `host`, at least one.
    pub(crate) async fn addresses(&self, host: &str, port: u16) -> Result<Arc<[SocketAddr]>, ResolveError> {
        if let Ok(ip) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return self.usable(std::iter::once(SocketAddr::new(ip, port))).map(Into::into);
        }
        let name = Name { host: host.to_owned(), port };
        let known = self.answers.load().get(&name).cloned();
        let Some(known) = known else {
            let addresses = self.look_up(&name).await?;
            self.remember(name, addresses.clone());
            return Ok(addresses.into());
        };
        if known.fetched.elapsed() >= FRESH {
            // Put back first: meanwhile the others go on with what is known, and a look-up that fails or is given
            // up is not repeated by every request.
            self.remember(name.clone(), known.addresses.clone());
            if let Ok(fresh) = self.look_up(&name).await {
                self.remember(name, fresh);
            }
        }
        Ok(known.addresses.as_slice().into())
    }

    async fn look_up(&self, name: &Name) -> Result<Vec<SocketAddr>, ResolveError> {
        let lookup = tokio::net::lookup_host((name.host.as_str(), name.port));
        let found = tokio::time::timeout(LOOKUP_TIMEOUT, lookup)
            .await
            .map_err(|_| ResolveError::Timeout)?
            .map_err(ResolveError::Lookup)?;
        self.usable(found)
    }

    fn usable(&self, found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, ResolveError> {
        let usable: Vec<_> = found.filter(|address| self.allow_private || is_public(address.ip())).collect();
        if usable.is_empty() { Err(ResolveError::NotPublic) } else { Ok(usable) }
    }

    fn remember(&self, name: Name, addresses: Vec<SocketAddr>) {
        let answer = Arc::new(Answer { addresses, fetched: Instant::now() });
        self.answers.rcu(|answers| {
            let mut answers = HashMap::clone(answers);
            if answers.len() >= NAMES_MAX && !answers.contains_key(&name) {
                let oldest =
                    answers.iter().min_by_key(|(_, answer)| answer.fetched).map(|(name, _)| name.clone());
                oldest.map(|oldest| answers.remove(&oldest));
            }
            answers.insert(name.clone(), Arc::clone(&answer));
            answers
        });
    }
}

#[cfg(test)]
mod tests;
