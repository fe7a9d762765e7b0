//! The section `traces`.

use super::Layers;
use crate::document::{Durability, WhenFull};

/// How surely traces are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TraceSettings {
    /// What a trace must have survived before the last byte of its answer leaves.
    pub durability: Durability,
    /// What happens where it finds no room.
    pub when_full: WhenFull,
}

impl TraceSettings {
    /// The surest that a layer states.
    pub(super) fn of(layers: &Layers<'_>) -> Self {
        Self {
            durability: layers.each(|document| document.traces.durability).max().unwrap_or_default(),
            when_full: layers.each(|document| document.traces.when_full).max().unwrap_or_default(),
        }
    }
}
