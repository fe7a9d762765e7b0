//! The life of a request, in order: [`Gateway::serve`] reads like the table of steps in ARCHITECTURE.md.

use crate::admit::{self, Exchange, Resolved, Unresolved};
use crate::body::{self, ReadLimits};
use crate::capture::Capture;
use crate::charge::{Charge, Estimate, Question};
use crate::config::Config;
use crate::forward::{Forwarder, Outbound, Progress};
use crate::framing;
use crate::inspect::known::CleanTexts;
use crate::judge::{self, Judged};
use crate::metrics::Metrics;
use crate::rate_headers::rate_headers;
use crate::record::{Arrival, Recorder, count_failure};
use crate::rejection::Rejection;
use crate::reply::Relay;
use crate::respond::{self, in_time, write_whole};
use crate::room::Room;
use crate::server::Parts;
use async_trait::async_trait;
use bulkhead_dialect::{Dialect, Endpoint, Unknown};
use bulkhead_policy::document::{self, WhenFull};
use bulkhead_policy::ids::Revision;
use chrono::Utc;
use http::{HeaderName, HeaderValue, Method};
use pingora::apps::{HttpPersistentSettings, HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;
use tokio::sync::{Notify, watch};

/// The data plane: one instance serves every connection.
pub(crate) struct Gateway {
    config: Config,
    parts: Parts,
    forwarder: Forwarder,
    protocols: HttpServerOptions,
    clean_texts: Arc<CleanTexts>,
    room: Room,
    running: AtomicUsize,
    idle: Notify,
    draining: AtomicBool,
}

impl Gateway {
    pub(crate) fn new(config: Config, parts: Parts) -> Self {
        let forwarder = Forwarder::new(&config, Arc::clone(&parts.metrics));
        let room = Room::new(&config.limits, &parts.metrics);
        let mut protocols = HttpServerOptions::default();
        protocols.h2c = true;
        protocols.h2_idle_timeout = Some(config.timeouts.head);
        Self {
            config,
            parts,
            forwarder,
            protocols,
            clean_texts: Arc::new(CleanTexts::new()),
            room,
            running: AtomicUsize::new(0),
            idle: Notify::new(),
            draining: AtomicBool::new(false),
        }
    }

    /// From now on connections close after the request they are on.
    pub(crate) fn set_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.running.load(Ordering::Acquire)
    }

    /// Waits until no request is running.
    pub(crate) async fn idle(&self) {
        loop {
            let notified = self.idle.notified();
            if self.in_flight() == 0 {
                return;
            }
            notified.await;
        }
    }

    fn metrics(&self) -> &Metrics {
        &self.parts.metrics
    }

    /// One request whose head was read, from step 1 to step 12. False if the caller did not get all of its answer:
    /// then nothing may be added to what it got, not even an end.
    async fn serve(&self, session: &mut ServerSession) -> bool {
        let _running = Running::new(self);
        let arrival = Arrival::now();
        session.set_write_timeout(Some(self.config.timeouts.client_write));
        session.set_total_drain_timeout(Some(std::time::Duration::from_secs(5)));
        if self.draining.load(Ordering::Acquire) {
            session.set_keepalive(None);
        }

        // 1 accept
        let (dialect, endpoint) = admit::classified(session.req_header());
        if let Err(violation) = framing::check(session, self.config.limits.head_bytes) {
            // What follows on this connection could be read in two ways.
            session.set_keepalive(None);
            return self.turn_away(session, dialect, &arrival, Rejection::framing(violation)).await;
        }
        if is_probe(session) {
            return in_time(self.config.timeouts.client_write, respond::root(session)).await.is_ok();
        }
        // 2 identify, 3 resolve
        let resolved = match admit::resolve(session.req_header(), dialect, &self.parts.snapshot, &arrival) {
            Ok(resolved) => resolved,
            Err(unresolved) => {
                return self.turn_away_unresolved(session, dialect, &arrival, &endpoint, *unresolved).await;
            }
        };
        let mut recorder = self.recorder(arrival, resolved.caller, dialect, &endpoint);
        // 4 classify to 11 settle
        let result = self.exchange(session, &arrival, &resolved, endpoint, &mut recorder).await;
        match result {
            Ok(()) => true,
            Err(rejection) => {
                let limits = rate_headers(resolved.key.limits(), dialect, Utc::now());
                self.refuse(session, dialect, &arrival, &mut recorder, &rejection, &limits).await
            }
        }
        // 12 record: before the last byte left, or when the recorder is dropped
    }

    async fn exchange(
        &self,
        session: &mut ServerSession,
        arrival: &Arrival,
        resolved: &Resolved,
        endpoint: Result<Endpoint, Unknown>,
        recorder: &mut Recorder,
    ) -> Result<(), Rejection> {
        let started = Instant::now();
        // 4 classify, 5 admit
        let keep = resolved.key.policy().traces();
        recorder.keep(keep);
        if keep.when_full == WhenFull::Refuse && !self.parts.traces.has_room(resolved.key.tenant()) {
            return Err(Rejection::traces_full());
        }
        let (snapshot, room) = (&self.parts.snapshot, &self.room);
        let (exchange, place) = admit::admit(resolved, endpoint, snapshot, room, arrival, recorder)?;
        recorder.place = Some(place);
        let policy = Arc::clone(exchange.key.policy());
        if policy.capture() != document::Capture::None {
            let max = self.config.limits.captured_body_bytes;
            recorder.capture_bodies(Capture::new(max, policy.body_key().cloned()));
        }
        recorder.worked(started.elapsed());

        // 6 read and inspect
        let policy_max = usize::try_from(policy.body_bytes_max()).unwrap_or(usize::MAX);
        let limits = ReadLimits {
            body_bytes_max: policy_max.min(self.config.limits.request_body_bytes),
            deadline: self.config.timeouts.body,
        };
        let mut held = self.room.hold(exchange.key.limits());
        let raw = body::read(session, limits, &mut held).await?;
        judge::make_ready(&policy).await;
        let started = Instant::now();
        recorder.received_request(&raw);
        judge::judge_head(&exchange, session.req_header(), recorder)?;
        let path = session.req_header().uri.path();
        let judged = judge::judge(&exchange, path, raw, &self.clean_texts, recorder).await?;
        let body = self.reserve(&exchange, &judged, arrival, recorder).await?;

        // 7 route
        let upstreams = judge::route(&exchange, judged.head.model.as_deref())?;
        let outbound =
            Outbound { endpoint: exchange.endpoint, body, tenant: exchange.key.tenant(), upstreams };
        recorder.worked(started.elapsed());

        // 8 rewrite, 9 read the reply's head
        let mut progress = Progress::default();
        let sent = self.forwarder.send(session, &outbound, &mut progress).await;
        recorder.record.attempts = progress.attempts;
        if let Some(sent_at) = progress.sent_at {
            recorder.charge.sent(sent_at);
        }
        let mut reply = sent?;
        recorder.record.upstream = Some(reply.upstream.clone());

        // 10 inspect the reply, 11 settle
        let identity = respond::identity(arrival.id, Some(policy.revision()));
        let request_id = arrival.id.to_string();
        let result = Relay {
            config: &self.config,
            exchange: &exchange,
            identity: &identity,
            request_id: &request_id,
            drop_usage_chunk: judged.asked_for_usage,
            tokens: judged.tokens,
            recorder,
            held,
        }
        .run(session, &mut reply)
        .await;
        self.forwarder.finished(*reply).await;
        result
    }

    /// Reserves what the request may use and cost, and returns the body with the ceiling that follows from it.
    async fn reserve(
        &self,
        exchange: &Exchange,
        judged: &Judged,
        arrival: &Arrival,
        recorder: &mut Recorder,
    ) -> Result<bytes::Bytes, Rejection> {
        let (endpoint, key) = (exchange.endpoint, &exchange.key);
        let model = judged.head.model.as_deref();
        let ledgers = key.ledgers_for(model);
        admit::has_budget(&ledgers, endpoint.dialect, recorder)?;
        let price = judge::price(key.policy(), &ledgers, endpoint, model)?;
        let model = model.unwrap_or_default().to_owned();
        let question = Question { endpoint, model, body: judged.body.clone() };
        let mut estimate = Estimate::new(question, &judged.head, price);
        if !estimate.fits_easily(&ledgers, arrival.at) {
            estimate.measure().await;
        }
        // The body may have taken a while: the rate is judged by the time at which the request leaves.
        recorder.hold = estimate.hold(key.limits(), Utc::now())?;
        let leases = &self.parts.leases;
        let asked_at = Instant::now();
        let reserved = Charge::reserve(&ledgers, leases, estimate, arrival.at, endpoint.dialect).await;
        recorder.waited(asked_at.elapsed());
        recorder.reserved(reserved, &ledgers)?;
        match recorder.charge.ceiling() {
            Some(ceiling) => judge::with_ceiling(endpoint, &judged.body, ceiling).await,
            None => Ok(judged.body.clone()),
        }
    }

    fn recorder(
        &self,
        arrival: Arrival,
        caller: crate::record::Caller,
        dialect: Dialect,
        endpoint: &Result<Endpoint, Unknown>,
    ) -> Recorder {
        let metrics = Arc::clone(&self.parts.metrics);
        let mut recorder = Recorder::new(arrival, caller, metrics, self.parts.traces.clone());
        recorder.classified(dialect, endpoint.as_ref().ok().map(|endpoint| endpoint.operation));
        recorder
    }

    /// Refuses a request of a known tenant. Where the answer has begun, its stream has said why already.
    async fn refuse(
        &self,
        session: &mut ServerSession,
        dialect: Dialect,
        arrival: &Arrival,
        recorder: &mut Recorder,
        rejection: &Rejection,
        limits: &[(HeaderName, HeaderValue)],
    ) -> bool {
        recorder.rejected(rejection);
        if rejection.is_client_gone() {
            return false;
        }
        if has_answered(session) {
            // Not kept: what the caller gets is an error as it is, and that it was not is counted.
            let _kept = recorder.commit().await;
            return in_time(self.config.timeouts.client_write, session.finish_body()).await.is_ok();
        }
        recorder.record.status = rejection.status();
        let revision = Some(recorder.record.policy_revision);
        let Ok((mut head, body)) = respond::refusal(dialect, rejection, arrival.id, revision) else {
            return false;
        };
        for (name, value) in limits {
            if head.insert_header(name.clone(), value.clone()).is_err() {
                return false;
            }
        }
        recorder.sent(&body);
        // A refusal that could not be recorded is still the better answer; that it was not is counted.
        let _kept = recorder.commit().await;
        in_time(self.config.timeouts.client_write, write_whole(session, head, body)).await.is_ok()
    }

    /// Refuses a request whose key does not count; it leaves a trace where the key is known.
    async fn turn_away_unresolved(
        &self,
        session: &mut ServerSession,
        dialect: Dialect,
        arrival: &Arrival,
        endpoint: &Result<Endpoint, Unknown>,
        unresolved: Unresolved,
    ) -> bool {
        let Unresolved { rejection, known } = unresolved;
        if rejection.status() == 401 {
            self.metrics().unauthenticated.inc();
        }
        match known {
            None => self.turn_away(session, dialect, arrival, rejection).await,
            Some(known) => {
                let mut recorder = self.recorder(*arrival, known, dialect, endpoint);
                self.refuse(session, dialect, arrival, &mut recorder, &rejection, &[]).await
            }
        }
    }

    /// Refuses a request that belongs to nobody we know.
    async fn turn_away(
        &self,
        session: &mut ServerSession,
        dialect: Dialect,
        arrival: &Arrival,
        rejection: Rejection,
    ) -> bool {
        count_failure(self.metrics(), &rejection);
        let no_revision: Option<Revision> = None;
        let Ok((head, body)) = respond::refusal(dialect, &rejection, arrival.id, no_revision) else {
            return false;
        };
        in_time(self.config.timeouts.client_write, write_whole(session, head, body)).await.is_ok()
    }
}

fn has_answered(session: &ServerSession) -> bool {
    session.response_written().is_some_and(|head| !head.status.is_informational())
}

fn is_probe(session: &ServerSession) -> bool {
    let head = session.req_header();
    (head.method == Method::GET || head.method == Method::HEAD) && head.uri.path() == "/"
}

/// Counts a request as running until it is dropped.
struct Running<'a>(&'a Gateway);

impl<'a> Running<'a> {
    fn new(gateway: &'a Gateway) -> Self {
        gateway.running.fetch_add(1, Ordering::AcqRel);
        gateway.metrics().in_flight.inc();
        Self(gateway)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.metrics().in_flight.dec();
        if self.0.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

#[async_trait]
impl HttpServerApp for Gateway {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        closed: &watch::Receiver<bool>,
    ) -> Option<ReusedHttpStream> {
        let mut closed = closed.clone();
        let head = tokio::select! {
            biased;
            head = tokio::time::timeout(self.config.timeouts.head, session.read_request()) => head,
            // A connection between two requests is not worth waiting for.
            _ = closed.wait_for(|closed| *closed) => return None,
        };
        match head {
            Ok(Ok(true)) => {}
            Ok(Err(error)) if matches!(error.etype(), pingora::ErrorType::InvalidHTTPHeader) => {
                self.metrics().failures.with_label_values(&["malformed_request", "downstream"]).inc();
                let write = respond::malformed(&mut session);
                let _caller_may_have_left = in_time(self.config.timeouts.client_write, write).await;
                return None;
            }
            _ => return None,
        }
        if !self.serve(&mut session).await {
            // Dropped as it is: the connection closes or the stream is reset, which no client takes for an end.
            return None;
        }
        let settings = HttpPersistentSettings::for_session(&session);
        let stream = in_time(self.config.timeouts.client_write, session.finish()).await.ok().flatten()?;
        Some(ReusedHttpStream::from_reusable_stream(stream, settings))
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.protocols)
    }

    fn h2_options(&self) -> Option<pingora::protocols::http::v2::server::H2Options> {
        let mut options = pingora::protocols::http::v2::server::default_h2_options();
        options.max_concurrent_streams(100).max_header_list_size(64 << 10);
        Some(options)
    }
}
