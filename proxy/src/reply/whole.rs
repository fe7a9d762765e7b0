//! Answers that are read whole before their first byte leaves, so that the verdict chooses the status.

use super::{Answer, Body, INLINE_INSPECT_BYTES, Relay, join, stopped};
use crate::charge::body_tokens;
use crate::forward::{Reply, while_caller_stays};
use crate::inspect::Findings;
use crate::inspect::disjoint::Disjoint;
use crate::inspect::stream::{Outgoing, Stop, StreamInspector};
use crate::inspect::whole::{self, Inspected, Splices};
use crate::rejection::Rejection;
use crate::respond::{in_time, write_whole};
use bulkhead_dialect::json::{Document, Limits};
use bulkhead_dialect::response::{self, ResponseFacts, blank_logprobs};
use bulkhead_dialect::sse::{self, Frame};
use bulkhead_dialect::{Endpoint, Operation, Usage};
use bulkhead_dlp::TextRules;
use bulkhead_policy::document::{Capture, Uninspectable};
use bulkhead_policy::trace::Direction;
use bytes::{Bytes, BytesMut};
use http::header;
use pingora::protocols::http::ServerSession;
use std::collections::BTreeSet;
use std::time::Instant;

impl Relay<'_> {
    pub(super) async fn whole(
        &mut self,
        session: &mut ServerSession,
        reply: &mut Reply,
        body: Body,
    ) -> Result<(), Rejection> {
        let raw = self.read_whole(session, reply).await?;
        let started = Instant::now();
        let is_success = reply.head.status.is_success();
        let events = is_success.then(|| Events::of(self.exchange.endpoint, &raw)).flatten();
        if let Some(events) = events {
            let inline = raw.len() <= INLINE_INSPECT_BYTES;
            return self.whole_stream(session, reply, events, inline).await;
        }
        let inspected = if body == Body::Opaque {
            Whole::new(Inspected::default(), &raw, ResponseFacts::default(), Capture::None)
        } else {
            self.inspect_whole(raw, is_success).await?
        };
        let usage = inspected.usage.filter(|_| is_success);
        if is_success && usage.is_none() {
            // No usage: the whole body is the best count there is.
            self.recorder.charge.count_whole(body_tokens(&inspected.body));
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
        self.recorder.completed();
        self.recorder.commit().await?;
        in_time(self.config.timeouts.client_write, write_whole(session, head, inspected.body)).await
    }

    async fn read_whole(
        &mut self,
        session: &mut ServerSession,
        reply: &mut Reply,
    ) -> Result<Bytes, Rejection> {
        let max = self.config.limits.answer_bytes;
        let mut first: Option<Bytes> = None;
        let mut rest = BytesMut::new();
        while let Some(chunk) = while_caller_stays(session, reply.read()).await?? {
            self.recorder.received_answer(&chunk);
            self.held.keep(chunk.len())?;
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
        let (rules, capture) = (self.text_rules(), self.policy().capture());
        let endpoint = self.exchange.endpoint;
        let inspected = if raw.len() <= INLINE_INSPECT_BYTES {
            inspect(&rules, endpoint, &raw, capture)
        } else {
            let inspected =
                tokio::task::spawn_blocking(move || inspect(&rules, endpoint, &raw, capture)).await;
            inspected.map_err(|_| Rejection::internal("inspecting the answer"))?
        };
        // A successful answer is JSON. What is not could be read in ways that a scan of its bytes does not see, but
        // for the plain text that gateways in front of a provider fail with.
        let is_readable =
            inspected.is_json || inspected.body.is_empty() || !is_success && inspected.is_plain_text;
        let opaque = !is_readable;
        if opaque && !self.policy().response_rules().is_empty() {
            if self.policy().uninspectable() == Uninspectable::Block {
                return Err(Rejection::answer_uninspectable());
            }
            self.recorder.record.uninspected = true;
        }
        Ok(inspected)
    }

    /// Inspects events that were read whole.
    async fn whole_stream(
        &mut self,
        session: &mut ServerSession,
        reply: &Reply,
        events: Events,
        inline: bool,
    ) -> Result<(), Rejection> {
        let (mut inspector, mut out) = (self.inspector(), Vec::new());
        let run = move || {
            let result = events.inspect(&mut inspector, &mut out);
            (inspector, out, result)
        };
        let (mut inspector, mut out, result) = if inline {
            run()
        } else {
            let inspected = tokio::task::spawn_blocking(run).await;
            inspected.map_err(|_| Rejection::internal("inspecting the answer"))?
        };
        let result = result.map_err(|stop| stopped(stop, self.config));
        self.recorder.charge.count_whole(inspector.text_tokens());
        self.conclude(&mut inspector, &reply.head, result.is_ok());
        result?;
        let (body, kept) = join(&mut out).map(|left| (left.sent, left.kept)).unwrap_or_default();
        self.recorder.sent_as(body.len(), kept.as_ref().unwrap_or(&body));
        let head = self.head(reply)?;
        self.recorder.record.status = head.status.as_u16();
        self.recorder.completed();
        self.recorder.commit().await?;
        in_time(self.config.timeouts.client_write, write_whole(session, head, body)).await
    }
}

/// The events of a body that was read whole.
enum Events {
    /// An event stream, under whatever content type.
    Stream(Bytes),
    /// The elements of an array.
    Elements(Vec<Frame>),
}

impl Events {
    /// `None` if the body is one document.
    fn of(endpoint: Endpoint, raw: &Bytes) -> Option<Self> {
        if may_hide_events(raw) {
            return Some(Self::Stream(raw.clone()));
        }
        let may_be_array = endpoint.operation == Operation::GenerateContent;
        may_be_array.then(|| sse::elements(raw)).flatten().map(Self::Elements)
    }

    fn inspect(self, inspector: &mut StreamInspector, out: &mut Vec<Outgoing>) -> Result<(), Stop> {
        match self {
            Self::Stream(raw) => {
                inspector.push(raw)?;
                while inspector.step(out)? {}
            }
            Self::Elements(frames) => {
                for frame in frames {
                    inspector.take(frame, out)?;
                }
            }
        }
        inspector.finish(out)
    }
}

/// Whether a body that calls itself something else is an event stream.
fn may_hide_events(raw: &[u8]) -> bool {
    let text = raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(raw).trim_ascii_start();
    let fields: [&[u8]; 5] = [b"data:", b"event:", b"id:", b"retry:", b":"];
    fields.iter().any(|field| text.starts_with(field))
}

/// A whole body after inspection.
struct Whole {
    is_json: bool,
    is_plain_text: bool,
    body: Bytes,
    /// The copy for the trace; the body itself where they are the same.
    captured: Bytes,
    findings: Findings,
    blocked: BTreeSet<String>,
    usage: Option<Usage>,
    model: Option<String>,
}

impl Whole {
    fn new(inspected: Inspected, raw: &Bytes, facts: ResponseFacts, capture: Capture) -> Self {
        let body = inspected.apply(raw);
        Self {
            is_json: true,
            is_plain_text: false,
            captured: if capture == Capture::None { body.clone() } else { inspected.for_trace(raw) },
            body,
            findings: inspected.findings,
            blocked: inspected.blocked,
            usage: facts.usage,
            model: facts.model,
        }
    }
}

fn inspect(rules: &TextRules, endpoint: Endpoint, raw: &Bytes, capture: Capture) -> Whole {
    let Ok(document) = Document::parse(raw, &Limits::RESPONSE) else {
        let inspected = whole::text(rules, raw, Direction::Response);
        let whole = Whole::new(inspected, raw, ResponseFacts::default(), capture);
        return Whole { is_json: false, is_plain_text: is_plain_text(raw), ..whole };
    };
    let facts = response::read(endpoint, &document);
    let mut inspected = whole::json(rules, raw, &document.without(Vec::new()), Direction::Response, None);
    if !rules.rules().is_empty() {
        blank(&mut inspected, &document);
    }
    Whole::new(inspected, raw, facts, capture)
}

/// Whether a text can be read in one way only: UTF-8, without zero bytes, as UTF-16 has them, and without escapes.
fn is_plain_text(raw: &[u8]) -> bool {
    std::str::from_utf8(raw).is_ok() && !raw.iter().any(|byte| matches!(byte, b'\0' | b'\\'))
}

/// Log probabilities repeat the text token by token, where no scan can see a value whole.
fn blank(inspected: &mut Inspected, document: &Document<'_>) {
    let blanks = blank_logprobs(document);
    if blanks.is_empty() {
        return;
    }
    let inside: Disjoint<()> = blanks.iter().map(|blank| blank.range.clone()).collect();
    let Splices { masks, restored } = &mut inspected.splices;
    for splices in [&mut *masks, restored, &mut inspected.hidden] {
        splices.retain(|splice| !inside.contains(&splice.range));
    }
    masks.extend(blanks);
    masks.sort_by_key(|splice| splice.range.start);
}
