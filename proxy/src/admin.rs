//! Metrics and probes, on a listener of their own: `/metrics`, `/livez`, `/readyz`.

use crate::metrics::Metrics;
use async_trait::async_trait;
use bulkhead_policy::snapshot::SnapshotHandle;
use http::{Method, StatusCode, header};
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// Answers operators and their load balancers; knows nothing of any request.
#[derive(Debug)]
pub(crate) struct Admin {
    metrics: Arc<Metrics>,
    snapshot: SnapshotHandle,
    draining: AtomicBool,
}

impl Admin {
    pub(crate) fn new(metrics: Arc<Metrics>, snapshot: SnapshotHandle) -> Self {
        Self { metrics, snapshot, draining: AtomicBool::new(false) }
    }

    /// From now on `/readyz` fails, so that load balancers send new work elsewhere.
    pub(crate) fn set_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    fn answer(&self, method: &Method, path: &str) -> (StatusCode, &'static str, Vec<u8>) {
        const TEXT: &str = "text/plain; charset=utf-8";
        if method != Method::GET && method != Method::HEAD {
            return (StatusCode::METHOD_NOT_ALLOWED, TEXT, b"GET only\n".to_vec());
        }
        match path {
            "/metrics" => {
                self.metrics.policy.note_staleness(&self.snapshot);
                (StatusCode::OK, "text/plain; version=0.0.4", self.metrics.render())
            }
            "/livez" => (StatusCode::OK, TEXT, b"ok\n".to_vec()),
            "/readyz" => match self.not_ready() {
                None => (StatusCode::OK, TEXT, b"ok\n".to_vec()),
                Some(why) => (StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{why}\n").into_bytes()),
            },
            _ => (StatusCode::NOT_FOUND, TEXT, b"try /metrics, /livez or /readyz\n".to_vec()),
        }
    }

    fn not_ready(&self) -> Option<&'static str> {
        if self.draining.load(Ordering::Acquire) {
            return Some("draining");
        }
        self.snapshot.load().is_none().then_some("no policy snapshot yet")
    }

    async fn respond(&self, session: &mut ServerSession) -> pingora::Result<()> {
        let head = session.req_header();
        let (status, content_type, body) = self.answer(&head.method, head.uri.path());
        let is_head = head.method == Method::HEAD;
        let mut response = ResponseHeader::build(status, Some(3))?;
        response.insert_header(header::CONTENT_TYPE, content_type)?;
        response.insert_header(header::CONTENT_LENGTH, body.len())?;
        session.write_response_header(Box::new(response)).await?;
        if !is_head {
            session.write_response_body(body.into(), true).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl HttpServerApp for Admin {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        _closed: &watch::Receiver<bool>,
    ) -> Option<ReusedHttpStream> {
        if !matches!(session.read_request().await, Ok(true)) {
            return None;
        }
        self.respond(&mut session).await.ok()?;
        let settings = HttpPersistentSettings::for_session(&session);
        let stream = session.finish().await.ok().flatten()?;
        Some(ReusedHttpStream::from_reusable_stream(stream, settings))
    }
}
