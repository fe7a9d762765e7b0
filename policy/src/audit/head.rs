//! Signed heads: what a chain came to at some moment, to be kept where the database's administrators cannot write.
//!
//! Signed with Ed25519 (RFC 8032) are these bytes, integers big-endian:
//!
//! ```text
//! "bulkhead audit head 1\n" | chain, 16 bytes | number, 8 bytes | hash, 32 bytes | signed at, 8 bytes: microseconds since 1970
//! ```

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Chain, Link};
use crate::crypto::{CryptoError, hex_text};

const CONTEXT: &[u8] = b"bulkhead audit head 1\n";

/// The newest entry of a chain at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Whose.
    pub chain: Chain,
    /// The newest entry. Its number is also the count of entries, because numbers have no gaps.
    #[serde(flatten)]
    pub link: Link,
    /// When it was signed. Counts to the microsecond.
    pub signed_at: DateTime<Utc>,
}

impl Head {
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = CONTEXT.to_vec();
        bytes.extend_from_slice(Uuid::from(self.chain).as_bytes());
        bytes.extend_from_slice(&self.link.seq.to_be_bytes());
        bytes.extend_from_slice(&self.link.hash.0);
        bytes.extend_from_slice(&self.signed_at.timestamp_micros().to_be_bytes());
        bytes
    }
}

/// A head that can be checked without the master key. Serialises as one flat JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedHead {
    #[serde(flatten)]
    head: Head,
    /// Says which key to ask for, and proves nothing.
    public_key: HeadKey,
    #[serde(with = "hex_text")]
    signature: [u8; 64],
}

/// Why a signed head was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// It names another key than the one it was checked with.
    #[error("the head was signed with the key {found}, not with {expected}")]
    OtherKey {
        /// The key it was checked with.
        expected: HeadKey,
        /// The key it names.
        found: HeadKey,
    },
    /// It is not what was signed.
    #[error("the head's signature is not valid: the head was changed")]
    Signature,
}

/// Checks signed heads: the public half of the installation's key for them. As text it is 64 hexadecimal characters.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HeadKey(#[serde(with = "hex_text")] [u8; 32]);

impl HeadKey {
    /// Returns what was signed.
    ///
    /// # Errors
    /// [`HeadError`] if it was signed with another key, or changed.
    pub fn open(&self, signed: &SignedHead) -> Result<Head, HeadError> {
        if signed.public_key != *self {
            return Err(HeadError::OtherKey { expected: *self, found: signed.public_key });
        }
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(&signed.head.to_bytes(), &signed.signature)
            .map_err(|_| HeadError::Signature)?;
        Ok(signed.head)
    }
}

impl FromStr for HeadKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        crate::crypto::from_hex(text)
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| "expected 64 hexadecimal characters".to_owned())
    }
}

impl fmt::Display for HeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::crypto::to_hex(&self.0))
    }
}

impl fmt::Debug for HeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeadKey({self})")
    }
}

/// Signs heads; [`crate::crypto::MasterKey::head_signer`] makes it.
///
/// ```
/// use bulkhead_policy::audit::{Chain, Head, Link};
/// use bulkhead_policy::crypto::MasterKey;
/// let signer = MasterKey::parse(&"5a".repeat(32))?.head_signer()?;
/// let head = Head { chain: Chain::Platform, link: Link::START, signed_at: chrono::DateTime::UNIX_EPOCH };
/// let signed = signer.sign(head);
/// assert_eq!(signer.public_key().open(&signed)?, head);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct HeadSigner(Ed25519KeyPair);

impl HeadSigner {
    pub(crate) fn from_seed(seed: &[u8; 32]) -> Result<Self, CryptoError> {
        Ed25519KeyPair::from_seed_unchecked(seed).map(Self).map_err(|_| CryptoError)
    }

    /// Signs a head.
    #[must_use]
    pub fn sign(&self, head: Head) -> SignedHead {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.0.sign(&head.to_bytes()).as_ref());
        SignedHead { head, public_key: self.public_key(), signature }
    }

    /// Returns what checks its signatures.
    #[must_use]
    pub fn public_key(&self) -> HeadKey {
        let mut key = [0; 32];
        key.copy_from_slice(self.0.public_key().as_ref());
        HeadKey(key)
    }
}

impl fmt::Debug for HeadSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeadSigner(..)")
    }
}
