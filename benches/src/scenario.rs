//! What is asked, how often, and what must come back.

use bytes::Bytes;

use crate::agent_body::{agent_request, small_request};

/// Which answer the upstream gives; told apart by the model's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 1 KB of JSON.
    Json,
    /// 200 events as fast as they can be written.
    Burst,
    /// 200 events, one every 10 ms.
    Paced,
    /// 80 events, one every 100 ms, to hold many streams open.
    Held,
}

/// Models that the price table knows, because budgets in usd are part of what is measured.
const MODELS: [(&str, Kind); 4] = [
    ("gpt-4o-mini", Kind::Json),
    ("gpt-4.1-mini", Kind::Burst),
    ("gpt-5-mini", Kind::Paced),
    ("gpt-5-nano", Kind::Held),
];

impl Kind {
    /// The model whose requests are answered like this.
    #[must_use]
    pub fn model(self) -> &'static str {
        MODELS.iter().find(|(_, kind)| *kind == self).map_or("", |(model, _)| model)
    }

    /// Reads the kind off a request body.
    #[must_use]
    pub fn of(body: &[u8]) -> Option<Self> {
        MODELS.iter().find_map(|(model, kind)| {
            let field = format!("\"model\":\"{model}\"");
            memchr::memmem::find(body, field.as_bytes()).map(|_| *kind)
        })
    }

    /// Events in a stream, its last three included: end, usage, `[DONE]`.
    #[must_use]
    pub const fn events(self) -> usize {
        match self {
            Self::Json => 0,
            Self::Burst | Self::Paced => 203,
            Self::Held => 83,
        }
    }
}

/// A card in every answer, cut over two events of a stream: Bulkhead must mask it, the others pass it.
pub const CARD_PARTS: [&str; 2] = [" 4539 5787", " 6362 1486"];

/// One line of the benchmark.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What the table calls it.
    pub name: &'static str,
    /// How the upstream answers.
    pub kind: Kind,
    /// The request's body.
    pub body: Bytes,
    /// Connections that send at the same time.
    pub connections: usize,
    /// Whether every request has other texts, so that nothing in it was inspected before.
    pub fresh: bool,
    /// Where set, each connection sends this many requests; else it sends until the time is over.
    pub requests_each: Option<usize>,
}

/// The scenarios whose throughput, CPU and latency are compared.
#[must_use]
pub fn scenarios(quick: bool) -> Vec<Scenario> {
    let paced = if quick { 50 } else { 200 };
    vec![
        Scenario {
            name: "JSON, 1 KB",
            kind: Kind::Json,
            body: small_request(Kind::Json.model(), 1024, false).into(),
            connections: 16,
            fresh: false,
            requests_each: None,
        },
        Scenario {
            name: "JSON, agent request of 60 KB",
            kind: Kind::Json,
            body: agent_request(Kind::Json.model(), 60_000, false).into(),
            connections: 16,
            fresh: false,
            requests_each: None,
        },
        Scenario {
            name: "JSON, 60 KB, every text new",
            kind: Kind::Json,
            body: agent_request(Kind::Json.model(), 60_000, false).into(),
            connections: 16,
            fresh: true,
            requests_each: None,
        },
        Scenario {
            name: "SSE, burst of 200 events",
            kind: Kind::Burst,
            body: small_request(Kind::Burst.model(), 1024, true).into(),
            connections: 16,
            fresh: false,
            requests_each: None,
        },
        Scenario {
            name: "SSE, 200 events 10 ms apart",
            kind: Kind::Paced,
            body: small_request(Kind::Paced.model(), 1024, true).into(),
            connections: paced,
            fresh: false,
            requests_each: Some(1),
        },
    ]
}
