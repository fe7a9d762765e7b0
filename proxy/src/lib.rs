//! The data plane: from a client's bytes to a provider's and back, on pingora's sessions and connectors.
//!
//! One request is a walk through twelve steps, each in the module that has its name; `gateway` walks them
//! in order:
//!
//! | step | module |
//! |---|---|
//! | 1 accept | `server`, `socket`, `framing` |
//! | 2 identify | `identify` |
//! | 3 resolve, 4 classify, 5 admit | `admit`, `room` |
//! | 6 read and inspect | `body`, `judge`, `inspect`, `charge`, `leases` |
//! | 7 route | `judge`, `resolve` |
//! | 8 rewrite | `rewrite` |
//! | 9 read the reply's head | `forward`, `rate_headers` |
//! | 10 inspect the reply | `reply`, `inspect` |
//! | 11 settle | `charge` |
//! | 12 record | `record`, `spool`, `ship` |
//!
//! Every refusal is a `rejection`, written by `respond`. `metrics` declares all metrics, `admin`
//! serves them.

mod admin;
mod admit;
mod body;
mod capture;
mod charge;
mod config;
mod forward;
mod framing;
mod gateway;
mod identify;
mod inspect;
mod judge;
mod leases;
mod metrics;
mod rate_headers;
mod rates;
mod record;
mod rejection;
mod reply;
mod resolve;
mod respond;
mod rewrite;
mod room;
mod server;
mod ship;
mod socket;
mod spool;

pub use config::{Config, Limits, SpoolLimits, Timeouts};
pub use leases::{Leaser, Leases, leases};
pub use metrics::Metrics;
pub use rates::share_rates;
pub use server::{Addresses, Parts, ServeError, Service};
pub use ship::{Placements, Shipper};
pub use spool::{
    SpoolError, SpooledTrace, TraceSender, TraceSource, Unreadable, answer_dead_letter_requests, open_spool,
    read_spooled, spooled_id,
};
