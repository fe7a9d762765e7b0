//! Reads and writes the formats of LLM providers: which strings of a message are text, which
//! event goes on with which text, what a reply used, and what an error looks like.
//!
//! Pure: bytes in, facts out. This crate knows no tenant, no HTTP client and no SQL, and it never
//! converts one dialect into another: bytes pass in the dialect they came in, changed only at
//! named ranges.
//!
//! - [`classify`] tells which [`Endpoint`] a method and path stand for.
//! - [`json`] parses a body into a flat tape with raw ranges, so that an edit touches nothing else.
//! - [`sse`] cuts an event stream into frames that keep their exact bytes.
//! - [`request`] reads what routing, budgets and DLP need of a request.
//! - [`stream`] and [`response`] read the reply, as events or whole.
//! - [`tokens`] counts the tokens of a text, exactly or nearly.
//! - [`error`] writes refusals in the caller's dialect.

#![warn(missing_docs)]

pub mod encoding;
mod endpoint;
pub mod error;
pub mod json;
pub mod request;
pub mod response;
pub mod sse;
pub mod stream;
pub mod tokens;
mod usage;

#[cfg(test)]
mod recorded;

pub use endpoint::{Dialect, Endpoint, Operation, Unknown, UnknownName, UnknownReason, classify, unmounted};
pub use usage::Usage;
