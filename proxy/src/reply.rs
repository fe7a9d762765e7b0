//! Steps 9 and 10: the reply's head is read, its body inspected, and both go to the caller.
//!
//! 1. An event stream passes event by event. Any other body is read whole first, so that its verdict can
//!    still choose the status.
//! 2. A stream that must stop ends with the dialect's error event; one whose upstream breaks off, too. No
//!    stopped stream ends like a finished one.
//! 3. Nothing here awaits anything but the upstream's bytes, the caller's socket, the ping timer and, before the last
//!    byte, the record's way into the spool.

mod events;
mod whole;

use crate::admit::Exchange;
use crate::config::Config;
use crate::forward::Reply;
use crate::inspect::stream::{Outgoing, Stop, StreamInspector, StreamOptions};
use crate::judge;
use crate::rate_headers::rate_headers;
use crate::record::Recorder;
use crate::rejection::Rejection;
use crate::rewrite::{COST_USD, response_head};
use crate::room::Held;
use bulkhead_dialect::Usage;
use bulkhead_dlp::{Action, TextRules, TokenMap};
use bulkhead_policy::compile::{PriceSource, TenantPolicy};
use bulkhead_policy::document::Uninspectable;
use bytes::{Bytes, BytesMut};
use chrono::Utc;
use http::{HeaderName, HeaderValue, header};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use std::sync::Arc;

/// Bodies above this size are inspected off the event loop: so much new text takes 0.7 ms, and 3 ms where it was made to be slow.
pub(crate) const INLINE_INSPECT_BYTES: usize = 64 << 10;

/// What relaying needs to know about the request it answers.
pub(crate) struct Relay<'a> {
    pub(crate) config: &'a Config,
    pub(crate) exchange: &'a Exchange,
    pub(crate) identity: &'a [(HeaderName, HeaderValue)],
    pub(crate) request_id: &'a str,
    /// Usage was asked for by us: its chunk is taken out again.
    pub(crate) drop_usage_chunk: bool,
    /// The request's tokens, whose values the answer gets back.
    pub(crate) tokens: Arc<TokenMap>,
    pub(crate) recorder: &'a mut Recorder,
    /// What the request holds in memory.
    pub(crate) held: Held<'a>,
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
        if self.recorder.charge.is_open() {
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
            self.recorder.charge.release();
        }
        // A name that only the answer uses says nothing of what was asked for, whose price is known.
        let priced = answer.model.as_deref().and_then(|model| self.policy().priced(model));
        let price = priced.filter(|(_, source)| *source != PriceSource::Assumed).map(|(price, _)| price);
        let settlement = self.recorder.charge.settle(answer.usage, answer.complete, price);
        self.recorder.settled(settlement);
        self.recorder.record.model_served =
            answer.model.map(|model| judge::name_for_trace(self.policy(), model));
    }

    fn inspector(&self) -> StreamInspector {
        let options = StreamOptions {
            event_bytes_max: self.config.limits.event_bytes,
            held_bytes_max: self.config.limits.held_bytes,
            drop_usage_chunk: self.drop_usage_chunk,
            allow_uninspectable: self.policy().uninspectable() == Uninspectable::Allow,
        };
        StreamInspector::new(self.exchange.endpoint, self.text_rules(), options)
    }

    /// What is done to the answer's texts.
    fn text_rules(&self) -> TextRules {
        TextRules::from(Arc::clone(self.policy().response_rules())).restoring(Arc::clone(&self.tokens))
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

    /// The head for the caller, without framing, and with the cost where it is known already: not for a stream; a header that a rule would mask or block is left out.
    fn head(&self, reply: &Reply) -> Result<ResponseHeader, Rejection> {
        let rules = self.policy().response_rules();
        let passes = |value: &HeaderValue| {
            rules.is_empty()
                || rules.scan(value.as_bytes()).matches.iter().all(|found| found.action == Action::Alert)
        };
        let failed = |_| Rejection::internal("writing the head");
        let Exchange { key, endpoint, .. } = self.exchange;
        let limits = rate_headers(key.limits(), endpoint.dialect, Utc::now());
        let ours = [self.identity, &limits].concat();
        let mut head = response_head(&reply.head, &ours, passes).map_err(failed)?;
        if let Some(cost) = self.recorder.known_cost() {
            head.insert_header(COST_USD, cost.to_string()).map_err(failed)?;
        }
        Ok(head)
    }
}

/// Joins the pieces that leave together; one piece leaves without a copy.
fn join(out: &mut Vec<Outgoing>) -> Option<Outgoing> {
    if out.len() <= 1 {
        return out.pop().filter(|piece| !piece.sent.is_empty());
    }
    let kept = out.iter().any(|piece| piece.kept.is_some());
    let kept = kept.then(|| concat(out.iter().map(|piece| piece.kept.as_ref().unwrap_or(&piece.sent))));
    let sent = concat(out.iter().map(|piece| &piece.sent));
    out.clear();
    (!sent.is_empty()).then_some(Outgoing { sent, kept })
}

fn concat<'b>(pieces: impl Iterator<Item = &'b Bytes> + Clone) -> Bytes {
    let mut joined = BytesMut::with_capacity(pieces.clone().map(Bytes::len).sum());
    pieces.for_each(|piece| joined.extend_from_slice(piece));
    joined.freeze()
}

fn stopped(stop: Stop, config: &Config) -> Rejection {
    match stop {
        Stop::Blocked(detectors) => Rejection::dlp_blocked("answer", detectors),
        Stop::HoldExceeded => Rejection::dlp_blocked("answer", [bulkhead_dlp::HOLD_LIMIT.to_owned()].into()),
        Stop::Uninspectable => Rejection::answer_uninspectable(),
        Stop::EventTooLarge => Rejection::answer_too_large(config.limits.event_bytes),
    }
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
