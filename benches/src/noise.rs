//! A tenant that asks for twenty times what it may have.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::agent_body::{agent_request, small_request};
use crate::driver::{Connection, Target};
use crate::scenario::Kind;

/// Requests per minute that the noisy tenant may send.
pub const REQUESTS_PER_MINUTE: u32 = 600;
/// Requests that it may have running.
pub const CONCURRENT_REQUESTS: u32 = 8;
/// How much more it asks for.
const TIMES: u32 = 20;
/// How many connections it sends plain requests on.
const CONNECTIONS: u32 = 16;

/// What it does too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noise {
    /// Agent requests of 60 KB.
    Requests,
    /// Bodies of half a megabyte that stop in the middle.
    Bodies,
    /// Streams of eight seconds.
    Streams,
    /// Policies with new detectors, one after the other.
    Policies,
}

impl Noise {
    /// All.
    pub const ALL: [Self; 4] = [Self::Requests, Self::Bodies, Self::Streams, Self::Policies];

    /// What the table calls it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Bodies => "held bodies",
            Self::Streams => "streams",
            Self::Policies => "policies",
        }
    }
}

/// How often it asked, and how often it was served.
#[derive(Debug, Default)]
struct Counts {
    stop: AtomicBool,
    asked: AtomicU64,
    served: AtomicU64,
}

impl Counts {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Acquire)
    }

    fn note(&self, is_served: bool) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.served.fetch_add(u64::from(is_served), Ordering::Relaxed);
    }
}

/// Noise that goes on until it is stopped, on a thread of its own so that it does not delay who measures.
#[derive(Debug)]
pub struct Noisy {
    counts: Arc<Counts>,
    thread: JoinHandle<()>,
}

impl Noisy {
    /// Starts these kinds; policies are for the caller to publish.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start(kinds: &[Noise], target: &Target) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (counts, kinds, target) = (Arc::new(Counts::default()), kinds.to_vec(), target.clone());
        let shared = Arc::clone(&counts);
        let thread = std::thread::Builder::new()
            .name("noise".to_owned())
            .spawn(move || runtime.block_on(make(&kinds, &target, &shared)))?;
        Ok(Self { counts, thread })
    }

    /// Stops it; returns how often it asked and how often it was served.
    ///
    /// # Errors
    /// If its thread has panicked.
    pub fn stop(self) -> anyhow::Result<(u64, u64)> {
        self.counts.stop.store(true, Ordering::Release);
        self.thread.join().ok().context("the noise panicked")?;
        Ok((self.counts.asked.load(Ordering::Relaxed), self.counts.served.load(Ordering::Relaxed)))
    }
}

async fn make(kinds: &[Noise], target: &Target, counts: &Arc<Counts>) {
    let mut tasks = JoinSet::new();
    let many = CONCURRENT_REQUESTS * TIMES;
    if kinds.contains(&Noise::Requests) {
        for _ in 0..CONNECTIONS {
            tasks.spawn(requests(target.clone(), Arc::clone(counts)));
        }
    }
    for _ in 0..many {
        if kinds.contains(&Noise::Bodies) {
            tasks.spawn(bodies(target.clone(), Arc::clone(counts)));
        }
        if kinds.contains(&Noise::Streams) {
            tasks.spawn(streams(target.clone(), Arc::clone(counts)));
        }
    }
    while counts.goes_on() {
        sleep(Duration::from_millis(10)).await;
    }
    tasks.shutdown().await;
}

/// Its share of twenty times the rate, whatever becomes of them.
async fn requests(target: Target, counts: Arc<Counts>) {
    let body: Bytes = agent_request(Kind::Json.model(), 60_000, false).into();
    let mut pace = interval(Duration::from_secs(60) * CONNECTIONS / (REQUESTS_PER_MINUTE * TIMES));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let Ok(mut connection) = Connection::open(&target).await else { return };
        loop {
            pace.tick().await;
            match connection.knock(&target, body.clone()).await {
                Ok(status) => counts.note(status.is_success()),
                // A refused body may cost the connection.
                Err(_) => break,
            }
        }
    }
}

async fn streams(target: Target, counts: Arc<Counts>) {
    let body: Bytes = small_request(Kind::Held.model(), 1024, true).into();
    loop {
        if let Ok(mut connection) = Connection::open(&target).await {
            let status = connection.knock(&target, body.clone()).await;
            counts.note(status.is_ok_and(|status| status.is_success()));
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// Sends half of a body and waits for an answer or for two seconds.
async fn bodies(target: Target, counts: Arc<Counts>) {
    const BYTES: usize = 512 << 10;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: bench.test\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {BYTES}\r\n\r\n",
        target.key
    );
    let half = vec![b' '; BYTES / 2];
    loop {
        if let Ok(mut stream) = TcpStream::connect(target.address).await {
            let mut answer = [0; 16];
            let sent = stream.write_all(head.as_bytes()).await.and(stream.write_all(&half).await);
            let answered = tokio::time::timeout(Duration::from_secs(2), stream.read(&mut answer)).await;
            // What is read is held; what is refused gets an answer.
            counts.note(sent.is_ok() && answered.is_err());
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// A policy for the noisy tenant with `number` in its detectors, so that they are compiled anew; 0: with none.
#[must_use]
pub fn policy(upstreams: &str, number: usize) -> String {
    let limits = format!(
        "limits: {{ requests_per_minute: {REQUESTS_PER_MINUTE}, concurrent_requests: {CONCURRENT_REQUESTS} }}\n"
    );
    if number == 0 {
        return format!("{upstreams}{limits}");
    }
    let detector = |index: usize| {
        let terms: Vec<String> =
            (0..500).map(|term| format!("noisy words {number} {index} {term}")).collect();
        format!("    - {{ id: NOISE_{index}, ignore_case: true, terms: {terms:?} }}\n")
    };
    let detectors: String = (0..10).map(detector).collect();
    format!(
        "{upstreams}{limits}dlp:\n  detectors:\n{detectors}  rules: [{{ detect: [\"custom.*\"], on: both, action: alert }}]\n"
    )
}

impl Connection {
    /// Sends one request, reads what comes back and says what it was.
    async fn knock(&mut self, target: &Target, body: Bytes) -> anyhow::Result<StatusCode> {
        let (head, mut rest) = self.send(target, body).await?.into_parts();
        while let Some(frame) = http_body_util::BodyExt::frame(&mut rest).await {
            frame?;
        }
        Ok(head.status)
    }
}
