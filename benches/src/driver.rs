//! Sends requests over kept connections and checks every answer.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::scenario::{CARD_PARTS, Kind, Scenario};
use crate::upstream::STAMP_BASE_MICROS;

/// Where requests go, and what may come back.
#[derive(Clone, Debug)]
pub struct Target {
    /// The address.
    pub address: SocketAddr,
    /// The Bulkhead key; the others do not look at it.
    pub key: Arc<str>,
    /// Whether cards must be masked in answers.
    pub masks: bool,
    /// The clock of the upstream's time stamps.
    pub clock: Instant,
}

/// What one run of a scenario has shown.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Answers.
    pub requests: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Sorted microseconds: of whole answers, or of single events where the stream is paced.
    pub latencies: Vec<u32>,
}

/// Runs a scenario against a target; `time` bounds it where the scenario has no number of requests.
///
/// # Errors
/// If any answer is not what it must be.
pub async fn run(target: &Target, scenario: &Scenario, time: Duration) -> anyhow::Result<Sample> {
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..scenario.connections {
        workers.spawn(worker(target.clone(), scenario.clone(), start + time));
    }
    let mut sample = Sample::default();
    while let Some(part) = workers.join_next().await {
        let (requests, latencies) = part??;
        sample.requests += requests;
        sample.latencies.extend(latencies);
    }
    sample.elapsed = start.elapsed();
    sample.latencies.sort_unstable();
    Ok(sample)
}

/// Runs a scenario in which each connection asks `every` so often, for `time`.
///
/// A latency counts from the moment at which the request was due, so that those that had to wait for a slow one count too.
///
/// # Errors
/// If any answer is not what it must be.
pub async fn run_paced(
    target: &Target,
    scenario: &Scenario,
    every: Duration,
    time: Duration,
) -> anyhow::Result<Sample> {
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for number in 0..scenario.connections {
        let (target, scenario) = (target.clone(), scenario.clone());
        // Not all at once.
        let mut due = start + every * u32::try_from(number)? / u32::try_from(scenario.connections)?;
        workers.spawn(async move {
            let mut connection = Connection::open(&target).await?;
            let mut check = Check::new(scenario.kind, &target);
            let mut bodies = Bodies::new(&scenario);
            let mut latencies = Vec::new();
            while due < start + time {
                tokio::time::sleep_until(due.into()).await;
                connection.ask(&target, bodies.next(), &mut check, || ()).await?;
                latencies.push(micros(due.elapsed()));
                due += every;
            }
            anyhow::Ok(latencies)
        });
    }
    let mut sample = Sample::default();
    while let Some(latencies) = workers.join_next().await {
        sample.latencies.extend(latencies??);
    }
    sample.requests = u64::try_from(sample.latencies.len())?;
    sample.elapsed = start.elapsed();
    sample.latencies.sort_unstable();
    Ok(sample)
}

/// Opens `count` slow streams, calls `observe` while all are running, and lets them end.
///
/// # Errors
/// If a stream is not what it must be.
pub async fn hold<T>(
    target: &Target,
    body: &Bytes,
    count: usize,
    observe: impl FnOnce() -> T,
) -> anyhow::Result<T> {
    let started = watch::Sender::new(0_usize);
    let mut streams = JoinSet::new();
    for _ in 0..count {
        let (target, body, started) = (target.clone(), body.clone(), started.clone());
        streams.spawn(async move {
            let mut connection = Connection::open(&target).await?;
            let mut check = Check::new(Kind::Held, &target);
            connection.ask(&target, body, &mut check, || started.send_modify(|count| *count += 1)).await?;
            anyhow::Ok(())
        });
    }
    let mut running = started.subscribe();
    let observed = tokio::select! {
        all = running.wait_for(|running| *running == count) => {
            all?;
            observe()
        }
        Some(ended) = streams.join_next() => {
            ended??;
            bail!("a stream ended before all {count} were running");
        }
    };
    while let Some(ended) = streams.join_next().await {
        ended??;
    }
    Ok(observed)
}

async fn worker(target: Target, scenario: Scenario, until: Instant) -> anyhow::Result<(u64, Vec<u32>)> {
    let mut connection = Connection::open(&target).await?;
    let mut latencies = Vec::with_capacity(4096);
    let mut requests = 0;
    let mut check = Check::new(scenario.kind, &target);
    let mut bodies = Bodies::new(&scenario);
    while scenario.requests_each.map_or_else(|| Instant::now() < until, |each| requests < each) {
        let start = Instant::now();
        connection.ask(&target, bodies.next(), &mut check, || ()).await?;
        requests += 1;
        if scenario.kind == Kind::Paced {
            latencies.append(&mut check.delays);
        } else {
            latencies.push(micros(start.elapsed()));
        }
    }
    Ok((u64::try_from(requests)?, latencies))
}

/// The bodies that one connection sends.
struct Bodies {
    body: Bytes,
    /// Where words stand that are replaced, if every body has texts of its own.
    words: Vec<usize>,
    number: u64,
}

/// A word that nearly every text has.
const WORD: &[u8] = b" the ";

impl Bodies {
    fn new(scenario: &Scenario) -> Self {
        let words = memchr::memmem::find_iter(&scenario.body, WORD).filter(|_| scenario.fresh).collect();
        // Other connections start elsewhere.
        let number = RandomState::new().hash_one(0);
        Self { body: scenario.body.clone(), words, number }
    }

    fn next(&mut self) -> Bytes {
        if self.words.is_empty() {
            return self.body.clone();
        }
        self.number = self.number.wrapping_add(1);
        let mut word = *b" aaa ";
        let digits = [1, 26, 26 * 26].map(|place| (self.number / place % 26) as u8);
        for (letter, digit) in word.iter_mut().skip(1).zip(digits) {
            *letter += digit;
        }
        let mut body = self.body.to_vec();
        for &at in &self.words {
            if let Some(place) = body.get_mut(at..at + WORD.len()) {
                place.copy_from_slice(&word);
            }
        }
        body.into()
    }
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// One kept connection.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    // Owns the task that moves the bytes, and ends it.
    _tasks: JoinSet<()>,
}

impl Connection {
    pub(crate) async fn open(target: &Target) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(target.address).await.context("connect")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async {
            // How it ends is seen by the request that was running on it.
            let _ended = connection.await;
        });
        Ok(Self { sender, _tasks: tasks })
    }

    pub(crate) async fn send(&mut self, target: &Target, body: Bytes) -> anyhow::Result<Response<Incoming>> {
        let request = Request::post("/v1/chat/completions")
            .header(header::HOST, "bench.test")
            .header(header::AUTHORIZATION, format!("Bearer {}", target.key))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }

    /// Sends one request and reads its answer; returns the policy revision that judged it.
    pub(crate) async fn ask(
        &mut self,
        target: &Target,
        body: Bytes,
        check: &mut Check,
        started: impl FnOnce(),
    ) -> anyhow::Result<Option<u64>> {
        let response = self.send(target, body).await?;
        let status = response.status();
        let revision =
            response.headers().get("x-bulkhead-policy-revision").and_then(|v| v.to_str().ok()?.parse().ok());
        let mut body = response.into_body();
        let mut started = Some(started);
        check.begin();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            if let Some(started) = started.take() {
                started();
            }
            check.take(&data);
        }
        ensure!(status.is_success(), "status {status}: {}", String::from_utf8_lossy(&check.tail));
        check.end()?;
        Ok(revision)
    }
}

/// Checks answers as they arrive, and reads the delays of paced events.
#[derive(Debug)]
pub(crate) struct Check {
    kind: Kind,
    masks: bool,
    clock: Instant,
    events: usize,
    bytes: usize,
    expected_bytes: Option<usize>,
    masked: bool,
    leaked: bool,
    /// The end of what arrived, long enough for a split card or stamp.
    tail: Vec<u8>,
    delays: Vec<u32>,
}

/// Longer than a card and everything that can stand between its halves in two events.
const TAIL_BYTES: usize = 1024;
const STAMP: &[u8] = b"\"t\":";

impl Check {
    pub(crate) fn new(kind: Kind, target: &Target) -> Self {
        Self {
            kind,
            masks: target.masks,
            clock: target.clock,
            events: 0,
            bytes: 0,
            expected_bytes: None,
            masked: false,
            leaked: false,
            tail: Vec::new(),
            delays: Vec::new(),
        }
    }

    fn begin(&mut self) {
        self.events = 0;
        self.bytes = 0;
        self.masked = false;
        self.leaked = false;
        self.tail.clear();
    }

    fn take(&mut self, data: &[u8]) {
        self.bytes += data.len();
        let seen = self.tail.len();
        self.tail.extend_from_slice(data);
        let from = seen.saturating_sub(1);
        self.events += memchr::memmem::find_iter(self.tail.get(from..).unwrap_or_default(), b"\n\n").count();
        self.masked |= memchr::memmem::find(&self.tail, b"CARD").is_some();
        self.leaked |= memchr::memmem::find(&self.tail, CARD_PARTS[0].as_bytes()).is_some();
        if self.kind == Kind::Paced {
            self.read_delays(data);
        }
        let keep = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..keep);
    }

    /// Events are far smaller than a segment, so a stamp is never cut in practice; a cut one is not counted.
    fn read_delays(&mut self, data: &[u8]) {
        let now = u64::try_from(self.clock.elapsed().as_micros()).unwrap_or(u64::MAX);
        for at in memchr::memmem::find_iter(data, STAMP) {
            let digits = data.get(at + STAMP.len()..at + STAMP.len() + 10);
            let stamp = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u64>().ok());
            if let Some(sent) = stamp.and_then(|stamp| stamp.checked_sub(STAMP_BASE_MICROS)) {
                self.delays.push(u32::try_from(now.saturating_sub(sent)).unwrap_or(u32::MAX));
            }
        }
    }

    /// The same bytes must come each time, in the right number of events, and end as a whole answer does.
    fn end(&mut self) -> anyhow::Result<()> {
        ensure!(self.events == self.kind.events(), "{} of {} events", self.events, self.kind.events());
        let expected = *self.expected_bytes.get_or_insert(self.bytes);
        ensure!(self.bytes == expected, "{} bytes instead of {expected}", self.bytes);
        if self.kind != Kind::Json {
            ensure!(self.tail.ends_with(b"data: [DONE]\n\n"), "the stream does not end with [DONE]");
        } else {
            ensure!(self.tail.ends_with(b"}"), "the answer is cut");
        }
        // A stream of 83 events ends before the card.
        if self.kind != Kind::Held {
            ensure!(
                self.masked == self.masks,
                "the card: expected masked {}, is {}",
                self.masks,
                self.masked
            );
            ensure!(
                self.leaked != self.masks,
                "the card: expected to arrive {}, did {}",
                !self.masks,
                self.leaked
            );
        }
        Ok(())
    }
}
