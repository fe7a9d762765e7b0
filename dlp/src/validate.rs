//! Checks that a shape alone cannot express: check digits, length tables, number ranges, randomness.
//!
//! Only for values whose shape is common in harmless text. Secrets with a prefix of their own are judged by
//! their shape alone: masking a made-up token does no harm, missing one of an older format does.

mod asia;
mod checksum;
mod crypto;
mod dates;
mod europe;
mod financial;
mod identity;
mod network;
mod random;

pub(crate) use asia::*;
pub(crate) use crypto::*;
pub(crate) use europe::*;
pub(crate) use financial::*;
pub(crate) use identity::*;
pub(crate) use network::*;
pub(crate) use random::*;

/// A check on the bytes of a candidate whose shape is right already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validator {
    /// What it checks, in words.
    pub(crate) what: &'static str,
    pub(crate) is_valid: fn(&[u8]) -> bool,
}

/// Whole characters: a pattern over bytes must not split one, or the masked text would not be UTF-8.
pub(crate) const CHARACTERS: Validator =
    Validator { what: "whole characters", is_valid: |text| std::str::from_utf8(text).is_ok() };

#[cfg(test)]
mod tests;
