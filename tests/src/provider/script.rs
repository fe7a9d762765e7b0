//! What the provider answers: a head, pieces of a body, and the places where it waits or breaks.

use serde_json::Value;
use tokio::sync::watch;

/// A point in an answer that the test opens.
#[derive(Clone, Debug)]
pub struct Gate {
    open: watch::Sender<bool>,
    reached: watch::Sender<bool>,
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self { open: watch::Sender::new(false), reached: watch::Sender::new(false) }
    }

    /// Lets the provider go on; stays open.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Waits until the provider has written everything before the gate.
    pub async fn reached(&self) {
        let mut reached = self.reached.subscribe();
        let wait = reached.wait_for(|reached| *reached);
        let _ = crate::within("the provider reaches the gate", wait).await.expect("the gate lives");
    }

    pub(super) async fn pass(&self) {
        self.reached.send_replace(true);
        let mut open = self.open.subscribe();
        let _ = open.wait_for(|open| *open).await.expect("the gate lives");
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

/// One step of an answer's body.
#[derive(Clone, Debug)]
pub enum Piece {
    /// Bytes written and flushed at once.
    Bytes(Vec<u8>),
    /// Wait for the test.
    Gate(Gate),
    /// End the connection with a TCP reset.
    Reset,
    /// End the connection with a FIN, without the end of the chunked framing.
    Hangup,
    /// Stay silent until the peer goes away.
    Never,
}

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A Content-Length header.
    Length,
    /// Chunked; each [`Piece::Bytes`] is one chunk.
    Chunked,
}

/// A scripted answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) framing: Framing,
    pub(super) body: Vec<Piece>,
    pub(super) before_head: Option<Piece>,
    pub(super) claimed: Option<usize>,
}

impl Answer {
    /// A JSON answer with Content-Length.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::bytes(status, "application/json", body.to_string().into_bytes())
    }

    /// Any body with Content-Length.
    pub fn bytes(status: u16, content_type: &str, body: Vec<u8>) -> Self {
        Self {
            status,
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            framing: Framing::Length,
            body: vec![Piece::Bytes(body)],
            before_head: None,
            claimed: None,
        }
    }

    /// A chunked event stream, one write per event.
    pub fn events(events: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type".to_owned(), "text/event-stream".to_owned())],
            framing: Framing::Chunked,
            body: events.into_iter().map(|event| Piece::Bytes(event.into())).collect(),
            before_head: None,
            claimed: None,
        }
    }

    /// Accepts the request and never answers.
    pub fn never() -> Self {
        let mut answer = Self::events(Vec::<Vec<u8>>::new());
        answer.before_head = Some(Piece::Never);
        answer
    }

    /// Resets the connection instead of answering.
    pub fn reset_at_once() -> Self {
        let mut answer = Self::events(Vec::<Vec<u8>>::new());
        answer.before_head = Some(Piece::Reset);
        answer
    }

    /// Adds a response header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Replaces the content type.
    pub fn content_type(mut self, value: &str) -> Self {
        self.headers.retain(|(name, _)| name != "content-type");
        self.header("content-type", value)
    }

    /// Sends the body chunked.
    pub fn chunked(mut self) -> Self {
        self.framing = Framing::Chunked;
        self
    }

    /// Claims another Content-Length than the body has.
    pub fn claim_length(mut self, length: usize) -> Self {
        self.claimed = Some(length);
        self
    }

    /// Waits at `gate` before the response head.
    pub fn gate_first(mut self, gate: &Gate) -> Self {
        self.before_head = Some(Piece::Gate(gate.clone()));
        self
    }

    /// Puts `piece` before the body's piece number `index`.
    pub fn insert(mut self, index: usize, piece: Piece) -> Self {
        self.body.insert(index, piece);
        self
    }

    /// Waits at `gate` before the event number `index`.
    pub fn gate(self, index: usize, gate: &Gate) -> Self {
        self.insert(index, Piece::Gate(gate.clone()))
    }

    /// Drops the body's pieces from `index` on and puts `piece` there.
    pub fn cut(mut self, index: usize, piece: Piece) -> Self {
        self.body.truncate(index);
        self.body.push(piece);
        self
    }

    /// Drops the body's pieces from `index` on and ends the body regularly.
    pub fn end_early(mut self, index: usize) -> Self {
        self.body.truncate(index);
        self
    }

    /// Joins the body and writes it again in pieces of `size` bytes, wherever that cuts.
    pub fn recut(mut self, size: usize) -> Self {
        let whole: Vec<u8> = self
            .body
            .iter()
            .flat_map(|piece| match piece {
                Piece::Bytes(bytes) => bytes.clone(),
                other => panic!("cannot cut {other:?}"),
            })
            .collect();
        self.body = whole.chunks(size).map(|chunk| Piece::Bytes(chunk.to_vec())).collect();
        self
    }
}
