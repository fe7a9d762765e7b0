//! The section `traces`.

use std::num::NonZeroU32;

use super::{CompileError, Layer, Layers, refuse};
use crate::document::{DocumentError, Durability, WhenFull};

/// How surely traces are kept, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TraceSettings {
    /// What a trace must have survived before the last byte of its answer leaves.
    pub durability: Durability,
    /// What happens where it finds no room.
    pub when_full: WhenFull,
    /// Days after which the tenant's traces are removed; `None`: as long as the installation keeps them.
    pub keep_days: Option<NonZeroU32>,
    /// Days after which their bodies are removed; `None`: with the trace.
    pub keep_body_days: Option<NonZeroU32>,
}

impl TraceSettings {
    /// The surest and the shortest that a layer states. How long is said for a tenant as a whole: its rows go together.
    pub(super) fn of(layers: &Layers<'_>) -> Result<Self, CompileError> {
        let own = layers.get(Layer::Agent).map(|document| document.traces).unwrap_or_default();
        for (key, days) in
            [("traces.keep_days", own.keep_days), ("traces.keep_body_days", own.keep_body_days)]
        {
            if days.is_some() {
                let message = "not part of the agent policy; state it in the tenant's";
                return Err(refuse(Layer::Agent, DocumentError::new(key, message)));
            }
        }
        Ok(Self {
            durability: layers.each(|document| document.traces.durability).max().unwrap_or_default(),
            when_full: layers.each(|document| document.traces.when_full).max().unwrap_or_default(),
            keep_days: layers.each(|document| document.traces.keep_days).min(),
            keep_body_days: layers.each(|document| document.traces.keep_body_days).min(),
        })
    }
}
