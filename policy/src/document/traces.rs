//! The section `traces`.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// How surely traces are kept, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TracesDocument {
    /// What a trace must have survived before the last byte of its answer leaves; absent: `written`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<Durability>,
    /// What happens when a node has no room for traces any more; absent: `drop`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when_full: Option<WhenFull>,
    /// Days after which a tenant's traces are removed; absent: as long as the installation keeps them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<NonZeroU32>,
    /// Days after which their bodies are removed; absent: with the trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_body_days: Option<NonZeroU32>,
}

impl TracesDocument {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What a trace survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The end of the process, however sudden.
    #[default]
    Written,
    /// Also the loss of power: the last byte waits for the disk.
    Synced,
}

/// What happens where a trace finds no room, bodies left out already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenFull {
    /// The trace is dropped and counted.
    #[default]
    Drop,
    /// Requests are refused.
    Refuse,
}
