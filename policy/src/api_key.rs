//! API keys: `bh_<env>_<16 characters of id><43 characters of secret><6 characters of checksum>`.
//!
//! - `env` is 1 to 16 characters of `a-z0-9`; it tells people which installation a key is for.
//! - The id names the key and is no secret. The secret is 32 random bytes, written as a big-endian number in
//!   base62.
//! - The checksum is the CRC-32 of everything before it, in base62; it turns junk away before any lookup.
//! - Base62 digits are `0-9A-Za-z`, most significant first, padded with `0`.
//! - Stored is [`KeyHash`]: HMAC-SHA-256 of the whole key under a pepper that is not in the database. The
//!   secret has 256 bits of entropy, so a slow hash would add nothing but load.
//!
//! Test vector: env `test`, id `0123456789ABCDEF`, secret bytes 0, 1, 2 .. 31 give the key in
//! [`ApiKey::parse`]'s example.

use std::fmt;

use ring::hmac;
use ring::rand::SecureRandom;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::crypto::{Pepper, hex_text};
use crate::ids::KeyId;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const PREFIX: &str = "bh_";
const ENV_MAX: usize = 16;
const SECRET_BYTES: usize = 32;
const SECRET_DIGITS: usize = 43;
const CHECKSUM_DIGITS: usize = 6;
const TAIL: usize = KeyId::LENGTH + SECRET_DIGITS + CHECKSUM_DIGITS;

/// A well-formed API key: right shape, right checksum. Says nothing about whether it is valid.
///
/// Neither `Debug` nor an error ever shows more than the id.
pub struct ApiKey {
    text: SecretString,
    id: KeyId,
}

/// Says that a text is not an API key of this product; the reason is for logs and holds nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedKey {
    /// Prefix, environment, length or alphabet are wrong.
    #[error("api key has the wrong shape")]
    Shape,
    /// The checksum does not fit: mistyped, cut or made up.
    #[error("api key has a wrong checksum")]
    Checksum,
}

/// Says why no key could be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// The environment is not 1 to 16 characters of `a-z0-9`.
    #[error("key environment must be 1 to {ENV_MAX} characters of a-z and 0-9")]
    Environment,
    /// The system's random numbers failed.
    #[error("no random numbers")]
    Random,
}

impl ApiKey {
    /// Reads a key, refusing junk by shape and checksum.
    ///
    /// ```
    /// use bulkhead_policy::api_key::ApiKey;
    /// let key = ApiKey::parse("bh_test_0123456789ABCDEF003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf0PKGwz")?;
    /// assert_eq!(key.id().as_str(), "0123456789ABCDEF");
    /// assert_eq!(format!("{key:?}"), "ApiKey(0123456789ABCDEF)");
    /// # Ok::<(), bulkhead_policy::api_key::MalformedKey>(())
    /// ```
    ///
    /// # Errors
    /// [`MalformedKey`] if the text is no such key.
    pub fn parse(text: &str) -> Result<Self, MalformedKey> {
        let (env, tail) =
            text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).ok_or(MalformedKey::Shape)?;
        if !is_env(env) || tail.len() != TAIL || !tail.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(MalformedKey::Shape);
        }
        let (Some(id), Some((body, checksum))) =
            (tail.get(..KeyId::LENGTH), text.split_at_checked(text.len() - CHECKSUM_DIGITS))
        else {
            return Err(MalformedKey::Shape);
        };
        if checksum != checksum_of(body) {
            return Err(MalformedKey::Checksum);
        }
        let id = id.parse().map_err(|_| MalformedKey::Shape)?;
        Ok(Self { text: text.to_owned().into(), id })
    }

    /// Makes a new key.
    ///
    /// # Errors
    /// [`GenerateError`] if `env` is not a legal environment or there are no random numbers.
    pub fn generate(env: &str, random: &dyn SecureRandom) -> Result<Self, GenerateError> {
        let mut secret = [0; SECRET_BYTES];
        random.fill(&mut secret).map_err(|_| GenerateError::Random)?;
        Self::assemble(env, &random_id(random)?, &secret)
    }

    fn assemble(env: &str, id: &str, secret: &[u8; SECRET_BYTES]) -> Result<Self, GenerateError> {
        if !is_env(env) {
            return Err(GenerateError::Environment);
        }
        let body = format!("{PREFIX}{env}_{id}{}", base62(secret, SECRET_DIGITS));
        let id = id.parse().map_err(|_| GenerateError::Random)?;
        let text = format!("{body}{}", checksum_of(&body));
        Ok(Self { text: text.into(), id })
    }

    /// Returns the public part that names the key.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Returns the whole key, to be shown once to whoever asked for it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// Computes what is stored in place of the key.
    #[must_use]
    pub fn hash(&self, pepper: &Pepper) -> KeyHash {
        let tag = hmac::sign(pepper.key(), self.expose().as_bytes());
        let mut hash = [0; KeyHash::LENGTH];
        hash.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        KeyHash(hash)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({})", self.id)
    }
}

/// Proof of an API key, made with [`ApiKey::hash`].
///
/// `==` is for rows; a caller's key is checked with [`KeyHash::verify`], which takes the same time for every key.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyHash(#[serde(with = "hex_text")] [u8; KeyHash::LENGTH]);

impl KeyHash {
    /// Bytes in a hash.
    pub const LENGTH: usize = 32;
    /// The hash of no key: for a comparison that takes as long as a real one.
    pub(crate) const NONE: Self = Self([0; Self::LENGTH]);

    /// Wraps a stored hash.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes to store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// Says whether this is the hash of `key`, in constant time.
    #[must_use]
    pub fn verify(&self, key: &ApiKey, pepper: &Pepper) -> bool {
        hmac::verify(pepper.key(), key.expose().as_bytes(), &self.0).is_ok()
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(..)")
    }
}

fn is_env(env: &str) -> bool {
    (1..=ENV_MAX).contains(&env.len())
        && env.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

fn checksum_of(body: &str) -> String {
    base62(&crc32fast::hash(body.as_bytes()).to_be_bytes(), CHECKSUM_DIGITS)
}

/// Writes a big-endian number with `width` base62 digits; enough of them are the caller's business.
fn base62(bytes: &[u8], width: usize) -> String {
    let mut number = bytes.to_vec();
    let mut digits: Vec<char> = (0..width).map(|_| digit(divide_by_62(&mut number))).collect();
    digits.reverse();
    digits.into_iter().collect()
}

/// Divides a big-endian number in place and returns the remainder.
fn divide_by_62(number: &mut [u8]) -> u8 {
    let mut remainder = 0u16;
    for byte in number {
        let value = remainder << 8 | u16::from(*byte);
        *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
        remainder = value % 62;
    }
    u8::try_from(remainder).unwrap_or_default()
}

fn digit(value: u8) -> char {
    DIGITS.get(usize::from(value)).map_or('0', |byte| char::from(*byte))
}

fn random_id(random: &dyn SecureRandom) -> Result<String, GenerateError> {
    // Bytes from 248 on would favour the first digits.
    const FAIR: u8 = 62 * 4;
    let mut id = String::with_capacity(KeyId::LENGTH);
    while id.len() < KeyId::LENGTH {
        let mut bytes = [0; KeyId::LENGTH];
        random.fill(&mut bytes).map_err(|_| GenerateError::Random)?;
        let room = KeyId::LENGTH - id.len();
        id.extend(bytes.into_iter().filter(|byte| *byte < FAIR).take(room).map(|byte| digit(byte % 62)));
    }
    Ok(id)
}

#[cfg(test)]
mod tests;
