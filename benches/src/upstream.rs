//! The provider of the benchmark: answers at once, from memory, on a thread of its own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior};

use crate::scenario::{CARD_PARTS, Kind};

/// Added to every time stamp, so that all have the same number of digits and all streams the same length.
pub const STAMP_BASE_MICROS: u64 = 1_000_000_000;

/// Starts the upstream; it runs as long as the process.
///
/// # Errors
/// If no port can be bound or no thread started.
pub fn start(clock: Instant) -> anyhow::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("bind the upstream")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("upstream".to_owned()).spawn(move || {
        runtime.block_on(async {
            if let Err(error) = accept(listener, clock).await {
                eprintln!("the upstream stopped: {error}");
            }
        });
    })?;
    Ok(address)
}

async fn accept(listener: std::net::TcpListener, clock: Instant) -> anyhow::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        while connections.try_join_next().is_some() {}
        let service = service_fn(move |request| answer(request, clock));
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

type Answer = Response<Either<Full<Bytes>, Events>>;

async fn answer(request: Request<Incoming>, clock: Instant) -> Result<Answer, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let full = |status: StatusCode, body: Vec<u8>| {
        let mut response = Response::new(Either::Left(Full::new(body.into())));
        *response.status_mut() = status;
        response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
        response
    };
    Ok(match Kind::of(&body) {
        None => full(StatusCode::BAD_REQUEST, b"{}".to_vec()),
        Some(Kind::Json) => full(StatusCode::OK, json_answer()),
        Some(kind) => {
            let mut response = Response::new(Either::Right(Events::new(kind, clock)));
            response
                .headers_mut()
                .insert("content-type", http::HeaderValue::from_static("text/event-stream"));
            response
        }
    })
}

/// 1 KB of JSON with a card in it.
fn json_answer() -> Vec<u8> {
    let text = "The answer is short and has nothing in it that would have to be hidden. ".repeat(9);
    let answer = json!({
        "id": "chatcmpl-9", "object": "chat.completion", "created": 1_700_000_000, "model": Kind::Json.model(),
        "choices": [{"index": 0, "finish_reason": "stop", "message": {
            "role": "assistant", "content": format!("{text}{} ends it.", CARD_PARTS.concat())}}],
        "usage": {"prompt_tokens": 200, "completion_tokens": 150, "total_tokens": 350},
    });
    answer.to_string().into_bytes()
}

/// The events of one stream, made when they are due.
#[derive(Debug)]
struct Events {
    kind: Kind,
    next: usize,
    pace: Option<Interval>,
    clock: Instant,
}

impl Events {
    fn new(kind: Kind, clock: Instant) -> Self {
        let pace = match kind {
            Kind::Paced => Some(Duration::from_millis(10)),
            Kind::Held => Some(Duration::from_millis(100)),
            Kind::Json | Kind::Burst => None,
        };
        let pace = pace.map(|period| {
            let mut interval = tokio::time::interval(period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        Self { kind, next: 0, pace, clock }
    }

    fn event(&self) -> Bytes {
        let last = self.kind.events();
        match self.next {
            100 => self.delta(CARD_PARTS[0]),
            101 => self.delta(CARD_PARTS[1]),
            at if at + 3 == last => {
                self.chunk(r#"[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null"#)
            }
            at if at + 2 == last => {
                self.chunk(r#"[],"usage":{"prompt_tokens":200,"completion_tokens":200,"total_tokens":400}"#)
            }
            at if at + 1 == last => Bytes::from_static(b"data: [DONE]\n\n"),
            at if at % 7 == 3 => self.delta(" reasonably,"),
            _ => self.delta(" words"),
        }
    }

    fn delta(&self, text: &str) -> Bytes {
        self.chunk(&format!(r#"[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}]"#))
    }

    /// `t` is when the event was written, in microseconds, for the paced streams' delay.
    fn chunk(&self, choices: &str) -> Bytes {
        let since = u64::try_from(self.clock.elapsed().as_micros()).unwrap_or(0);
        let stamp = STAMP_BASE_MICROS + since;
        format!(
            "data: {{\"id\":\"chatcmpl-9\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"t\":{stamp},\"model\":\"{}\",\"choices\":{choices}}}\n\n",
            self.kind.model()
        )
        .into()
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.next == self.kind.events() {
            return Poll::Ready(None);
        }
        if let Some(pace) = &mut self.pace {
            let _ = ready!(pace.poll_tick(cx));
        }
        let event = self.event();
        self.next += 1;
        Poll::Ready(Some(Ok(Frame::data(event))))
    }
}
