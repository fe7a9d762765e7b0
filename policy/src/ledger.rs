//! Budgets as counters: reserve before, settle after, never past the limit by admission.
//!
//! - A process admits only against what it holds of a budget: its whole limit, or what it was granted of it ([`lease`] has the
//!   protocol between many processes, and why it keeps the limit).
//! - `settled <= committed` always; `committed` is what is settled plus what is reserved.
//! - Admission never lifts `committed` above what is held: it is one compare-and-swap.
//! - A [`Hold`] belongs to the window it began in, however late it is settled, and is released when dropped.
//! - Only a settlement above its own reservation can pass the limit; after that nothing is admitted in the
//!   window.
//! - What was settled is stored by whoever settled it: with the request's record ([`Charged::deltas`]), or, where there is
//!   none, through [`LedgerBook::owe`]. No count remembers how much of it is stored.
//! - The request path takes no lock while something is left of what is held. [`LedgerBook`] locks, and only snapshot building and
//!   the shipper use it.

mod account;
mod alert;
mod book;
mod calendar;
mod hold;
pub mod lease;
mod lessee;
mod reservation;
mod window;

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

pub use alert::{Alert, AlertLines};
pub use book::{LedgerBook, merge};
pub use calendar::{Bounds, Window};
pub use hold::{Exhausted, Hold, Ledger, State, Waiting};
pub use lease::{Holder, Lease, LeaseAnswer, LeaseAsk, Standing};
pub use lessee::{Lessee, PendingAsk};
pub use reservation::{Charged, Reservation};

use crate::compile::ModelPattern;
use crate::ids::{AgentId, BudgetId, KeyId, TenantId};
use crate::money::NanoUsd;
use crate::trace::UnknownName;

/// What a budget counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BudgetUnit {
    /// Money; amounts are nano-dollars.
    Usd,
    /// Input and output tokens together.
    Tokens,
    /// Admitted requests.
    Requests,
}

impl BudgetUnit {
    /// Returns the name used in documents and rows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Usd => "usd",
            Self::Tokens => "tokens",
            Self::Requests => "requests",
        }
    }
}

impl FromStr for BudgetUnit {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        [Self::Usd, Self::Tokens, Self::Requests]
            .into_iter()
            .find(|unit| unit.as_str() == text)
            .ok_or(UnknownName("budget unit"))
    }
}

impl fmt::Display for BudgetUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Over whom a budget counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BudgetScope {
    /// All of the tenant's requests.
    Tenant,
    /// Each agent for itself.
    Agent,
    /// Each API key for itself.
    Key,
}

/// What happens when a budget is used up while an answer streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AtLimit {
    /// No new request, and the running stream ends at the line.
    Cut,
    /// No new request; running ones finish.
    Refuse,
}

/// What a node does when what it holds of a budget is used up and nobody can be asked for more: the database is away, or somebody keeps
/// the count's row locked for seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenUnreachable {
    /// No request is admitted.
    #[default]
    Refuse,
    /// Requests are admitted as long as this node alone knows of no more use than the limit; their traces are marked.
    Allow,
}

/// A budget as a policy states it, ready to count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetSpec {
    /// Name of the budget.
    pub id: BudgetId,
    /// Over whom it counts.
    pub scope: BudgetScope,
    /// What it counts.
    pub unit: BudgetUnit,
    /// Most that one window may hold, in the unit (nano-dollars for money). Above zero.
    pub limit: u64,
    /// Length of its window.
    pub window: Window,
    /// Whose calendar the window follows.
    pub time_zone: Tz,
    /// The models whose requests draw on it; empty: all, and what names no model.
    pub models: Vec<ModelPattern>,
    /// What happens at the limit.
    pub at_limit: AtLimit,
    /// What happens while nobody can be asked what is left.
    pub when_unreachable: WhenUnreachable,
    /// Amounts at which to tell someone, ascending.
    pub alert_at: Vec<u64>,
}

impl BudgetSpec {
    /// Says whether a request draws on the budget; `model` is `None` where it names none, or none yet.
    #[must_use]
    pub fn concerns(&self, model: Option<&str>) -> bool {
        self.models.is_empty()
            || model.is_some_and(|model| self.models.iter().any(|pattern| pattern.matches(model)))
    }
}

/// The one whom a ledger counts for, within its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Subject {
    /// The whole tenant.
    Tenant,
    /// One agent.
    Agent(AgentId),
    /// One API key.
    Key(KeyId),
}

/// Writes `tenant`, `agent:<id>` or `key:<id>`, the form that rows use.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant => f.write_str("tenant"),
            Self::Agent(id) => write!(f, "agent:{id}"),
            Self::Key(id) => write!(f, "key:{id}"),
        }
    }
}

impl FromStr for Subject {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let unknown = UnknownName("budget subject");
        match text.split_once(':') {
            None if text == "tenant" => Ok(Self::Tenant),
            Some(("agent", id)) => id.parse().map(Self::Agent).map_err(|_| unknown),
            Some(("key", id)) => id.parse().map(Self::Key).map_err(|_| unknown),
            _ => Err(unknown),
        }
    }
}

impl TryFrom<String> for Subject {
    type Error = UnknownName;

    fn try_from(text: String) -> Result<Self, UnknownName> {
        text.parse()
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.to_string()
    }
}

/// Names one running count.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LedgerKey {
    /// The tenant that pays.
    pub tenant: TenantId,
    /// Its budget.
    pub budget: BudgetId,
    /// Whom this count is for.
    pub subject: Subject,
}

/// Settled use that is not stored yet: to be added to the row of its window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerDelta {
    /// The count.
    pub key: LedgerKey,
    /// Start of the window it was admitted in.
    pub window_start: DateTime<Utc>,
    /// What is counted.
    pub unit: BudgetUnit,
    /// How much to add, in the unit. Above zero.
    pub amount: u64,
    /// The amounts at which to tell someone, as the policy states them that judged the request.
    #[serde(default, skip_serializing_if = "AlertLines::is_empty")]
    pub alerts: AlertLines,
}

/// Use as stored, for one window of one count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerUsage {
    /// The count.
    pub key: LedgerKey,
    /// Start of the window.
    pub window_start: DateTime<Utc>,
    /// What is counted.
    pub unit: BudgetUnit,
    /// How much was settled, in the unit.
    pub amount: u64,
}

/// What one request takes from every kind of budget at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    /// Its cost.
    pub cost: NanoUsd,
    /// Its tokens, input and output.
    pub tokens: u64,
    /// 1 for a request that is admitted, 0 for more of the same request.
    pub requests: u64,
}

impl Amount {
    /// Returns the part that a budget of this unit counts.
    #[must_use]
    pub const fn in_unit(&self, unit: BudgetUnit) -> u64 {
        match unit {
            BudgetUnit::Usd => self.cost.get(),
            BudgetUnit::Tokens => self.tokens,
            BudgetUnit::Requests => self.requests,
        }
    }
}

#[cfg(test)]
mod tests;
