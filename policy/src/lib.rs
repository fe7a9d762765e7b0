//! Who may do what: ids, money, prices, policy documents and what they compile to.
//!
//! Beside that, [`audit`] says how the trail of changes is hashed, checked and signed.
//!
//! Nothing here does I/O. Text, rows, time and randomness come in as arguments; what comes out is immutable
//! and shared behind `Arc`, except for the counters of [`ledger`] and [`limiter`], which are atomics.
//!
//! The road of a policy: a stored row ([`raw`]) holds the text of a [`document::PolicyDocument`];
//! [`compile::compile`] lays the platform's, the tenant's and the agent's documents over each other and
//! yields a [`compile::TenantPolicy`]; [`snapshot::Snapshot`] finds it by API key;
//! [`snapshot::SnapshotHandle`] swaps snapshots under running requests.

#![warn(missing_docs)]

pub mod address;
pub mod api_key;
pub mod audit;
pub mod compile;
pub mod crypto;
pub mod data_key;
pub mod document;
pub mod ids;
pub mod ledger;
pub mod limiter;
pub mod money;
pub mod prices;
pub mod raw;
pub mod snapshot;
pub mod trace;
