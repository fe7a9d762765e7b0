//! The table of built-in detectors, a file for each kind.
//!
//! - Patterns are over bytes, with ASCII classes and ASCII word boundaries. Every match has a bounded length,
//!   except blocks that are masked as they pass.
//! - A bound such as `{20,200}` is the longest form in use, with room; a longer run is masked up to the bound.
//! - Documented sample values match like real ones: people try a filter with exactly these.
//! - Keys without a shape of their own count near the name of their provider. Providers with keys of one shape
//!   share a detector: each costs a stream something at every word.

mod cloud;
mod financial;
mod generic;
mod infrastructure;
mod llm;
mod medical;
mod messaging;
mod national_id;
mod pii;
mod saas;
mod scm;

use super::entry::Table;
pub(super) use pii::EMAIL_DOMAIN;

/// All tables, in the catalogue's order.
pub(super) const TABLES: &[&[Table]] = &[
    llm::TABLES,
    cloud::TABLES,
    infrastructure::TABLES,
    scm::TABLES,
    messaging::TABLES,
    saas::TABLES,
    generic::TABLES,
    pii::TABLES,
    financial::TABLES,
    national_id::TABLES,
    medical::TABLES,
];
