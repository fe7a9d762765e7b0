//! What an operator decides about the data plane.

use bulkhead_policy::address::Reach;
use std::net::SocketAddr;
use std::time::Duration;

/// Settings of the proxy; every limit of the request path is here.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address of the data listener; port 0 lets the operating system choose.
    pub listen: SocketAddr,
    /// Address of the listener for metrics and probes.
    pub metrics_listen: SocketAddr,
    /// Worker threads of the data plane.
    pub threads: usize,
    /// Which hosts upstreams may have.
    pub upstreams: Reach,
    /// Sizes and counts.
    pub limits: Limits,
    /// Waiting times.
    pub timeouts: Timeouts,
    /// Room for what waits for the database.
    pub spool: SpoolLimits,
}

/// Upper bounds of everything that grows with what strangers send.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Open client connections; more wait in the listener's backlog.
    pub connections: usize,
    /// Bytes of a request head.
    pub head_bytes: usize,
    /// Bytes of a request body, before and after decoding; a policy may ask for less.
    pub request_body_bytes: usize,
    /// Bytes of an answer that has to be inspected whole.
    pub answer_bytes: usize,
    /// Bytes of one event of a stream.
    pub event_bytes: usize,
    /// Bytes of events that wait for a verdict, per stream.
    pub held_bytes: usize,
    /// Bytes of bodies and of waiting events, of all requests together.
    pub body_memory_bytes: usize,
    /// The part of that, and of the connections, that the requests of one tenant may take, in percent.
    pub tenant_percent: u8,
    /// Bytes of a body that a trace keeps.
    pub captured_body_bytes: usize,
    /// Idle upstream connections kept for reuse.
    pub idle_upstream_connections: usize,
}

/// How much the spool may hold.
#[derive(Debug, Clone, Copy)]
pub struct SpoolLimits {
    /// Bytes on disk.
    pub quota_bytes: u64,
    /// The part of it that the waiting records of one tenant may take, in percent.
    pub tenant_percent: u8,
}

impl Default for SpoolLimits {
    fn default() -> Self {
        Self { quota_bytes: 1 << 30, tenant_percent: 25 }
    }
}

/// How long the proxy waits for others.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// A whole request head, keep-alive waiting included.
    pub head: Duration,
    /// A whole request body.
    pub body: Duration,
    /// One write to a client.
    pub client_write: Duration,
    /// Connecting to an upstream, TLS included.
    pub upstream_connect: Duration,
    /// The upstream's response head.
    pub upstream_head: Duration,
    /// Silence inside an upstream's answer.
    pub upstream_idle: Duration,
    /// Silence after which a comment line keeps a stream alive.
    pub stream_ping: Duration,
    /// After readiness fails and before the listener closes, so that load balancers notice.
    pub drain_delay: Duration,
    /// How long running requests may go on after that.
    pub drain: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            metrics_listen: SocketAddr::from(([127, 0, 0, 1], 9090)),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            upstreams: Reach::Public,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            spool: SpoolLimits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            head_bytes: 64 << 10,
            request_body_bytes: 32 << 20,
            answer_bytes: 32 << 20,
            event_bytes: 8 << 20,
            held_bytes: 1 << 20,
            body_memory_bytes: 1 << 30,
            tenant_percent: 25,
            captured_body_bytes: 256 << 10,
            idle_upstream_connections: 1024,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(75),
            body: Duration::from_secs(120),
            client_write: Duration::from_secs(60),
            upstream_connect: Duration::from_secs(5),
            upstream_head: Duration::from_secs(300),
            upstream_idle: Duration::from_secs(300),
            stream_ping: Duration::from_secs(15),
            drain_delay: Duration::ZERO,
            drain: Duration::from_secs(600),
        }
    }
}
