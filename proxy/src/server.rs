//! Listeners, connections and the graceful stop.
//!
//! The accept loop is ours, on pingora's sessions: so port 0 works, the whole request head has one deadline,
//! open connections have a cap, and a stop waits for running streams instead of for a fixed time.

use crate::admin::Admin;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::leases::Leases;
use crate::metrics::Metrics;
use crate::socket;
use crate::spool::TraceSender;
use bulkhead_policy::snapshot::SnapshotHandle;
use pingora::apps::{HttpServerApp, ReusedHttpStream, ServerApp};
use pingora::protocols::http::ServerSession;
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener as BoundListener};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// First bytes of an HTTP/2 connection (RFC 9113 section 3.4); no HTTP/1 request starts like this.
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A preface that comes in pieces is looked at again after this.
const PREFACE_POLL: Duration = Duration::from_millis(20);
/// A client sends its preface at once; a piece of one is no client.
const PREFACE_WITHIN: Duration = Duration::from_secs(2);
/// Connections that outlive their last request by this much are ended when draining.
const LINGER: Duration = Duration::from_secs(2);
const KEEP_ALIVE_SECONDS: u64 = 60;

/// Why the proxy could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be bound.
    #[error("cannot listen on {address} ({what}): {source}")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// Which listener it was for.
        what: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// The worker threads cannot be started.
    #[error("cannot start the worker threads: {0}")]
    Runtime(#[source] io::Error),
}

/// What the proxy works with, made by others.
#[derive(Debug)]
pub struct Parts {
    /// The current policy snapshot, published by the policy feed.
    pub snapshot: SnapshotHandle,
    /// Where finished requests are recorded.
    pub traces: TraceSender,
    /// What this node may spend.
    pub leases: Leases,
    /// The process's metrics.
    pub metrics: Arc<Metrics>,
}

/// How long it takes until others are let in, where so many have come at once. Taking a connection and its first request takes a tenth
/// of a millisecond: of worker threads that is a fifth to two fifths of their time.
const TURN: Duration = Duration::from_millis(1);
const CONNECTIONS_PER_TURN: usize = 4;
/// Connections that may wait to be accepted; the system allows no more than its own maximum.
const BACKLOG: i32 = 4_096;

/// The addresses that were bound.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// The data listener.
    pub proxy: SocketAddr,
    /// The listener for metrics and probes.
    pub metrics: SocketAddr,
}

/// The proxy with its listeners bound: clients can connect, nothing is answered before [`Service::run`].
#[derive(Debug)]
pub struct Service {
    config: Config,
    parts: Parts,
    data: BoundListener,
    admin: BoundListener,
    addresses: Addresses,
}

impl Service {
    /// Binds both listeners.
    ///
    /// # Errors
    /// [`ServeError::Bind`] names the address that is taken.
    pub fn bind(config: Config, parts: Parts) -> Result<Self, ServeError> {
        let (data, proxy) = bind(config.listen, "data")?;
        let (admin, metrics) = bind(config.metrics_listen, "metrics")?;
        Ok(Self { config, parts, data, admin, addresses: Addresses { proxy, metrics } })
    }

    /// Returns the addresses that were bound.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Serves on worker threads of its own until `stop` turns true, then drains: readiness fails, the
    /// listener closes, running requests finish. Blocks the calling thread.
    ///
    /// # Errors
    /// [`ServeError::Runtime`] if the worker threads cannot be started.
    pub fn run(self, stop: watch::Receiver<bool>) -> Result<(), ServeError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(self.config.threads.max(1))
            .thread_name("bulkhead-data")
            .enable_all()
            .build()
            .map_err(ServeError::Runtime)?;
        let result = runtime.block_on(self.serve(stop));
        runtime.shutdown_timeout(Duration::from_secs(1));
        result.map_err(ServeError::Runtime)
    }

    async fn serve(self, mut stop: watch::Receiver<bool>) -> io::Result<()> {
        let data = TcpListener::from_std(self.data)?;
        let admin_listener = TcpListener::from_std(self.admin)?;
        let timeouts = self.config.timeouts.clone();
        let connections_max = self.config.limits.connections;
        let threads = self.config.threads.max(1);
        let metrics = Arc::clone(&self.parts.metrics);
        let (closing, closed) = watch::channel(false);
        let admin = Arc::new(Admin::new(Arc::clone(&metrics), self.parts.snapshot.clone()));
        let gateway = Arc::new(Gateway::new(self.config, self.parts));

        let mut listeners = JoinSet::new();
        let front = Front {
            app: Arc::clone(&gateway),
            connections_max,
            threads,
            metrics: Some(metrics),
            closed: closed.clone(),
        };
        listeners.spawn(front.accept(data));
        let side = Front { app: Arc::clone(&admin), connections_max: 256, threads, metrics: None, closed };
        let mut admin_tasks = JoinSet::new();
        // The probes keep answering while the data plane drains.
        admin_tasks.spawn(side.accept_until_aborted(admin_listener));

        let _stopped_or_owner_gone = stop.wait_for(|stop| *stop).await;
        tracing::info!("stopping: readiness fails, running requests finish");
        admin.set_draining();
        gateway.set_draining();
        tokio::time::sleep(timeouts.drain_delay).await;
        closing.send_replace(true);
        if tokio::time::timeout(timeouts.drain, gateway.idle()).await.is_err() {
            tracing::warn!(in_flight = gateway.in_flight(), "drain time is over; ending what still runs");
        }
        let connections_end = async { while listeners.join_next().await.is_some() {} };
        let _ended_or_worth_no_more_waiting = tokio::time::timeout(LINGER, connections_end).await;
        Ok(())
    }
}

fn bind(address: SocketAddr, what: &'static str) -> Result<(BoundListener, SocketAddr), ServeError> {
    listen(address).map_err(|source| ServeError::Bind { address, what, source })
}

fn listen(address: SocketAddr) -> io::Result<(BoundListener, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // As the standard library does, so that a restart finds its port.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    // The standard library's 128 are fewer than may knock in the moment of a restart, and who finds no place waits for seconds.
    socket.listen(BACKLOG)?;
    let listener = BoundListener::from(socket);
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// One listener and the application behind it.
struct Front<A> {
    app: Arc<A>,
    connections_max: usize,
    threads: usize,
    metrics: Option<Arc<Metrics>>,
    closed: watch::Receiver<bool>,
}

impl<A: HttpServerApp + Send + Sync + 'static> Front<A> {
    /// Accepts until `closed` turns true, then waits for the connections that are still open.
    async fn accept(self, listener: TcpListener) {
        let permits = Arc::new(Semaphore::new(self.connections_max));
        let mut closed = self.closed.clone();
        let mut connections = JoinSet::new();
        let mut turnstile = Turnstile::new(self.threads);
        loop {
            let accepted = tokio::select! {
                biased;
                _ = closed.wait_for(|closed| *closed) => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                accepted = accept_one(&listener, &permits) => accepted,
            };
            let Some((stream, permit)) = accepted else { continue };
            let app = Arc::clone(&self.app);
            let closed = self.closed.clone();
            let metrics = self.metrics.clone();
            connections.spawn(async move {
                let _open = metrics.as_ref().map(|metrics| OpenConnection::new(metrics));
                serve_connection(stream, &app, &closed).await;
                drop(permit);
            });
            turnstile.pass().await;
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    /// For the listener that lives as long as the process: ends only when its task is aborted.
    async fn accept_until_aborted(mut self, listener: TcpListener) {
        let (_never, closed) = watch::channel(false);
        self.closed = closed;
        self.accept(listener).await;
    }
}

/// Whoever opens many connections at once waits for the requests that run, not they for all of those.
struct Turnstile {
    per_turn: usize,
    since: Instant,
    passed: usize,
}

impl Turnstile {
    fn new(threads: usize) -> Self {
        Self { per_turn: CONNECTIONS_PER_TURN * threads, since: Instant::now(), passed: 0 }
    }

    /// Lets what is ready run, and after a few that came at once makes the others wait a moment.
    async fn pass(&mut self) {
        tokio::task::yield_now().await;
        if self.since.elapsed() >= TURN {
            (self.since, self.passed) = (Instant::now(), 0);
        }
        self.passed += 1;
        if self.passed >= self.per_turn {
            tokio::time::sleep(TURN).await;
        }
    }
}

struct OpenConnection<'a>(&'a Metrics);

impl<'a> OpenConnection<'a> {
    fn new(metrics: &'a Metrics) -> Self {
        metrics.connections.inc();
        Self(metrics)
    }
}

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}

type Permit = tokio::sync::OwnedSemaphorePermit;

async fn accept_one(listener: &TcpListener, permits: &Arc<Semaphore>) -> Option<(TcpStream, Permit)> {
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, permit)),
        Err(error) => {
            // Out of file descriptors: accepting again at once would spin.
            tracing::warn!(%error, "accepting a connection failed");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn serve_connection<A>(tcp: TcpStream, app: &Arc<A>, closed: &watch::Receiver<bool>)
where
    A: HttpServerApp + Send + Sync + 'static,
{
    let _only_slower_without = tcp.set_nodelay(true);
    let mut closing = closed.clone();
    let h2 = tokio::select! {
        first = tokio::time::timeout(Duration::from_secs(KEEP_ALIVE_SECONDS), is_h2(&tcp)) => first,
        // A connection that has not asked for anything is not worth waiting for.
        _ = closing.wait_for(|closed| *closed) => return,
    };
    let Ok(Ok(h2)) = h2 else { return };
    let stream = socket::stream(tcp);
    if h2 {
        app.process_new(stream, closed).await;
        return;
    }
    let mut session = ServerSession::new_http1(stream);
    session.set_keepalive(Some(KEEP_ALIVE_SECONDS));
    // Requests that are sent before the last answer was read are served one after the other; dropping them behind an
    // answer that says keep-alive would leave their callers waiting, and taking them for the caller's leaving would end
    // the one that runs. From then on only writing shows that the caller has left.
    session.set_pipelining_enabled(true);
    let mut next = app.process_new_http(session, closed).await.map(ReusedHttpStream::consume);
    while let Some((stream, settings)) = next {
        let mut session = ServerSession::new_http1(stream);
        if let Some(settings) = settings {
            settings.apply_to_session(&mut session);
        }
        next = app.process_new_http(session, closed).await.map(ReusedHttpStream::consume);
    }
}

/// Looks at the first bytes without taking them. Waits a moment while they could still become the HTTP/2 preface.
async fn is_h2(tcp: &TcpStream) -> io::Result<bool> {
    let mut start = [0; H2_PREFACE.len()];
    let mut give_up_at = None;
    loop {
        let seen = tcp.peek(&mut start).await?;
        let seen = start.get(..seen).unwrap_or_default();
        if seen == H2_PREFACE {
            return Ok(true);
        }
        let now = Instant::now();
        let may_become = !seen.is_empty() && H2_PREFACE.starts_with(seen);
        if !may_become || now >= *give_up_at.get_or_insert(now + PREFACE_WITHIN) {
            return Ok(false);
        }
        tokio::time::sleep(PREFACE_POLL).await;
    }
}
