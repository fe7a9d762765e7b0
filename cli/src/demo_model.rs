//! A model that is built in, so that a newcomer sees everything work without an account at a provider.
//!
//! Speaks what real SDKs expect of OpenAI (chat completions, completions, Responses, embeddings, models), Anthropic
//! (messages, token counting, models) and Gemini (content, token counting, embeddings, models), streamed and not. Same request, same bytes: nothing is random, no clock is read.
//! Listens on loopback only and asks for no credential.

mod answer;
mod anthropic;
mod gemini;
mod openai;
mod responses;
mod stream;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// As much as the proxy forwards at most.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
const MODELS: [&str; 6] = [
    "gpt-4.1-mini",
    "gpt-4.1",
    "claude-sonnet-4-6",
    "gemini-2.5-flash",
    "text-embedding-3-small",
    "gemini-embedding-001",
];
/// 2026-01-01, for every `created` field.
const CREATED: u64 = 1_767_225_600;

/// The running model; stops when dropped.
#[derive(Debug)]
pub(crate) struct DemoModel {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl DemoModel {
    /// Starts the model on a thread of its own, at `wanted` where that is still free, else on a loopback port that the
    /// OS chooses.
    ///
    /// # Errors
    /// When loopback cannot be bound or no thread can be made.
    pub(crate) fn start(wanted: Option<SocketAddr>) -> io::Result<Self> {
        let any = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let wanted = wanted.filter(|address| address.ip().is_loopback());
        let listener = wanted.map_or_else(any, |address| TcpListener::bind(address).or_else(|_| any()))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("demo-model".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    result = serve(listener) => {
                        if let Err(error) = result {
                            tracing::error!(%error, "the demo model stopped");
                        }
                    }
                    // Also when the sender is dropped.
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL for every dialect.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for DemoModel {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the demo model panicked");
        }
    }
}

async fn serve(listener: TcpListener) -> io::Result<()> {
    axum::serve(tokio::net::TcpListener::from_std(listener)?, router()).await
}

fn router() -> Router {
    Router::new()
        .route("/v1/chat/completions", post(openai::chat))
        .route("/v1/completions", post(openai::completions))
        .route("/v1/embeddings", post(openai::embeddings))
        .route("/v1/responses", post(responses::responses))
        .route("/v1/messages", post(anthropic::messages))
        .route("/v1/messages/count_tokens", post(anthropic::count_tokens))
        .route("/v1/models", get(models))
        .route("/v1/models/{model}", get(model).post(gemini::call))
        .route("/v1beta/models", get(gemini::models))
        .route("/v1beta/models/{model}", get(gemini::model).post(gemini::call))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

async fn models(headers: HeaderMap) -> Response {
    if headers.contains_key("x-goog-api-key") {
        return gemini::models().await;
    }
    let anthropic = headers.contains_key("anthropic-version");
    let data: Vec<Value> = MODELS.iter().map(|id| model_object(id, anthropic)).collect();
    let list = if anthropic {
        json!({"data": data, "has_more": false, "first_id": MODELS.first(), "last_id": MODELS.last()})
    } else {
        json!({"object": "list", "data": data})
    };
    axum::Json(list).into_response()
}

async fn model(headers: HeaderMap, Path(id): Path<String>) -> Response {
    if headers.contains_key("x-goog-api-key") {
        return gemini::model(Path(id)).await;
    }
    let anthropic = headers.contains_key("anthropic-version");
    if MODELS.contains(&id.as_str()) {
        return axum::Json(model_object(&id, anthropic)).into_response();
    }
    let body = if anthropic {
        json!({"type": "error", "error": {"type": "not_found_error", "message": "no such model"}})
    } else {
        json!({"error": {"message": "no such model", "type": "invalid_request_error", "param": "model", "code": "model_not_found"}})
    };
    (StatusCode::NOT_FOUND, axum::Json(body)).into_response()
}

fn model_object(id: &str, anthropic: bool) -> Value {
    if anthropic {
        json!({"type": "model", "id": id, "display_name": id, "created_at": "2026-01-01T00:00:00Z"})
    } else {
        json!({"id": id, "object": "model", "created": CREATED, "owned_by": "bulkhead-demo"})
    }
}

/// A stable identifier of 24 characters for the answer to this request.
fn id_of(body: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, body);
    digest.as_ref().iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}
