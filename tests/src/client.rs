//! An HTTP/1.1 client that shows what really came over the wire, and can say what no library would.

mod live;

use std::net::SocketAddr;

pub use live::{Live, NoAnswer};
use serde_json::Value;

/// How a response body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As its framing promised.
    Complete,
    /// The connection closed before the framing said so.
    Cut,
}

/// A whole response.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body without framing.
    pub body: Vec<u8>,
    /// How the body ended.
    pub ended: Ended,
}

impl Reply {
    /// The first value of the header called `name`, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; fails the test where it is none.
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("status {} without JSON ({error}): {}", self.status, self.text()),
        }
    }

    /// The body's events, each with its blank line; a last unterminated one as it is.
    pub fn events(&self) -> Vec<Vec<u8>> {
        let mut rest = self.body.clone();
        let mut events = Vec::new();
        while let Some(event) = split_event(&mut rest) {
            events.push(event);
        }
        if !rest.is_empty() {
            events.push(rest);
        }
        events
    }

    /// The id under which the request was traced.
    pub fn trace_id(&self) -> String {
        self.header("x-request-id").expect("x-request-id").to_owned()
    }

    /// Fails the test unless the status is `status`.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

/// Takes the first whole event off `bytes`.
fn split_event(bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = bytes.windows(2).position(|w| w == b"\n\n")? + 2;
    Some(bytes.drain(..end).collect())
}

/// Where requests go, and as whom.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
    key: Option<String>,
}

impl Client {
    /// A client of `url`, which is `http://address:port`, with `key` as its Bulkhead key.
    pub fn new(url: &str, key: Option<&str>) -> Self {
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        Self { address: address.parse().expect("an address and port"), key: key.map(str::to_owned) }
    }

    /// The same address with another key.
    pub fn with_key(&self, key: &str) -> Self {
        Self { address: self.address, key: Some(key.to_owned()) }
    }

    /// The same address without a key.
    pub fn without_key(&self) -> Self {
        Self { address: self.address, key: None }
    }

    /// Starts a request.
    pub fn call(&self, method: &str, target: &str) -> Call {
        let mut call = Call {
            address: self.address,
            method: method.to_owned(),
            target: target.to_owned(),
            headers: vec![("host".to_owned(), self.address.to_string())],
            body: Vec::new(),
            chunk: None,
        };
        if let Some(key) = &self.key {
            // Each SDK sends its key in its own header, Anthropic's its version with each request.
            if target.starts_with("/v1beta/") {
                call = call.header("x-goog-api-key", key);
            } else if target.starts_with("/v1/messages") {
                call = call.header("x-api-key", key).header("anthropic-version", "2023-06-01");
            } else {
                call = call.header("authorization", &format!("Bearer {key}"));
            }
        }
        call
    }

    /// A POST with a JSON body, answered whole.
    pub async fn post(&self, target: &str, body: &Value) -> Reply {
        self.call("POST", target).json(body).send().await
    }

    /// A POST with a JSON body, answered as a stream.
    pub async fn stream(&self, target: &str, body: &Value) -> Live {
        self.call("POST", target).json(body).open().await
    }

    /// A GET, answered whole.
    pub async fn get(&self, target: &str) -> Reply {
        self.call("GET", target).send().await
    }

    /// Sends `bytes` as they are and reads one answer; `None` when the connection closes without one.
    pub async fn raw(&self, bytes: &[u8]) -> Option<Reply> {
        let mut live = Live::connect(self.address).await;
        // The peer may refuse and close while we still write; what counts is what it answers.
        let _ = live.try_write(bytes).await;
        let method = if bytes.starts_with(b"HEAD ") { "HEAD" } else { "GET" };
        match live.read_head(method).await {
            Ok(()) => Some(live.rest().await),
            Err(_) => None,
        }
    }

    /// An open connection on which nothing was sent yet; `None` if nobody listens.
    pub async fn try_connect(&self) -> Option<Live> {
        Live::try_connect(self.address).await
    }

    /// An open connection on which nothing was sent yet.
    pub async fn connect(&self) -> Live {
        Live::connect(self.address).await
    }
}

/// A request being made.
#[derive(Clone, Debug)]
pub struct Call {
    address: SocketAddr,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    chunk: Option<usize>,
}

impl Call {
    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends this JSON; a `{model}` in the target is the model that it names.
    pub fn json(mut self, body: &Value) -> Self {
        let model = body["model"].as_str().unwrap_or_default();
        self.target = self.target.replace("{model}", model.trim_start_matches("models/"));
        self.header("content-type", "application/json").bytes(body.to_string().into_bytes())
    }

    /// Sends these bytes.
    pub fn bytes(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    /// Sends the body in chunks of `size` bytes instead of with a Content-Length.
    pub fn chunked(mut self, size: usize) -> Self {
        self.chunk = Some(size);
        self
    }

    /// The request's bytes on the wire: head and body.
    pub fn wire(&self) -> (Vec<u8>, Vec<u8>) {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut body = Vec::new();
        if let Some(size) = self.chunk {
            head.push_str("transfer-encoding: chunked\r\n");
            for chunk in self.body.chunks(size) {
                body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\n\r\n");
        } else {
            if !self.body.is_empty() || self.method == "POST" {
                head.push_str(&format!("content-length: {}\r\n", self.body.len()));
            }
            body.extend_from_slice(&self.body);
        }
        head.push_str("\r\n");
        (head.into_bytes(), body)
    }

    /// Sends the request and reads the whole answer.
    pub async fn send(self) -> Reply {
        self.open().await.rest().await
    }

    /// Sends the request and reads the answer's head.
    pub async fn open(self) -> Live {
        let mut live = Live::connect(self.address).await;
        live.send(&self).await;
        live
    }
}
