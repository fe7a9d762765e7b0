//! The audit trail's hash chains: what is hashed, and how a chain is checked.
//!
//! Every tenant has a chain of entries, and the platform has one. An entry has a number, from 1 on without gaps, and a hash
//! over the hash of the entry before and over itself:
//!
//! ```text
//! hash(0)  = 32 zero bytes
//! hash(n)  = SHA-256( hash(n - 1) | row(n) )
//! row      = version, 1 byte: 1
//!          | chain, 16 bytes: the tenant's UUID, nil for the platform
//!          | number, 8 bytes
//!          | id, 16 bytes: a UUID
//!          | time, 8 bytes: microseconds since 1970-01-01 UTC
//!          | actor | action | target | detail, each: length in bytes, 4 bytes | UTF-8
//! ```
//!
//! Integers are big-endian, times and numbers signed. The detail is the text that PostgreSQL gives for a `jsonb` value,
//! taken as it comes: it is the same for the same value, and hashing what was read needs no second notion of it.
//!
//! PostgreSQL numbers, times and hashes an entry when it is inserted (migration 7), for reasons told in ARCHITECTURE.md. Here
//! everything is computed again from what the rows say, and nothing of the database's own code is trusted.
//!
//! A chain alone proves that nobody who left the hashes as they were has changed, removed, inserted or moved an entry. Who
//! can write to the tables as a superuser can compute all hashes anew, or take the newest entries away with the record of
//! the last one. Against that stands a [`SignedHead`] that was kept elsewhere: a chain that still holds it is the one
//! that was there when it was signed, up to that entry.

mod head;

use std::fmt;

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::crypto::hex_text;
use crate::ids::TenantId;

pub use head::{Head, HeadError, HeadKey, HeadSigner, SignedHead};

const VERSION: u8 = 1;

/// Whose entries form a chain. As text and in JSON a tenant is its id, and the platform is the nil UUID.
///
/// ```
/// use bulkhead_policy::audit::Chain;
/// assert_eq!(Chain::Platform.to_string(), "00000000-0000-0000-0000-000000000000");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Uuid", into = "Uuid")]
pub enum Chain {
    /// Changes of what belongs to no tenant.
    Platform,
    /// Changes of one tenant.
    Tenant(TenantId),
}

impl From<Uuid> for Chain {
    fn from(id: Uuid) -> Self {
        if id.is_nil() { Self::Platform } else { Self::Tenant(TenantId::from_uuid(id)) }
    }
}

impl From<Chain> for Uuid {
    fn from(chain: Chain) -> Self {
        match chain {
            Chain::Platform => Self::nil(),
            Chain::Tenant(tenant) => tenant.as_uuid(),
        }
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from(*self).fmt(f)
    }
}

/// The hash of an entry, and through it of all before it. As text and in JSON it is hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChainHash(#[serde(with = "hex_text")] [u8; 32]);

impl ChainHash {
    /// What the first entry of a chain follows.
    pub const START: Self = Self([0; 32]);

    /// Wraps a stored hash; `None` if it is not 32 bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Returns the hash of the entry that follows this one.
    #[must_use]
    pub fn then(&self, chain: Chain, row: &Row<'_>) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&self.0);
        context.update(&[VERSION]);
        context.update(Uuid::from(chain).as_bytes());
        context.update(&row.seq.to_be_bytes());
        context.update(row.id.as_bytes());
        context.update(&row.at_micros.to_be_bytes());
        for text in [row.actor, row.action, row.target, row.detail] {
            // PostgreSQL holds no text of 4 GiB.
            context.update(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
            context.update(text.as_bytes());
        }
        let mut hash = Self::START;
        hash.0.copy_from_slice(context.finish().as_ref());
        hash
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChainHash({self})")
    }
}

/// An entry as it is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    /// Its number.
    pub seq: i64,
    /// Its id.
    pub id: Uuid,
    /// When it was made, in microseconds since 1970.
    pub at_micros: i64,
    /// Who made it.
    pub actor: &'a str,
    /// What was done.
    pub action: &'a str,
    /// To what.
    pub target: &'a str,
    /// What else a reader needs: PostgreSQL's text of a `jsonb` value.
    pub detail: &'a str,
}

/// A place in a chain: an entry's number and hash. A chain without entries ends at number 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Number of the entry.
    pub seq: i64,
    /// Its hash.
    pub hash: ChainHash,
}

impl Link {
    /// The place before the first entry.
    pub const START: Self = Self { seq: 0, hash: ChainHash::START };
}

/// The first thing that is wrong in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("entry {seq}: {wrong}")]
pub struct Fault {
    /// Number of the entry; what stands before it is as it was written.
    pub seq: i64,
    /// What is wrong with it.
    pub wrong: Wrong,
}

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    /// There is none with that number, though there is a later one, or a head that stands for a later one.
    #[error("it is missing")]
    Missing,
    /// It does not give its hash.
    #[error("it is not what its hash stands for: changed, moved or put in")]
    Changed,
    /// There are two of that number, or the number is below 1.
    #[error("it was put in: its number is taken")]
    Doubled,
    /// It stands behind what the database recorded as the last entry.
    #[error("it was put in: the database did not append it")]
    Unrecorded,
    /// The database recorded another one as the last.
    #[error("it is not the entry that was recorded as the last")]
    NotRecorded,
    /// A signed head names another one.
    #[error("it is not the entry that was signed: the chain was written anew")]
    NotSigned,
}

/// Checks a chain entry by entry, in the order of their numbers, in constant memory.
///
/// ```
/// use bulkhead_policy::audit::{Chain, ChainHash, Link, Row, Walk};
/// let row = Row { seq: 1, id: uuid::Uuid::nil(), at_micros: 0, actor: "ada", action: "a", target: "t", detail: "{}" };
/// let hash = ChainHash::START.then(Chain::Platform, &row);
/// let mut walk = Walk::new(Chain::Platform, None);
/// walk.step(&row, Some(hash))?;
/// assert_eq!(walk.finish(Some(Link { seq: 1, hash }))?.seq, 1);
/// # Ok::<(), bulkhead_policy::audit::Fault>(())
/// ```
#[derive(Debug)]
pub struct Walk {
    chain: Chain,
    signed: Option<Link>,
    last: Link,
}

impl Walk {
    /// Begins before the first entry; `signed` is a place that the chain must still hold.
    #[must_use]
    pub const fn new(chain: Chain, signed: Option<Link>) -> Self {
        Self { chain, signed, last: Link::START }
    }

    /// Takes the next entry and the hash that is stored with it, `None` if that is no hash.
    ///
    /// # Errors
    /// [`Fault`]; there is no going on behind one.
    pub fn step(&mut self, row: &Row<'_>, stored: Option<ChainHash>) -> Result<(), Fault> {
        let seq = self.last.seq.saturating_add(1);
        if row.seq < seq {
            return Err(Fault { seq: row.seq, wrong: Wrong::Doubled });
        }
        if row.seq > seq {
            return Err(Fault { seq, wrong: Wrong::Missing });
        }
        let hash = self.last.hash.then(self.chain, row);
        if stored != Some(hash) {
            return Err(Fault { seq, wrong: Wrong::Changed });
        }
        self.last = Link { seq, hash };
        match self.signed {
            Some(signed) if signed.seq == seq && signed.hash != hash => {
                Err(Fault { seq, wrong: Wrong::NotSigned })
            }
            _ => Ok(()),
        }
    }

    /// Ends behind the last entry: `recorded` is what the database says it is. Returns the last place.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn finish(self, recorded: Option<Link>) -> Result<Link, Fault> {
        let (last, recorded) = (self.last, recorded.unwrap_or(Link::START));
        let wanted = self.signed.map_or(recorded.seq, |signed| signed.seq.max(recorded.seq));
        if wanted > last.seq {
            return Err(Fault { seq: last.seq.saturating_add(1), wrong: Wrong::Missing });
        }
        if recorded.seq < last.seq {
            return Err(Fault { seq: recorded.seq.saturating_add(1), wrong: Wrong::Unrecorded });
        }
        if recorded.hash != last.hash {
            return Err(Fault { seq: last.seq, wrong: Wrong::NotRecorded });
        }
        Ok(last)
    }
}

#[cfg(test)]
mod tests;
