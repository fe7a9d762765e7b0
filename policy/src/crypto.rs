//! Keys at rest: one master key outside the database, a subkey for every purpose, sealed credentials.
//!
//! - Subkeys come from HKDF-SHA-256 (RFC 5869) with the purpose as info, so no two uses share a key.
//! - What is stored sealed can be sealed anew, so its key can be replaced ([`MasterKey::sealing_with`]). What follows from
//!   the master key without being stored (hashes of API keys, fingerprints, tokens, signatures) cannot.

mod sealer;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bulkhead_dlp::ValueKey;
use ring::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use ring::{hkdf, hmac};
use secrecy::{ExposeSecret, SecretBox};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use sealer::Sealer;
pub(crate) use sealer::open_with;

use crate::audit::HeadSigner;
use crate::data_key::LocalKeys;
use crate::ids::{CredentialId, TenantId};

const KEY_BYTES: usize = 32;
const SALT: &[u8] = b"bulkhead/v1";
/// Enough to tell the few keys of an installation apart; says nothing about the key.
const KEY_ID_BYTES: usize = 8;

/// The installation's master key, and the keys that seal in its place once it was rotated; never stored in the database.
pub struct MasterKey {
    root: Secret,
    /// Newest first; empty: the root seals.
    sealing: Vec<Secret>,
}

type Secret = SecretBox<[u8; KEY_BYTES]>;

/// Says that a text is no master key; holds nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "master key is not 32 bytes as 64 hexadecimal or 44 base64 characters (found {length}); make one with: openssl rand -hex 32"
)]
pub struct InvalidMasterKey {
    /// Characters found, surrounding white space left out.
    pub length: usize,
}

impl MasterKey {
    /// Reads the key from the text of a file or variable: 64 hexadecimal or 44 base64 characters, white space
    /// around them ignored.
    ///
    /// ```
    /// use bulkhead_policy::crypto::MasterKey;
    /// assert!(MasterKey::parse(&"5a".repeat(32)).is_ok());
    /// assert!(MasterKey::parse("short").unwrap_err().to_string().contains("openssl rand -hex 32"));
    /// ```
    ///
    /// # Errors
    /// [`InvalidMasterKey`] if it is neither.
    pub fn parse(text: &str) -> Result<Self, InvalidMasterKey> {
        let text = text.trim();
        let bytes = match text.len() {
            64 => from_hex(text),
            44 => STANDARD.decode(text).ok(),
            _ => None,
        };
        let bytes = Zeroizing::new(bytes.unwrap_or_default());
        <[u8; KEY_BYTES]>::try_from(bytes.as_slice())
            .map(|key| Self { root: SecretBox::new(Box::new(key)), sealing: Vec::new() })
            .map_err(|_| InvalidMasterKey { length: text.chars().count() })
    }

    /// Lets other keys seal credentials and wrap data keys from now on: the first of them does, and what any of them has
    /// sealed opens. Everything else still follows from this key. Without others it seals itself.
    #[must_use]
    pub fn sealing_with(self, newest_first: Vec<Self>) -> Self {
        Self { root: self.root, sealing: newest_first.into_iter().map(|key| key.root).collect() }
    }

    /// Lets `new` seal from now on; what was sealed before still opens. `new` gives nothing but that.
    #[must_use]
    pub fn rotating_to(self, new: Self) -> Self {
        let sealing: Vec<Secret> = std::iter::once(new.root)
            .chain(self.sealing_keys().map(|key| {
                SecretBox::init_with_mut(|copy: &mut [u8; KEY_BYTES]| *copy = *key.expose_secret())
            }))
            .collect();
        Self { root: self.root, sealing }
    }

    /// Returns the key that API keys are hashed with.
    #[must_use]
    pub fn pepper(&self) -> Pepper {
        Pepper(hmac::Key::new(hmac::HMAC_SHA256, &*self.derive("api key pepper")))
    }

    /// Returns what seals upstream credentials.
    ///
    /// # Errors
    /// [`CryptoError`] if the cipher refuses its key, which does not happen.
    pub fn credential_sealer(&self) -> Result<Sealer, CryptoError> {
        let keys = self.sealing_keys().map(|key| cipher(&*derive(key, "credential sealing")));
        Ok(Sealer::new(keys.collect::<Result<_, _>>()?))
    }

    /// Returns what wraps tenants' data keys.
    ///
    /// # Errors
    /// [`CryptoError`] if the cipher refuses its key, which does not happen.
    pub fn local_keys(&self) -> Result<LocalKeys, CryptoError> {
        let keys = self.sealing_keys().map(|key| {
            let id = to_hex(derive(key, "key id").get(..KEY_ID_BYTES).unwrap_or_default());
            Ok((id, Sealer::new(vec![cipher(&*derive(key, "data key wrapping"))?])))
        });
        keys.collect::<Result<_, _>>().map(LocalKeys::new)
    }

    fn sealing_keys(&self) -> impl Iterator<Item = &Secret> {
        let root = self.sealing.is_empty().then_some(&self.root);
        root.into_iter().chain(&self.sealing)
    }

    /// Returns what the keys for tenants' fingerprints and tokens come from.
    #[must_use]
    pub fn value_keys(&self) -> ValueKeys {
        ValueKeys(hmac::Key::new(hmac::HMAC_SHA256, &*self.derive("dlp values")))
    }

    /// Returns what the keys for bodies that wait on disk come from.
    #[must_use]
    pub fn spool_keys(&self) -> SpoolKeys {
        SpoolKeys(hmac::Key::new(hmac::HMAC_SHA256, &*self.derive("spool sealing")))
    }

    /// Returns what authenticates the snapshot file.
    #[must_use]
    pub fn snapshot_authenticator(&self) -> Authenticator {
        Authenticator(hmac::Key::new(hmac::HMAC_SHA256, &*self.derive("snapshot authentication")))
    }

    /// Returns what signs the heads of audit chains.
    ///
    /// # Errors
    /// [`CryptoError`] if the signature scheme refuses its key, which does not happen.
    pub fn head_signer(&self) -> Result<HeadSigner, CryptoError> {
        HeadSigner::from_seed(&self.derive("audit head signing"))
    }

    /// Returns what tells this key from others where it must not be shown.
    #[must_use]
    pub fn fingerprint(&self) -> MasterKeyFingerprint {
        MasterKeyFingerprint(*self.derive("master key fingerprint"))
    }

    fn derive(&self, purpose: &str) -> Zeroizing<[u8; KEY_BYTES]> {
        derive(&self.root, purpose)
    }
}

fn derive(secret: &Secret, purpose: &str) -> Zeroizing<[u8; KEY_BYTES]> {
    let pseudorandom = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(secret.expose_secret());
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    // Expanding fails only beyond 255 blocks; one is asked for.
    let filled = pseudorandom
        .expand(&[purpose.as_bytes()], hkdf::HKDF_SHA256)
        .and_then(|material| material.fill(key.as_mut_slice()));
    debug_assert!(filled.is_ok(), "one block of key material");
    key
}

fn cipher(key: &[u8]) -> Result<LessSafeKey, CryptoError> {
    UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new).map_err(|_| CryptoError)
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

/// Tells one master key from another: derived from it like its subkeys, and nothing follows from it. In JSON it is 64
/// hexadecimal characters.
///
/// ```
/// use bulkhead_policy::crypto::MasterKey;
/// let [one, other] = ["5a", "5b"].map(|byte| MasterKey::parse(&byte.repeat(32)));
/// assert_ne!(one?.fingerprint(), other?.fingerprint());
/// # Ok::<(), bulkhead_policy::crypto::InvalidMasterKey>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MasterKeyFingerprint(#[serde(with = "hex_text")] [u8; KEY_BYTES]);

/// The key that API keys are hashed with.
pub struct Pepper(hmac::Key);

impl Pepper {
    pub(crate) fn key(&self) -> &hmac::Key {
        &self.0
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(..)")
    }
}

/// Derives every tenant's key for the fingerprints and tokens of its values.
///
/// The keys follow from the master key and the tenant's id and are stored nowhere: every node has the same, and
/// another master key gives other fingerprints and tokens.
///
/// ```
/// use bulkhead_policy::crypto::MasterKey;
/// use bulkhead_policy::ids::TenantId;
/// let keys = MasterKey::parse(&"5a".repeat(32))?.value_keys();
/// let _key = keys.of(TenantId::fresh(chrono::Utc::now()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ValueKeys(hmac::Key);

impl ValueKeys {
    /// Returns a tenant's key.
    #[must_use]
    pub fn of(&self, tenant: TenantId) -> ValueKey {
        ValueKey::new(hmac::sign(&self.0, tenant.to_string().as_bytes()).as_ref())
    }
}

impl fmt::Debug for ValueKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ValueKeys(..)")
    }
}

/// Derives the keys that seal bodies which wait on a node's disk: one for each process, because the nonces of a key are
/// random and must stay few enough never to meet.
///
/// ```
/// use bulkhead_policy::crypto::MasterKey;
/// use secrecy::ExposeSecret;
/// let keys = MasterKey::parse(&"5a".repeat(32))?.spool_keys();
/// let sealed = keys.sealer([7; 16])?.seal(b"place", b"body", &ring::rand::SystemRandom::new())?;
/// assert_eq!(keys.sealer([7; 16])?.open(b"place", &sealed)?.expose_secret(), "body");
/// assert!(keys.sealer([8; 16])?.open(b"place", &sealed).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SpoolKeys(hmac::Key);

impl SpoolKeys {
    /// Returns what seals for, and opens what was sealed by, the process with this salt.
    ///
    /// # Errors
    /// [`CryptoError`] if the cipher refuses its key, which does not happen.
    pub fn sealer(&self, salt: [u8; 16]) -> Result<Sealer, CryptoError> {
        Ok(Sealer::new(vec![cipher(hmac::sign(&self.0, &salt).as_ref())?]))
    }
}

impl fmt::Debug for SpoolKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpoolKeys(..)")
    }
}

/// Says that a cryptographic step failed, without saying more than that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cryptographic operation failed: wrong key, wrong place or damaged data")]
pub struct CryptoError;

/// Returns the place that a credential's secret is sealed to.
#[must_use]
pub fn credential_aad(tenant: TenantId, credential: CredentialId, version: u32) -> Vec<u8> {
    format!("credential/{tenant}/{credential}/{version}").into_bytes()
}

/// Authenticates the snapshot file, so that a changed one is never served from.
pub struct Authenticator(hmac::Key);

impl Authenticator {
    /// Bytes in a tag.
    pub const TAG_LENGTH: usize = 32;

    /// Returns the tag of `bytes`.
    #[must_use]
    pub fn tag(&self, bytes: &[u8]) -> Vec<u8> {
        hmac::sign(&self.0, bytes).as_ref().to_vec()
    }

    /// Checks a tag in constant time.
    ///
    /// # Errors
    /// [`CryptoError`] if it is not the tag of `bytes`.
    pub fn verify(&self, bytes: &[u8], tag: &[u8]) -> Result<(), CryptoError> {
        hmac::verify(&self.0, bytes, tag).map_err(|_| CryptoError)
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authenticator(..)")
    }
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let nibble = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(nibble(high)? << 4 | nibble(low)?),
        _ => None,
    });
    pairs.collect()
}

/// Hashes, keys and signatures as hexadecimal text.
pub(crate) mod hex_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<const N: usize, S: Serializer>(
        bytes: &[u8; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::to_hex(bytes))
    }

    pub(crate) fn deserialize<'de, const N: usize, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        let text = String::deserialize(deserializer)?;
        super::from_hex(&text)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| D::Error::custom(format!("expected {} hexadecimal characters", N * 2)))
    }
}

/// Sealed bytes as base64 text in serialised rows.
pub(crate) mod base64_text {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(|_| D::Error::custom("expected base64"))
    }
}

#[cfg(test)]
mod tests;
