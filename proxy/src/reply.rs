//! Steps 9 and 10: the reply's head is read, its body inspected, and both go to the caller.
//!
//! 1. An event stream passes event by event. Any other body is read whole first, so that its verdict can
//!    still choose the status.
//! 2. A stream that must stop ends with the dialect's error event; one whose upstream breaks off, too. No
//!    stopped stream ends like a finished one.
//! 3. Nothing here awaits anything but the upstream's bytes, the caller's socket and the ping timer.

use crate::admit::Exchange;
use crate::charge::Charge;
use crate::config::Config;
use crate::forward::{Reply, while_caller_stays};
use crate::inspect::Findings;
use crate::inspect::stream::{Stop, StreamInspector, StreamOptions};
use crate::inspect::whole::{self, Inspected};
use crate::judge;
use crate::record::Recorder;
use crate::rejection::Rejection;
use crate::respond::{in_time, write_whole};
use crate::rewrite::response_head;
use bulkhead_dialect::json::{Document, Limits};
use bulkhead_dialect::response::{self, ResponseFacts, blank_logprobs};
use bulkhead_dialect::{Endpoint, Usage};
use bulkhead_dlp::Action;
use bulkhead_policy::compile::TenantPolicy;
use bulkhead_policy::document::{Capture, Uninspectable};
use bulkhead_policy::trace::Direction;
use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Version, header};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use std::pin::pin;
use std::sync::Arc;
use tokio::time::{Instant, sleep_until};

/// Bodies above this size are inspected off the event loop: 256 KiB take about half a millisecond.
pub(crate) const INLINE_INSPECT_BYTES: usize = 256 << 10;
/// Bytes of events that are written together at most, when they arrive faster than they leave.
const COALESCE_BYTES: usize = 64 << 10;
const PING: Bytes = Bytes::from_static(b": ping\n\n");

/// What relaying needs to know about the request it answers.
pub(crate) struct Relay<'a> {
    pub(crate) config: &'a Config,
    pub(crate) exchange: &'a Exchange,
    pub(crate) identity: &'a [(HeaderName, HeaderValue)],
    pub(crate) request_id: &'a str,
    /// Usage was asked for by us: its chunk is taken out again.
    pub(crate) drop_usage_chunk: bool,
    pub(crate) charge: &'a mut Charge,
    pub(crate) recorder: &'a mut Recorder,
}

/// What the reply said about itself.
#[derive(Debug, Default)]
struct Answer {
    usage: Option<Usage>,
    /// The usage is the final one; else it is what the provider had counted when the answer broke off.
    complete: bool,
    model: Option<String>,
}

/// How a body has to be treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    EventStream,
    Text,
    /// Cannot be read: encoded, or not text.
    Opaque,
}

impl Relay<'_> {
    /// Brings the reply to the caller and settles what it cost, whatever happens on the way.
    pub(crate) async fn run(
        &mut self,
        session: &mut ServerSession,
        reply: &mut Reply,
    ) -> Result<(), Rejection> {
        let result = self.bring(session, reply).await;
        if self.charge.is_open() {
            // It broke off before it could say what it used.
            self.settle(&reply.head, Answer::default());
        }
        result
    }

    async fn bring(&mut self, session: &mut ServerSession, reply: &mut Reply) -> Result<(), Rejection> {
        let body = classify(&reply.head);
        if body == Body::Opaque && !self.policy().response_rules().is_empty() {
            if self.policy().uninspectable() == Uninspectable::Block {
                return Err(Rejection::answer_uninspectable());
            }
            self.recorder.record.uninspected = true;
        }
        match body {
            Body::EventStream => self.stream(session, reply).await,
            Body::Text | Body::Opaque => self.whole(session, reply, body).await,
        }
    }

    fn policy(&self) -> &Arc<TenantPolicy> {
        self.exchange.key.policy()
    }

    /// Step 11. An answer that is the provider's error costs nothing.
    fn settle(&mut self, head: &ResponseHeader, answer: Answer) {
        if !head.status.is_success() {
            self.charge.release();
        }
        let price = answer.model.as_deref().and_then(|model| self.policy().price(model));
        let settlement = self.charge.settle(answer.usage, answer.complete, price);
        self.recorder.settled(&settlement);
        self.recorder.record.model_served =
            answer.model.map(|model| judge::name_for_trace(self.policy(), model));
    }

    // --- whole bodies ---------------------------------------------------------------------------

    async fn whole(
        &mut self,
        session: &mut ServerSession,
        reply: &mut Reply,
        body: Body,
    ) -> Result<(), Rejection> {
        let raw = self.read_whole(session, reply).await?;
        let started = Instant::now();
        let is_success = reply.head.status.is_success();
        if is_success && may_hide_events(&raw) {
            return self.whole_stream(session, reply, raw).await;
        }
        let inspected = if body == Body::Opaque {
            Whole::new(Inspected::default(), &raw, ResponseFacts::default(), Capture::None)
        } else {
            self.inspect_whole(raw, is_success).await?
        };
        let usage = inspected.usage.filter(|_| is_success);
        if is_success && usage.is_none() {
            // No usage: the body's size is the best count there is. A whole answer cannot be cut any more.
            let _over_the_line = self.charge.count(inspected.body.len() as u64);
        }
        self.recorder.found(inspected.findings);
        // Before the answer leaves: the caller's next request finds the room that this one gives back.
        self.settle(&reply.head, Answer { usage, complete: true, model: inspected.model });
        self.recorder.worked(started.elapsed());
        if !inspected.blocked.is_empty() {
            return Err(Rejection::dlp_blocked("answer", inspected.blocked));
        }
        let mut head = self.head(reply)?;
        if let (Body::Opaque, Some(encoding)) = (body, reply.head.headers.get(header::CONTENT_ENCODING)) {
            head.insert_header(header::CONTENT_ENCODING, encoding.clone())
                .map_err(|_| Rejection::internal("writing the head"))?;
        }
        self.recorder.record.status = head.status.as_u16();
        self.recorder.sent_as(inspected.body.len(), &inspected.captured);
        in_time(self.config.timeouts.client_write, write_whole(session, head, inspected.body)).await
    }

    async fn read_whole(&self, session: &mut ServerSession, reply: &mut Reply) -> Result<Bytes, Rejection> {
        let max = self.config.limits.answer_bytes;
        let mut first: Option<Bytes> = None;
        let mut rest = BytesMut::new();
        while let Some(chunk) = while_caller_stays(session, reply.read()).await?? {
            if first.as_ref().map_or(0, Bytes::len) + rest.len() + chunk.len() > max {
                return Err(Rejection::answer_too_large(max));
            }
            match &first {
                None => first = Some(chunk),
                Some(_) => rest.extend_from_slice(&chunk),
            }
        }
        let first = first.unwrap_or_default();
        if rest.is_empty() {
            return Ok(first);
        }
        let mut whole = BytesMut::with_capacity(first.len() + rest.len());
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&rest);
        Ok(whole.freeze())
    }

    async fn inspect_whole(&mut self, raw: Bytes, is_success: bool) -> Result<Whole, Rejection> {
        let (policy, endpoint) = (Arc::clone(self.policy()), self.exchange.endpoint);
        let inspected = if raw.len() <= INLINE_INSPECT_BYTES {
            inspect(&policy, endpoint, &raw)
        } else {
            let inspected = tokio::task::spawn_blocking(move || inspect(&policy, endpoint, &raw)).await;
            inspected.map_err(|_| Rejection::internal("inspecting the answer"))?
        };
        // A successful answer is JSON. What is not could be read in ways that a scan of its bytes does not see.
        let opaque = is_success && !inspected.is_json && !inspected.body.is_empty();
        if opaque && !self.policy().response_rules().is_empty() {
            if self.policy().uninspectable() == Uninspectable::Block {
                return Err(Rejection::answer_uninspectable());
            }
            self.recorder.record.uninspected = true;
        }
        Ok(inspected)
    }

    /// Inspects an event stream that was read whole, under whatever content type.
    async fn whole_stream(
        &mut self,
        session: &mut ServerSession,
        reply: &Reply,
        raw: Bytes,
    ) -> Result<(), Rejection> {
        let mut inspector = self.inspector();
        let mut out = Vec::new();
        let stop = |stop| stopped(stop, self.config);
        let run = || -> Result<(), Rejection> {
            inspector.push(raw).map_err(stop)?;
            while inspector.step(&mut out).map_err(stop)? {}
            inspector.finish(&mut out).map_err(stop)
        };
        let result = run();
        let _counted_but_too_late_to_cut = self.charge.count(inspector.text_bytes());
        self.conclude(&mut inspector, &reply.head, result.is_ok());
        result?;
        let body = join(&mut out).unwrap_or_default();
        self.recorder.sent(&body);
        let head = self.head(reply)?;
        self.recorder.record.status = head.status.as_u16();
        in_time(self.config.timeouts.client_write, write_whole(session, head, body)).await
    }

    // --- event streams --------------------------------------------------------------------------

    async fn stream(&mut self, session: &mut ServerSession, reply: &mut Reply) -> Result<(), Rejection> {
        self.recorder.record.streamed = true;
        let mut inspector = self.inspector();
        self.write_stream_head(session, reply).await?;
        let result = self.pump(session, reply, &mut inspector).await;
        self.conclude(&mut inspector, &reply.head, result.is_ok());
        let Err(rejection) = result else {
            return in_time(self.config.timeouts.client_write, session.finish_body()).await;
        };
        if !rejection.is_client_gone() {
            let mut event = rejection.with_info(self.request_id, |info| inspector.error_event(info));
            if !inspector.is_between_events() {
                // What left last is no whole event: without a blank line the error would be a part of it.
                event = [b"\n\n", event.as_ref()].concat().into();
            }
            self.recorder.sent(&event);
            // If the caller is gone by now the trace still says why the stream was stopped.
            let _sent = session.write_response_body(event, true).await;
        }
        Err(rejection)
    }

    fn inspector(&self) -> StreamInspector {
        let options = StreamOptions {
            event_bytes_max: self.config.limits.event_bytes,
            held_bytes_max: self.config.limits.held_bytes,
            drop_usage_chunk: self.drop_usage_chunk,
            allow_uninspectable: self.policy().uninspectable() == Uninspectable::Allow,
        };
        StreamInspector::new(self.exchange.endpoint, Arc::clone(self.policy().response_rules()), options)
    }

    /// Takes over what the inspector learnt, and settles.
    fn conclude(&mut self, inspector: &mut StreamInspector, head: &ResponseHeader, complete: bool) {
        let model = inspector.model().map(str::to_owned);
        let complete = complete && inspector.usage_is_final();
        self.settle(head, Answer { usage: inspector.usage(), complete, model });
        let findings = inspector.take_findings();
        if findings.has_alerts() {
            // What alerts passes in clear, possibly in pieces: the trace must not keep it.
            self.recorder.forget_response();
        }
        self.recorder.found(findings);
        self.recorder.record.uninspected |= inspector.uninspected();
    }

    /// The head for the caller, without framing; a header that a rule would mask or block is left out.
    fn head(&self, reply: &Reply) -> Result<ResponseHeader, Rejection> {
        let rules = self.policy().response_rules();
        let passes = |value: &HeaderValue| {
            rules.is_empty()
                || rules.scan(value.as_bytes()).matches.iter().all(|found| found.action == Action::Alert)
        };
        response_head(&reply.head, self.identity, passes).map_err(|_| Rejection::internal("writing the head"))
    }

    async fn write_stream_head(
        &mut self,
        session: &mut ServerSession,
        reply: &Reply,
    ) -> Result<(), Rejection> {
        let internal = |_| Rejection::internal("writing the head");
        let mut head = self.head(reply)?;
        // HTTP/1.0 knows no chunks: there the end of the connection ends the body.
        if session.req_header().version == Version::HTTP_11 {
            head.insert_header(header::TRANSFER_ENCODING, "chunked").map_err(internal)?;
        }
        self.recorder.record.status = head.status.as_u16();
        in_time(self.config.timeouts.client_write, session.write_response_header(Box::new(head))).await
    }

    async fn pump(
        &mut self,
        session: &mut ServerSession,
        reply: &mut Reply,
        inspector: &mut StreamInspector,
    ) -> Result<(), Rejection> {
        let mut out = Vec::new();
        let timeouts = &self.config.timeouts;
        let mut last_read = Instant::now();
        let mut last_write = last_read;
        let next_deadline = |last_read, last_write| {
            Instant::min(last_read + timeouts.upstream_idle, last_write + timeouts.stream_ping)
        };
        // One timer, moved only when it fires: events come far more often than deadlines.
        let mut deadline = pin!(sleep_until(next_deadline(last_read, last_write)));
        loop {
            let chunk = tokio::select! {
                biased;
                chunk = reply.read() => chunk,
                _ = session.read_body_or_idle(true) => return Err(Rejection::client_gone()),
                () = &mut deadline => {
                    let now = Instant::now();
                    // Each pass starts a new read, so the read's own timeout would never come.
                    let silent = now >= last_read + timeouts.upstream_idle;
                    if !silent && now >= last_write + timeouts.stream_ping {
                        // Only whole events have left, so a comment may stand here; clients skip it.
                        write(session, PING).await?;
                        last_write = now;
                    }
                    deadline.as_mut().reset(next_deadline(last_read, last_write));
                    if !silent {
                        continue;
                    }
                    Err(Rejection::upstream_timeout())
                }
            };
            last_read = Instant::now();
            let started = Instant::now();
            let ended = match chunk {
                Ok(Some(chunk)) => self.take_chunks(chunk, reply, inspector, &mut out).await.map(|()| false),
                // Whatever is held has no continuation any more: it is decided and leaves.
                Ok(None) => {
                    inspector.finish(&mut out).map_err(|stop| stopped(stop, self.config)).map(|()| true)
                }
                Err(broken) => {
                    inspector.finish(&mut out).map_err(|stop| stopped(stop, self.config)).and(Err(broken))
                }
            };
            self.recorder.worked(started.elapsed());
            if let Some(bytes) = join(&mut out) {
                self.recorder.sent(&bytes);
                write(session, bytes).await?;
                last_write = Instant::now();
            }
            if ended? {
                return if inspector.is_finished() { Ok(()) } else { Err(Rejection::upstream_broken()) };
            }
        }
    }

    /// Inspects a chunk, and those that have arrived behind it, up to what is written at once.
    async fn take_chunks(
        &mut self,
        first: Bytes,
        reply: &mut Reply,
        inspector: &mut StreamInspector,
        out: &mut Vec<Bytes>,
    ) -> Result<(), Rejection> {
        let mut taken = first.len();
        let mut chunk = first;
        loop {
            inspector.push(chunk).map_err(|stop| stopped(stop, self.config))?;
            while inspector.step(out).map_err(|stop| stopped(stop, self.config))? {
                if let Err(exhausted) = self.charge.count(inspector.text_bytes()) {
                    let rejection = Rejection::budget_exhausted(
                        self.exchange.endpoint.dialect,
                        exhausted.budget.as_str(),
                    );
                    return Err(rejection.while_streaming());
                }
            }
            if taken >= COALESCE_BYTES {
                return Ok(());
            }
            match reply.read_ready().await {
                Some(next) => {
                    taken += next.len();
                    chunk = next;
                }
                None => return Ok(()),
            }
        }
    }
}

async fn write(session: &mut ServerSession, bytes: Bytes) -> Result<(), Rejection> {
    session.write_response_body(bytes, false).await.map_err(|_| Rejection::client_gone())
}

/// Joins the pieces that leave together; one piece leaves without a copy.
fn join(out: &mut Vec<Bytes>) -> Option<Bytes> {
    if out.len() <= 1 {
        return out.pop().filter(|bytes| !bytes.is_empty());
    }
    let mut joined = BytesMut::with_capacity(out.iter().map(Bytes::len).sum());
    out.drain(..).for_each(|piece| joined.extend_from_slice(&piece));
    (!joined.is_empty()).then(|| joined.freeze())
}

fn stopped(stop: Stop, config: &Config) -> Rejection {
    match stop {
        Stop::Blocked(detectors) => Rejection::dlp_blocked("answer", detectors),
        Stop::HoldExceeded => Rejection::dlp_blocked("answer", vec![bulkhead_dlp::HOLD_LIMIT.to_owned()]),
        Stop::Uninspectable => Rejection::answer_uninspectable(),
        Stop::EventTooLarge => Rejection::answer_too_large(config.limits.event_bytes),
    }
}

/// Whether a body that calls itself something else is an event stream.
fn may_hide_events(raw: &[u8]) -> bool {
    let text = raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(raw).trim_ascii_start();
    let fields: [&[u8]; 5] = [b"data:", b"event:", b"id:", b"retry:", b":"];
    fields.iter().any(|field| text.starts_with(field))
}

fn classify(head: &ResponseHeader) -> Body {
    let encoded = head.headers.get_all(header::CONTENT_ENCODING).iter().any(|value| value != "identity");
    let content_type =
        head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let media = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let is_text =
        media.is_empty() || media.starts_with("text/") || media.ends_with("json") || media.ends_with("xml");
    match (encoded, media.as_str()) {
        (true, _) => Body::Opaque,
        (false, "text/event-stream") => Body::EventStream,
        (false, _) if is_text => Body::Text,
        _ => Body::Opaque,
    }
}

/// A whole body after inspection.
struct Whole {
    is_json: bool,
    body: Bytes,
    /// The copy for the trace; the body itself where they are the same.
    captured: Bytes,
    findings: Findings,
    blocked: Vec<String>,
    usage: Option<Usage>,
    model: Option<String>,
}

impl Whole {
    fn new(inspected: Inspected, raw: &Bytes, facts: ResponseFacts, capture: Capture) -> Self {
        let body = inspected.apply(raw);
        Self {
            is_json: true,
            captured: if capture == Capture::None { body.clone() } else { inspected.for_trace(raw) },
            body,
            findings: inspected.findings,
            blocked: inspected.blocked,
            usage: facts.usage,
            model: facts.model,
        }
    }
}

fn inspect(policy: &TenantPolicy, endpoint: Endpoint, raw: &Bytes) -> Whole {
    let rules = policy.response_rules();
    let Ok(document) = Document::parse(raw, &Limits::RESPONSE) else {
        let inspected = whole::text(rules, raw, Direction::Response);
        let whole = Whole::new(inspected, raw, ResponseFacts::default(), policy.capture());
        return Whole { is_json: false, ..whole };
    };
    let facts = response::read(endpoint, &document);
    let mut inspected = whole::json(rules, raw, &document, Direction::Response);
    if !rules.is_empty() {
        blank(&mut inspected, &document);
    }
    Whole::new(inspected, raw, facts, policy.capture())
}

/// Log probabilities repeat the text token by token, where no scan can see a value whole.
fn blank(inspected: &mut Inspected, document: &Document<'_>) {
    let blanks = blank_logprobs(document);
    if blanks.is_empty() {
        return;
    }
    let inside = |range: &std::ops::Range<usize>| {
        blanks.iter().any(|blank| blank.range.start <= range.start && range.end <= blank.range.end)
    };
    inspected.splices.retain(|splice| !inside(&splice.range));
    inspected.hidden.retain(|splice| !inside(&splice.range));
    inspected.splices.extend(blanks);
    inspected.splices.sort_by_key(|splice| splice.range.start);
}
