//! Steps 7 to 9: choose an upstream, send the request, read the head of the reply; on failure, the next one.
//!
//! 1. Nothing was written to the caller yet, so every attempt sends the whole request anew.
//! 2. Another upstream is tried after a failed connect and after a 429 or 5xx head. A request that was sent
//!    and got no head is not repeated: the provider may have done, and billed, the work.
//! 3. When the caller leaves, the attempt is dropped, which closes its upstream connection at once.

use crate::config::{Config, Timeouts};
use crate::metrics::Metrics;
use crate::rejection::Rejection;
use crate::resolve::Resolver;
use crate::rewrite;
use bulkhead_dialect::Endpoint;
use bulkhead_policy::compile::Upstream;
use bulkhead_policy::ids::TenantId;
use bytes::Bytes;
use pingora::ErrorType;
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::Connector;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::ALPN;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::client::HttpSession as UpstreamSession;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an idle upstream connection is kept.
const IDLE: Duration = Duration::from_secs(60);
/// Streams per HTTP/2 connection to an upstream; providers commonly allow 100.
const H2_STREAMS: usize = 64;
/// Finds connections that died silently before a request does.
const H2_PING: Duration = Duration::from_secs(30);
/// Addresses of one upstream that are tried before the next upstream is.
const ADDRESSES_TRIED: usize = 4;

/// A request as judged: what goes upstream, whoever takes it.
pub(crate) struct Outbound<'a> {
    pub(crate) endpoint: Endpoint,
    pub(crate) body: Bytes,
    pub(crate) tenant: TenantId,
    /// In order of preference; never empty.
    pub(crate) upstreams: Vec<&'a Upstream>,
}

/// How far sending came, also where it failed.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) attempts: u16,
    /// When the request went to an upstream that may have worked on it since; `None` if nothing was sent, or if
    /// the upstream said that it did nothing.
    pub(crate) sent_at: Option<Instant>,
}

/// An upstream's reply whose head was read; the body follows.
pub(crate) struct Reply {
    session: UpstreamSession,
    peer: HttpPeer,
    pub(crate) head: ResponseHeader,
    pub(crate) upstream: String,
    failed: Option<Rejection>,
}

enum Failure {
    /// Before the request was sent: another upstream may try.
    Unreachable,
    ConnectTimeout,
    /// After it was sent.
    Broken,
    Timeout,
    Internal,
}

/// Sends requests upstream; owns the connection pools.
pub(crate) struct Forwarder {
    connector: Connector,
    resolver: Resolver,
    timeouts: Timeouts,
    metrics: Arc<Metrics>,
}

impl Forwarder {
    pub(crate) fn new(config: &Config, metrics: Arc<Metrics>) -> Self {
        let server = ServerConf {
            threads: config.threads.max(1),
            upstream_keepalive_pool_size: config.limits.idle_upstream_connections,
            ..ServerConf::default()
        };
        Self {
            connector: Connector::new(Some(ConnectorOptions::from_server_conf(&server))),
            resolver: Resolver::new(config.upstreams.clone()),
            timeouts: config.timeouts.clone(),
            metrics,
        }
    }

    /// Gets a reply from the first upstream that gives one.
    pub(crate) async fn send(
        &self,
        downstream: &mut ServerSession,
        outbound: &Outbound<'_>,
        progress: &mut Progress,
    ) -> Result<Box<Reply>, Rejection> {
        let mut last = Err(Rejection::upstream_unreachable());
        for (position, upstream) in outbound.upstreams.iter().enumerate() {
            let is_last = position + 1 == outbound.upstreams.len();
            progress.attempts = progress.attempts.saturating_add(1);
            let caller = downstream.req_header();
            let head = rewrite::request_head(caller, outbound.endpoint, upstream, outbound.body.len())
                .map_err(|_| rejection(&Failure::Internal))?;
            let attempt = self.attempt(upstream, head, outbound, &mut progress.sent_at);
            let result = while_caller_stays(downstream, attempt).await?;
            self.count(&result);
            match result {
                Ok(reply) if is_last || !is_worth_another(&reply.head) => return Ok(reply),
                Ok(reply) => {
                    // Its head says that nothing was produced. It is kept: better than no answer at all.
                    progress.sent_at = None;
                    self.keep_last(&mut last, reply).await;
                }
                Err(failure @ (Failure::Unreachable | Failure::ConnectTimeout)) => {
                    if last.is_err() {
                        last = Err(rejection(&failure));
                    }
                }
                Err(failure) => return Err(rejection(&failure)),
            }
        }
        last
    }

    async fn keep_last(&self, last: &mut Result<Box<Reply>, Rejection>, reply: Box<Reply>) {
        if let Ok(earlier) = std::mem::replace(last, Ok(reply)) {
            self.finished(*earlier).await;
        }
    }

    fn count(&self, result: &Result<Box<Reply>, Failure>) {
        let label = match result {
            Ok(reply) if is_worth_another(&reply.head) => "unavailable",
            Ok(_) => "answered",
            Err(Failure::Unreachable) => "unreachable",
            Err(Failure::ConnectTimeout | Failure::Timeout) => "timeout",
            Err(Failure::Broken) => "broken",
            Err(Failure::Internal) => "internal",
        };
        self.metrics.upstream_attempts.with_label_values(&[label]).inc();
    }

    async fn attempt(
        &self,
        upstream: &Upstream,
        head: RequestHeader,
        outbound: &Outbound<'_>,
        sent_at: &mut Option<Instant>,
    ) -> Result<Box<Reply>, Failure> {
        let (mut session, peer) = self.connect(upstream, outbound.tenant).await?;
        session.set_read_timeout(Some(self.timeouts.upstream_head));
        session.set_write_timeout(Some(self.timeouts.upstream_idle));
        *sent_at = Some(Instant::now());
        match exchange_heads(&mut session, head, outbound.body.clone()).await {
            Ok(head) => {
                session.set_read_timeout(Some(self.timeouts.upstream_idle));
                let upstream = upstream.name.to_string();
                Ok(Box::new(Reply { session, peer, head, upstream, failed: None }))
            }
            Err(error) => {
                log_failure(upstream, &error);
                self.discard(session, &peer).await;
                Err(if is_timeout(&error) { Failure::Timeout } else { Failure::Broken })
            }
        }
    }

    /// Connects to the first of the upstream's addresses that answers.
    async fn connect(
        &self,
        upstream: &Upstream,
        tenant: TenantId,
    ) -> Result<(UpstreamSession, HttpPeer), Failure> {
        let addresses = self.resolver.addresses(&upstream.base).await.map_err(|error| {
            tracing::warn!(upstream = &*upstream.name, %error, "upstream not resolved");
            Failure::Unreachable
        })?;
        let mut failure = Failure::Unreachable;
        for address in addresses.iter().take(ADDRESSES_TRIED) {
            let peer = self.peer(*address, upstream, tenant);
            match self.connector.get_http_session(&peer).await {
                Ok((session, _reused)) => return Ok((session, peer)),
                Err(error) => {
                    log_failure(upstream, &error);
                    failure = if is_timeout(&error) { Failure::ConnectTimeout } else { Failure::Unreachable };
                }
            }
        }
        Err(failure)
    }

    fn peer(&self, address: SocketAddr, upstream: &Upstream, tenant: TenantId) -> HttpPeer {
        let mut peer = HttpPeer::new(address, upstream.base.tls, upstream.base.host.clone());
        // The pool must never hand one tenant's connection, or one opened with an older credential, to
        // another: pingora's own key does not know either.
        let mut key = DefaultHasher::new();
        tenant.hash(&mut key);
        upstream.name.hash(&mut key);
        upstream.credential.as_ref().map(|credential| (credential.id, credential.version)).hash(&mut key);
        peer.group_key = key.finish();
        let options = &mut peer.options;
        options.connection_timeout = Some(self.timeouts.upstream_connect);
        options.total_connection_timeout = Some(self.timeouts.upstream_connect);
        options.read_timeout = Some(self.timeouts.upstream_head);
        options.write_timeout = Some(self.timeouts.upstream_idle);
        options.idle_timeout = Some(IDLE);
        options.max_h2_streams = H2_STREAMS;
        options.h2_ping_interval = Some(H2_PING);
        options.alpn = if upstream.base.tls { ALPN::H2H1 } else { ALPN::H1 };
        peer
    }

    /// Ends with a reply: its connection goes back to the pool if nothing of the reply is left on it.
    pub(crate) async fn finished(&self, reply: Reply) {
        self.release(reply.session, &reply.peer).await;
    }

    async fn release(&self, mut session: UpstreamSession, peer: &HttpPeer) {
        // An HTTP/1 connection with bytes left is closed.
        if session.as_http2().is_some() || session.response_done() {
            self.connector.release_http_session(session, peer, Some(IDLE)).await;
        }
    }

    /// Ends without a reply. An HTTP/1 connection is closed: of one whose head was none pingora cannot say whether the body is
    /// done, and panics when it is asked.
    async fn discard(&self, session: UpstreamSession, peer: &HttpPeer) {
        // A stream of an HTTP/2 connection is reset when dropped, and its connection must always be released:
        // the pool would hold it as in use for ever.
        if session.as_http2().is_some() {
            self.connector.release_http_session(session, peer, Some(IDLE)).await;
        }
    }
}

impl Reply {
    /// The next bytes of the body; `None` at its end.
    pub(crate) async fn read(&mut self) -> Result<Option<Bytes>, Rejection> {
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        read_body(&mut self.session).await
    }

    /// The next bytes of the body if they are here already; an error waits for the next [`read`](Self::read).
    pub(crate) async fn read_ready(&mut self) -> Option<Bytes> {
        if self.failed.is_some() || self.session.response_done() {
            return None;
        }
        let read = tokio::select! {
            biased;
            read = read_body(&mut self.session) => read,
            () = std::future::ready(()) => Ok(None),
        };
        read.unwrap_or_else(|rejection| {
            self.failed = Some(rejection);
            None
        })
    }
}

async fn read_body(session: &mut UpstreamSession) -> Result<Option<Bytes>, Rejection> {
    session.read_response_body().await.map_err(|error| {
        if is_timeout(&error) { Rejection::upstream_timeout() } else { Rejection::upstream_broken() }
    })
}

/// Runs `work` unless the caller leaves first.
pub(crate) async fn while_caller_stays<T>(
    downstream: &mut ServerSession,
    work: impl Future<Output = T>,
) -> Result<T, Rejection> {
    tokio::select! {
        biased;
        done = work => Ok(done),
        // The request body was read to its end, so this resolves only when the connection is lost.
        _ = downstream.read_body_or_idle(true) => Err(Rejection::client_gone()),
    }
}

async fn exchange_heads(
    session: &mut UpstreamSession,
    head: RequestHeader,
    body: Bytes,
) -> pingora::Result<ResponseHeader> {
    session.write_request_header(Box::new(head)).await?;
    if !body.is_empty() {
        session.write_request_body(body, false).await?;
    }
    session.finish_request_body().await?;
    loop {
        session.read_response_header().await?;
        match session.response_header() {
            Some(head) if head.status.is_informational() => {}
            Some(head) => return Ok(head.clone()),
            None => return pingora::Error::e_explain(ErrorType::ReadError, "no response head"),
        }
    }
}

/// Replies that another upstream may better: overload and failure on the provider's side.
fn is_worth_another(head: &ResponseHeader) -> bool {
    head.status.as_u16() == 429 || head.status.is_server_error()
}

fn is_timeout(error: &pingora::Error) -> bool {
    matches!(
        error.etype(),
        ErrorType::ConnectTimedout
            | ErrorType::ReadTimedout
            | ErrorType::WriteTimedout
            | ErrorType::TLSHandshakeTimedout
    )
}

/// Only the kind of error: its context may quote addresses, paths or bytes.
fn log_failure(upstream: &Upstream, error: &pingora::Error) {
    tracing::warn!(upstream = &*upstream.name, error = error.etype().as_str(), "upstream failed");
}

fn rejection(failure: &Failure) -> Rejection {
    match failure {
        Failure::Unreachable => Rejection::upstream_unreachable(),
        Failure::ConnectTimeout | Failure::Timeout => Rejection::upstream_timeout(),
        Failure::Broken => Rejection::upstream_broken(),
        Failure::Internal => Rejection::internal("writing the upstream's request"),
    }
}
