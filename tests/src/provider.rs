//! A provider that does what a test tells it, and remembers every byte it was sent.
//!
//! It speaks HTTP/1.1 over plain sockets instead of using a server library, so that an answer can be
//! cut at any byte, reset, or never come. Scripts are found by the request's `model`, so that tests
//! that share a provider do not meet.

mod connection;
mod script;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use script::{Answer, Framing, Gate, Piece};

/// How an exchange ended at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The answer is not finished.
    Running,
    /// The whole answer was written.
    Finished,
    /// The peer closed or reset the connection before the answer was finished.
    Aborted,
    /// The script itself broke the connection.
    Broken,
}

/// One request as the provider received it.
#[derive(Debug)]
pub struct Seen {
    /// The request method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The exact body, after chunked framing was removed.
    pub body: Vec<u8>,
    /// The number of the connection it came on.
    pub connection: u64,
    end: watch::Sender<End>,
}

impl Seen {
    /// The value of the only header called `name`, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name);
        let value = values.next().map(|(_, v)| v.as_str());
        assert!(values.next().is_none(), "header {name} was sent twice");
        value
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The model asked for: Gemini has it in the path, everyone else in the body.
    pub fn model(&self) -> String {
        let in_path = self.target.split_once("/models/").and_then(|(_, rest)| rest.split_once(':'));
        match in_path {
            Some((model, _)) => model.to_owned(),
            None => self.json()["model"].as_str().unwrap_or_default().to_owned(),
        }
    }

    /// How the exchange has ended so far.
    pub fn end(&self) -> End {
        *self.end.borrow()
    }

    /// Waits until the exchange has ended.
    pub async fn ended(&self) -> End {
        let mut end = self.end.subscribe();
        let ended = end.wait_for(|end| *end != End::Running);
        *crate::within("the exchange ends at the provider", ended).await.expect("the sender lives in self")
    }
}

type Handler = Arc<dyn Fn(&Seen) -> Answer + Send + Sync>;

/// What one model answers.
enum Behaviour {
    Queue(VecDeque<Answer>),
    Call(Handler),
}

/// State shared by the provider's handle and its connections.
struct State {
    behaviours: Mutex<HashMap<String, Behaviour>>,
    seen: Mutex<Vec<Arc<Seen>>>,
    arrived: watch::Sender<usize>,
    connections: AtomicU64,
}

/// The scripted provider; it stops when dropped.
pub struct FakeProvider {
    address: SocketAddr,
    state: Arc<State>,
    accept: JoinHandle<()>,
}

impl FakeProvider {
    /// Listens on a port that the operating system chooses.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind the fake provider");
        let address = listener.local_addr().expect("address of the fake provider");
        let state = Arc::new(State {
            behaviours: Mutex::default(),
            seen: Mutex::default(),
            arrived: watch::Sender::new(0),
            connections: AtomicU64::new(0),
        });
        let accept = crate::runtime().spawn(connection::accept(listener, Arc::clone(&state)));
        Self { address, state, accept }
    }

    /// The base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers requests for `model` with `answer`, each time.
    pub fn on(&self, model: &str, answer: Answer) {
        self.on_each(model, [answer]);
    }

    /// Answers requests for `model` with these answers in turn; the last one repeats.
    pub fn on_each(&self, model: &str, answers: impl IntoIterator<Item = Answer>) {
        let queue = answers.into_iter().collect();
        self.state.behaviours.lock().unwrap().insert(model.to_owned(), Behaviour::Queue(queue));
    }

    /// Lets `handler` answer requests for `model`.
    pub fn on_call(&self, model: &str, handler: impl Fn(&Seen) -> Answer + Send + Sync + 'static) {
        self.state.behaviours.lock().unwrap().insert(model.to_owned(), Behaviour::Call(Arc::new(handler)));
    }

    /// The requests for `model` so far, in the order of arrival.
    pub fn seen(&self, model: &str) -> Vec<Arc<Seen>> {
        self.all().into_iter().filter(|seen| seen.model() == model).collect()
    }

    /// All requests so far.
    pub fn all(&self) -> Vec<Arc<Seen>> {
        self.state.seen.lock().unwrap().clone()
    }

    /// The only request for `model`.
    pub fn only(&self, model: &str) -> Arc<Seen> {
        let mut seen = self.seen(model);
        assert_eq!(seen.len(), 1, "requests for {model} at the provider");
        seen.remove(0)
    }

    /// Waits until `count` requests for `model` have arrived and returns them.
    pub async fn arrived(&self, model: &str, count: usize) -> Vec<Arc<Seen>> {
        let mut arrived = self.state.arrived.subscribe();
        let what = format!("{count} requests for {model} at the provider");
        crate::within(&what, async {
            loop {
                let seen = self.seen(model);
                if seen.len() >= count {
                    return seen;
                }
                arrived.changed().await.expect("the provider is running");
            }
        })
        .await
    }
}

impl std::fmt::Debug for FakeProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeProvider").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for FakeProvider {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

impl State {
    fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// Records a request and decides its answer.
    fn receive(&self, seen: &Arc<Seen>) -> Answer {
        self.seen.lock().unwrap().push(Arc::clone(seen));
        self.arrived.send_modify(|count| *count += 1);
        let model = seen.model();
        let handler = {
            let mut behaviours = self.behaviours.lock().unwrap();
            match behaviours.get_mut(&model) {
                Some(Behaviour::Queue(queue)) if queue.len() > 1 => {
                    return queue.pop_front().expect("not empty");
                }
                Some(Behaviour::Queue(queue)) => {
                    return queue.front().cloned().unwrap_or_else(|| plain(seen));
                }
                Some(Behaviour::Call(handler)) => Arc::clone(handler),
                None => return plain(seen),
            }
        };
        handler(seen)
    }
}

/// The answer to a request that no test has scripted: a short text in the path's dialect.
fn plain(seen: &Seen) -> Answer {
    let path = match seen.target.split('?').next().unwrap_or_default() {
        // The only path of which the head says whose it is.
        "/v1/models" if seen.header("x-goog-api-key").is_some() => "/v1beta/models",
        path => path,
    };
    crate::shapes::plain_answer(path, &seen.json(), "hello from the provider")
}
