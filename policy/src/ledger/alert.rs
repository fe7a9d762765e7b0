//! When to tell someone how much of a budget is used: once per line and window, over all nodes.
//!
//! 1. A line is an amount: `alert_at: [0.8]` of a limit of 100 is the line 80. It is passed by the first charge that leaves the
//!    stored count of all nodes at or above it.
//! 2. The count changes under the lock of its row, and who passes a line is decided there, in the transaction that stores the
//!    charge. A charge that is sent again changes nothing, so it passes nothing.
//! 3. What was told is stored with the count, so it is not told again in the window, whatever the count does afterwards: an
//!    operator may lower it, and it passes the line once more in silence.
//! 4. A limit that changes has other lines. One that is below the count already is passed by the next charge.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{BudgetUnit, LedgerKey};
use crate::ids::TraceId;

/// The lines of a budget that a charge may pass.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AlertLines {
    /// Amounts in the budget's unit, ascending.
    pub at: Vec<u64>,
    /// The limit that they are parts of.
    pub limit: u64,
}

impl AlertLines {
    /// True if there is nothing to tell at any amount.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }
}

/// Says that a count passed a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// The count.
    pub key: LedgerKey,
    /// What it counts.
    pub unit: BudgetUnit,
    /// Start of the window.
    pub window_start: DateTime<Utc>,
    /// The line, in the unit.
    pub line: u64,
    /// The limit that it is a part of.
    pub limit: u64,
    /// What was counted with the charge that passed it.
    pub used: u64,
    /// The request that was charged; `None` where its trace was lost.
    pub trace: Option<TraceId>,
}
