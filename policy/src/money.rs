//! Money as whole nano-dollars: no floats, no rounding in anyone's favour but the budget's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An amount in billionths of a US dollar; at most about 18 billion dollars.
///
/// ```
/// use bulkhead_policy::money::NanoUsd;
/// let price: NanoUsd = "500.25".parse()?;
/// assert_eq!(price, NanoUsd::new(500_250_000_000));
/// assert_eq!(price.to_string(), "500.25");
/// # Ok::<(), bulkhead_policy::money::InvalidAmount>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NanoUsd(u64);

/// Says why a text is no amount of money.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a decimal amount of US dollars, from 0 to 18446744073, with at most 9 decimals")]
pub struct InvalidAmount;

const NANO_PER_USD: u64 = 1_000_000_000;
const DECIMALS_MAX: usize = 9;

impl NanoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount.
    pub const MAX: Self = Self(u64::MAX);

    /// Wraps a count of nano-dollars.
    #[must_use]
    pub const fn new(nano: u64) -> Self {
        Self(nano)
    }

    /// Returns the count of nano-dollars.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Adds, or returns `None` where the sum does not fit.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// Adds; stays at the largest amount.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Subtracts; stays at zero.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl FromStr for NanoUsd {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || decimals.len() > DECIMALS_MAX {
            return Err(InvalidAmount);
        }
        let nano: u64 = format!("{decimals:0<DECIMALS_MAX$}").parse().map_err(|_| InvalidAmount)?;
        whole
            .parse::<u64>()
            .ok()
            .and_then(|usd| usd.checked_mul(NANO_PER_USD))
            .and_then(|usd| usd.checked_add(nano))
            .map(Self)
            .ok_or(InvalidAmount)
    }
}

/// Writes dollars with at least two decimals and no trailing zeros beyond them.
impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = format!("{:09}", self.0 % NANO_PER_USD);
        let shown = decimals.trim_end_matches('0');
        write!(f, "{}.{shown:0<2}", self.0 / NANO_PER_USD)
    }
}

#[cfg(test)]
mod tests;
