//! Answers that are event streams: inspected and sent on event by event.

use super::{Relay, join, stopped};
use crate::forward::Reply;
use crate::inspect::stream::{Outgoing, StreamInspector};
use crate::rejection::Rejection;
use crate::respond::in_time;
use bulkhead_dialect::Dialect;
use bytes::Bytes;
use http::{Version, header};
use pingora::protocols::http::ServerSession;
use std::pin::pin;
use tokio::time::{Instant, sleep_until};

/// Bytes of events that are written together at most, when they arrive faster than they leave.
const COALESCE_BYTES: usize = 64 << 10;

impl Relay<'_> {
    pub(super) async fn stream(
        &mut self,
        session: &mut ServerSession,
        reply: &mut Reply,
    ) -> Result<(), Rejection> {
        self.recorder.record.streamed = true;
        let mut inspector = self.inspector();
        self.write_stream_head(session, reply).await?;
        let result = self.pump(session, reply, &mut inspector).await;
        self.conclude(&mut inspector, &reply.head, result.is_ok());
        let result = match result {
            Ok(()) => {
                self.recorder.completed();
                self.recorder.commit().await
            }
            Err(rejection) => Err(rejection),
        };
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
            // If the caller is gone by now the trace still says why the stream was stopped. The body's end is written once
            // the upstream was let go and the record is kept.
            let _sent = session.write_response_body(event, false).await;
        }
        Err(rejection)
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
                        // Only whole events have left.
                        write(session, ping(self.exchange.endpoint.dialect)).await?;
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
            if let Some(Outgoing { sent, kept }) = join(&mut out) {
                self.recorder.sent_as(sent.len(), kept.as_ref().unwrap_or(&sent));
                write(session, sent).await?;
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
        out: &mut Vec<Outgoing>,
    ) -> Result<(), Rejection> {
        let mut taken = first.len();
        let mut chunk = first;
        loop {
            self.recorder.received_answer(&chunk);
            inspector.push(chunk).map_err(|stop| stopped(stop, self.config))?;
            self.held.wait_with(inspector.held_bytes())?;
            while inspector.step(out).map_err(|stop| stopped(stop, self.config))? {
                if let Err(exhausted) = self.recorder.charge.count(inspector.text_tokens()) {
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

/// Keeps a silent stream alive; clients skip it.
fn ping(dialect: Dialect) -> Bytes {
    Bytes::from_static(match dialect {
        // google-genai reads whatever is neither data nor empty as JSON (Python, 3.4).
        Dialect::Gemini => b"\n\n",
        Dialect::OpenAi | Dialect::Anthropic => b": ping\n\n",
    })
}

async fn write(session: &mut ServerSession, bytes: Bytes) -> Result<(), Rejection> {
    session.write_response_body(bytes, false).await.map_err(|_| Rejection::client_gone())
}
