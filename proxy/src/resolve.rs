//! Names of upstreams to addresses, off the request path.
//!
//! 1. A host name is looked up by the operating system, one look-up of a name at a time and [`LOOKUPS_MAX`] in all: each
//!    takes a thread until the system gives up, whoever waits for it.
//! 2. A request waits only where nothing is known that is younger than [`OLD`]. Until then it goes by what is known, and
//!    from [`FRESH`] on a look-up is under way beside it.
//! 3. A failed look-up keeps the last good answer; without one, requests fail at once for [`FAILED`].
//! 4. Every address is checked when it is resolved and the connection goes to that very address, so a name
//!    that later points inwards (DNS rebinding) never reaches the inside.

use arc_swap::ArcSwap;
use bulkhead_policy::address::{BaseUrl, Reach};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

/// How long an answer is used without asking again.
const FRESH: Duration = Duration::from_secs(20);
/// How long it is used while it is asked again: machines of providers come and go.
const OLD: Duration = Duration::from_secs(300);
/// How long a failure is.
const FAILED: Duration = Duration::from_secs(2);
/// How long a request waits for a look-up.
const PATIENCE: Duration = Duration::from_secs(5);
/// Names kept at once; the oldest goes first. Upstreams come from policies, so only operators can add names.
const NAMES_MAX: usize = 4096;
/// Look-ups at once: few of the threads on which also bodies are inspected.
const LOOKUPS_MAX: usize = 32;

/// Why a name has no usable address.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error("looking up the upstream's host failed")]
    Lookup(#[source] Arc<io::Error>),
    #[error("looking up the upstream's host took longer than {} s", PATIENCE.as_secs())]
    Timeout,
    #[error("the upstream's host has no address that upstreams may have; see `proxy.private_upstreams`")]
    OutOfReach,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Name {
    host: String,
    port: u16,
    /// Where there is none, fewer addresses are within reach.
    tls: bool,
}

type Found = Result<Arc<[SocketAddr]>, ResolveError>;

/// What the last look-ups of a name gave.
#[derive(Debug)]
struct Answer {
    found: Found,
    ask_again: Instant,
    wait_from: Instant,
}

/// Asks the operating system, or in tests whoever plays it.
type LookUp =
    Box<dyn Fn(Name) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> + Send + Sync>;

/// Resolves upstream hosts and remembers the answers.
pub(crate) struct Resolver {
    names: Arc<Names>,
}

struct Names {
    answers: ArcSwap<HashMap<Name, Arc<Answer>>>,
    /// Look-ups that have begun: these channels close when they end.
    under_way: Mutex<HashMap<Name, watch::Receiver<()>>>,
    turns: Semaphore,
    look_up: LookUp,
    reach: Reach,
}

impl Resolver {
    pub(crate) fn new(reach: Reach) -> Self {
        let look_up: LookUp = Box::new(|Name { host, port, .. }| {
            Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
        });
        Self::with(look_up, reach)
    }

    fn with(look_up: LookUp, reach: Reach) -> Self {
        Self {
            names: Arc::new(Names {
                answers: ArcSwap::default(),
                under_way: Mutex::default(),
                turns: Semaphore::new(LOOKUPS_MAX),
                look_up,
                reach,
            }),
        }
    }

    /// Returns the usable addresses of a host, at least one.
    pub(crate) async fn addresses(&self, base: &BaseUrl) -> Found {
        let BaseUrl { host, port, tls, .. } = base;
        let (port, tls) = (*port, *tls);
        if let Ok(ip) = host.parse::<IpAddr>() {
            return self.names.usable(vec![SocketAddr::new(ip, port)], tls);
        }
        let name = Name { host: host.clone(), port, tls };
        let known = self.names.known(&name);
        if let Some(known) = &known {
            let now = Instant::now();
            if now < known.ask_again {
                return known.found.clone();
            }
            if now < known.wait_from {
                let _goes_on_beside = self.names.ask(name);
                return known.found.clone();
            }
        }
        let mut ended = self.names.ask(name.clone());
        // Nothing is ever sent: the channel closes.
        let waited = tokio::time::timeout(PATIENCE, ended.changed()).await;
        let known = if waited.is_ok() { self.names.known(&name) } else { known };
        known.map_or(Err(ResolveError::Timeout), |answer| answer.found.clone())
    }
}

impl Names {
    fn known(&self, name: &Name) -> Option<Arc<Answer>> {
        self.answers.load().get(name).cloned()
    }

    /// Looks a name up, unless somebody does; the channel closes when that has ended.
    ///
    /// It goes on although nobody may wait for it any more: the system's look-up cannot be ended, and another one
    /// beside it would take another thread.
    fn ask(self: &Arc<Self>, name: Name) -> watch::Receiver<()> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ended) = under_way.get(&name) {
            return ended.clone();
        }
        let (ends, ended) = watch::channel(());
        under_way.insert(name.clone(), ended.clone());
        let lookup = Lookup { names: Arc::clone(self), name, _ends: ends };
        #[expect(
            clippy::disallowed_methods,
            reason = "nothing could stop the system's look-up, and it ends by itself"
        )]
        tokio::spawn(lookup.run());
        ended
    }

    fn usable(&self, found: Vec<SocketAddr>, tls: bool) -> Found {
        let is_usable = |address: &SocketAddr| self.reach.admits(address.ip(), tls);
        let usable: Arc<[_]> = found.into_iter().filter(is_usable).collect();
        if usable.is_empty() { Err(ResolveError::OutOfReach) } else { Ok(usable) }
    }

    fn remember(&self, name: &Name, found: Found) {
        let now = Instant::now();
        let before = || self.known(name).filter(|before| before.found.is_ok());
        let answer = match found {
            Ok(_) => Answer { found, ask_again: now + FRESH, wait_from: now + OLD },
            Err(_) if let Some(before) = before() => {
                Answer { found: before.found.clone(), ask_again: now + FRESH, wait_from: now + OLD }
            }
            Err(_) => Answer { found, ask_again: now + FAILED, wait_from: now + FAILED },
        };
        let answer = Arc::new(answer);
        self.answers.rcu(|answers| {
            let mut answers = HashMap::clone(answers);
            if answers.len() >= NAMES_MAX && !answers.contains_key(name) {
                let oldest = answers.iter().min_by_key(|(_, answer)| answer.ask_again);
                let oldest = oldest.map(|(name, _)| name.clone());
                oldest.map(|oldest| answers.remove(&oldest));
            }
            answers.insert(name.clone(), Arc::clone(&answer));
            answers
        });
    }
}

/// One look-up; however it ends, it is no longer under way then.
struct Lookup {
    names: Arc<Names>,
    name: Name,
    _ends: watch::Sender<()>,
}

impl Lookup {
    async fn run(self) {
        // The semaphore is never closed.
        let _turn = self.names.turns.acquire().await;
        let found = (self.names.look_up)(self.name.clone()).await;
        let found = found.map_err(|error| ResolveError::Lookup(Arc::new(error)));
        self.names.remember(&self.name, found.and_then(|found| self.names.usable(found, self.name.tls)));
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        self.names.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

#[cfg(test)]
mod tests;
