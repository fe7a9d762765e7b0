//! A connection whose answer is read as it arrives.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Call, Ended, Reply, split_event};
use crate::within;

/// A connection with an answer that is still arriving.
#[derive(Debug)]
pub struct Live {
    stream: TcpStream,
    /// Bytes read from the socket and not yet looked at.
    wire: Vec<u8>,
    /// Body bytes not yet handed out.
    body: Vec<u8>,
    framing: BodyFraming,
    ended: Option<Ended>,
    /// The status code; 0 before an answer.
    pub status: u16,
    /// Headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug)]
enum BodyFraming {
    Length(usize),
    Chunked,
    UntilClose,
}

/// The connection ended before a response head.
#[derive(Clone, Copy, Debug)]
pub struct NoAnswer;

impl Live {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let stream = within("connect", TcpStream::connect(address)).await.expect("connect");
        let _ = stream.set_nodelay(true);
        Self::over(stream)
    }

    pub(super) async fn try_connect(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).await.ok()?;
        let _ = stream.set_nodelay(true);
        Some(Self::over(stream))
    }

    fn over(stream: TcpStream) -> Self {
        Self {
            stream,
            wire: Vec::new(),
            body: Vec::new(),
            framing: BodyFraming::Length(0),
            ended: None,
            status: 0,
            headers: Vec::new(),
        }
    }

    /// Sends a request on this connection and reads the answer's head; `false` when there is none.
    pub async fn try_send(&mut self, call: &Call) -> bool {
        let (head, body) = call.wire();
        let mut bytes = head;
        bytes.extend_from_slice(&body);
        // A refusal may come, and the connection go, before a large body is written.
        let _ = self.stream.write_all(&bytes).await;
        self.read_head(&call.method).await.is_ok()
    }

    /// Sends a request on this connection and reads the answer's head.
    pub async fn send(&mut self, call: &Call) {
        assert!(
            self.try_send(call).await,
            "connection closed without an answer to {} {}",
            call.method,
            call.target
        );
    }

    /// Writes bytes as they are.
    pub async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("write");
    }

    /// Writes bytes as they are; `false` when the peer takes no more.
    pub async fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Reads the next response head, final or interim.
    ///
    /// # Errors
    /// [`NoAnswer`] if the connection ends first.
    pub async fn read_head(&mut self, method: &str) -> Result<(), NoAnswer> {
        self.body.clear();
        self.ended = None;
        let head_len = loop {
            if let Some(at) = self.wire.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.fill().await {
                return Err(NoAnswer);
            }
        };
        let head: Vec<u8> = self.wire.drain(..head_len).collect();
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
        self.status = status.unwrap_or_else(|| panic!("not a response head: {head}"));
        self.headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length = self.header("content-length").map(|v| v.parse().expect("a content-length"));
        self.framing = if method == "HEAD" || self.status == 204 || self.status < 200 {
            BodyFraming::Length(0)
        } else if self.header("transfer-encoding").is_some() {
            assert_eq!(length, None, "content-length beside transfer-encoding");
            BodyFraming::Chunked
        } else {
            length.map_or(BodyFraming::UntilClose, BodyFraming::Length)
        };
        Ok(())
    }

    /// The first value of the header called `name`, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The id under which the request was traced.
    pub fn trace_id(&self) -> String {
        self.header("x-request-id").expect("x-request-id").to_owned()
    }

    /// The next event with its blank line; `None` at the end.
    pub async fn next_event(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(event) = split_event(&mut self.body) {
                return Some(event);
            }
            if !self.more().await {
                let rest = std::mem::take(&mut self.body);
                return (!rest.is_empty()).then_some(rest);
            }
        }
    }

    /// Reads all that is left.
    pub async fn rest(mut self) -> Reply {
        self.finish().await
    }

    /// Reads all that is left, keeping the connection for another request.
    pub async fn finish(&mut self) -> Reply {
        while self.more().await {}
        Reply {
            status: self.status,
            headers: self.headers.clone(),
            body: std::mem::take(&mut self.body),
            ended: self.ended.unwrap_or(Ended::Complete),
        }
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO));
    }

    /// Moves more of the body into `self.body`; `false` at its end.
    async fn more(&mut self) -> bool {
        if self.ended.is_some() {
            return false;
        }
        match self.framing {
            BodyFraming::Length(left) => {
                if left == 0 {
                    self.ended = Some(Ended::Complete);
                    return false;
                }
                if self.wire.is_empty() && !self.fill().await {
                    self.ended = Some(Ended::Cut);
                    return false;
                }
                let take = left.min(self.wire.len());
                self.body.extend(self.wire.drain(..take));
                self.framing = BodyFraming::Length(left - take);
                true
            }
            BodyFraming::UntilClose => {
                if self.wire.is_empty() && !self.fill().await {
                    self.ended = Some(Ended::Complete);
                    return false;
                }
                self.body.append(&mut self.wire);
                true
            }
            BodyFraming::Chunked => self.more_chunked().await,
        }
    }

    async fn more_chunked(&mut self) -> bool {
        loop {
            if let Some(line_end) = self.wire.windows(2).position(|w| w == b"\r\n") {
                let line = String::from_utf8_lossy(&self.wire[..line_end]).into_owned();
                let size = usize::from_str_radix(line.trim(), 16).expect("a chunk size");
                if self.wire.len() >= line_end + 2 + size + 2 {
                    let chunk_start = line_end + 2;
                    self.body.extend_from_slice(&self.wire[chunk_start..chunk_start + size]);
                    assert_eq!(
                        &self.wire[chunk_start + size..chunk_start + size + 2],
                        b"\r\n",
                        "end of a chunk"
                    );
                    self.wire.drain(..chunk_start + size + 2);
                    if size == 0 {
                        self.ended = Some(Ended::Complete);
                    }
                    return size != 0;
                }
            }
            if !self.fill().await {
                self.ended = Some(Ended::Cut);
                return false;
            }
        }
    }

    /// Reads from the socket; `false` when it is closed or reset.
    async fn fill(&mut self) -> bool {
        let read = within("more bytes of the answer", self.stream.read_buf(&mut self.wire)).await;
        matches!(read, Ok(1..))
    }
}
