//! Data keys: what seals the original bodies of one tenant's requests, and what wraps the data keys.
//!
//! - A tenant's data key is 32 random bytes. It is stored only wrapped; a [`KeyProvider`] wraps and unwraps. Destroying the
//!   wrapped key makes everything unreadable that was ever sealed with it.
//! - Every body has a key of its own: HKDF-SHA-256 (RFC 5869) of the data key with 32 random bytes as salt and the body's
//!   place as info. It encrypts once, with AES-256-GCM and the nonce zero, so no number of bodies wears a data key out, where
//!   random nonces under one key would allow 2^32.
//! - A sealed body is `version (1) | salt (32) | ciphertext | tag (16)`. Its place (tenant, trace, direction, version of the
//!   key) is also the associated data: moved anywhere else it does not open.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf;
use ring::rand::SecureRandom;
use secrecy::{ExposeSecret, SecretBox};
use zeroize::Zeroizing;

use crate::crypto::{CryptoError, Sealer, open_with};
use crate::ids::{TenantId, TraceId};
use crate::raw::RawDataKey;
use crate::trace::Direction;

const KEY_BYTES: usize = 32;
const SALT_BYTES: usize = 32;
const VERSION: u8 = 1;
const TAG_BYTES: usize = 16;
/// First byte of what is encrypted: whether all of the body follows.
const WHOLE: u8 = 0;
const TRUNCATED: u8 = 1;
const NONCE: [u8; NONCE_LEN] = [0; NONCE_LEN];

/// Wraps and unwraps data keys with a key of its own, which it need not show: local keys, or a service that keeps them.
///
/// Called on blocking threads and by commands, never on the path of a request; so an implementation may wait for a network.
pub trait KeyProvider: fmt::Debug + Send + Sync {
    /// Names the key that wraps; stored beside what it has wrapped. No secret.
    fn key_id(&self) -> &str;

    /// Wraps a data key, bound to `place`.
    ///
    /// # Errors
    /// [`CryptoError`] if it cannot.
    fn wrap(&self, place: &[u8], key: &[u8], random: &dyn SecureRandom) -> Result<Vec<u8>, CryptoError>;

    /// Unwraps what the key `key_id` has wrapped for the same place.
    ///
    /// # Errors
    /// [`CryptoError`] if that key is not known or has not wrapped it.
    fn unwrap(&self, key_id: &str, place: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError>;
}

/// Wraps with keys that this process holds; [`crate::crypto::MasterKey::local_keys`] makes it of what a file or a variable says.
#[derive(Debug)]
pub struct LocalKeys(Vec<(String, Sealer)>);

impl LocalKeys {
    /// The first wraps, all unwrap.
    pub(crate) fn new(keys: Vec<(String, Sealer)>) -> Self {
        Self(keys)
    }
}

impl KeyProvider for LocalKeys {
    fn key_id(&self) -> &str {
        self.0.first().map_or("", |(id, _)| id)
    }

    fn wrap(&self, place: &[u8], key: &[u8], random: &dyn SecureRandom) -> Result<Vec<u8>, CryptoError> {
        let (_, sealer) = self.0.first().ok_or(CryptoError)?;
        sealer.seal(place, key, random)
    }

    fn unwrap(&self, key_id: &str, place: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let (_, sealer) = self.0.iter().find(|(id, _)| id == key_id).ok_or(CryptoError)?;
        sealer.open_bytes(place, wrapped)
    }
}

/// Where a sealed body belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyPlace {
    /// Whose it is.
    pub tenant: TenantId,
    /// The request.
    pub trace: TraceId,
    /// Which of its two bodies.
    pub direction: Direction,
}

/// A sealed body, opened.
pub struct OpenedBody {
    /// The body as it was on the wire, or its beginning.
    pub bytes: Zeroizing<Vec<u8>>,
    /// True if it was cut to the capture limit.
    pub truncated: bool,
}

impl fmt::Debug for OpenedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenedBody(..)")
    }
}

/// A tenant's data key, unwrapped.
///
/// ```
/// use bulkhead_policy::crypto::MasterKey;
/// use bulkhead_policy::data_key::{BodyPlace, DataKey};
/// use bulkhead_policy::ids::{TenantId, TraceId};
/// use bulkhead_policy::trace::Direction;
/// let (provider, random) = (MasterKey::parse(&"5a".repeat(32))?.local_keys()?, ring::rand::SystemRandom::new());
/// let now = chrono::Utc::now();
/// let (tenant, trace) = (TenantId::fresh(now), TraceId::fresh(now));
///
/// let stored = DataKey::generate(1, &random)?.wrap(tenant, &provider, &random)?;
/// let key = DataKey::unwrap(&stored, tenant, &provider)?;
/// let place = BodyPlace { tenant, trace, direction: Direction::Request };
/// let sealed = key.seal(place, b"original", false, &random)?;
/// assert_eq!(*key.open(place, &sealed)?.bytes, b"original");
/// assert!(key.open(BodyPlace { direction: Direction::Response, ..place }, &sealed).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DataKey {
    version: u32,
    secret: SecretBox<[u8; KEY_BYTES]>,
}

impl DataKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// [`CryptoError`] if there are no random numbers.
    pub fn generate(version: u32, random: &dyn SecureRandom) -> Result<Self, CryptoError> {
        let mut filled = Err(CryptoError);
        // Written where it stays: no copy is left on the stack.
        let secret = SecretBox::init_with_mut(|bytes: &mut [u8; KEY_BYTES]| {
            filled = random.fill(bytes).map_err(|_| CryptoError);
        });
        filled.map(|()| Self { version, secret })
    }

    /// Wraps it for storage.
    ///
    /// # Errors
    /// [`CryptoError`] if the provider cannot.
    pub fn wrap(
        &self,
        tenant: TenantId,
        provider: &dyn KeyProvider,
        random: &dyn SecureRandom,
    ) -> Result<RawDataKey, CryptoError> {
        let wrapped = provider.wrap(&key_place(tenant, self.version), self.secret.expose_secret(), random)?;
        Ok(RawDataKey { version: self.version, key_id: provider.key_id().to_owned(), wrapped })
    }

    /// Unwraps a stored key.
    ///
    /// # Errors
    /// [`CryptoError`] if the provider cannot, or if it is another tenant's or another version.
    pub fn unwrap(
        stored: &RawDataKey,
        tenant: TenantId,
        provider: &dyn KeyProvider,
    ) -> Result<Self, CryptoError> {
        let place = key_place(tenant, stored.version);
        let secret = provider.unwrap(&stored.key_id, &place, &stored.wrapped)?;
        let unwrapped: &[u8; KEY_BYTES] = secret.as_slice().try_into().map_err(|_| CryptoError)?;
        let secret = SecretBox::init_with_mut(|bytes: &mut [u8; KEY_BYTES]| bytes.copy_from_slice(unwrapped));
        Ok(Self { version: stored.version, secret })
    }

    /// Returns which of the tenant's keys it is.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Encrypts a body, bound to its place; `truncated` says that it is only the beginning.
    ///
    /// Cost: two microseconds, and one more for each 3 KiB (x86-64, one core, unoptimised build).
    ///
    /// # Errors
    /// [`CryptoError`] if there are no random numbers.
    pub fn seal(
        &self,
        place: BodyPlace,
        body: &[u8],
        truncated: bool,
        random: &dyn SecureRandom,
    ) -> Result<Vec<u8>, CryptoError> {
        let mut salt = [0; SALT_BYTES];
        random.fill(&mut salt).map_err(|_| CryptoError)?;
        let place = self.body_place(place);
        let mut text = Zeroizing::new(Vec::with_capacity(1 + body.len() + TAG_BYTES));
        text.push(if truncated { TRUNCATED } else { WHOLE });
        text.extend_from_slice(body);
        self.body_key(&salt, &place)?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(NONCE),
                Aad::from(place.as_slice()),
                &mut *text,
            )
            .map_err(|_| CryptoError)?;
        Ok([&[VERSION], salt.as_slice(), &text].concat())
    }

    /// Decrypts what [`Self::seal`] made for the same place.
    ///
    /// # Errors
    /// [`CryptoError`] for anything else, damaged and foreign bytes included.
    pub fn open(&self, place: BodyPlace, sealed: &[u8]) -> Result<OpenedBody, CryptoError> {
        let (&version, rest) = sealed.split_first().ok_or(CryptoError)?;
        let (salt, body) = rest.split_first_chunk::<SALT_BYTES>().ok_or(CryptoError)?;
        if version != VERSION {
            return Err(CryptoError);
        }
        let place = self.body_place(place);
        let mut bytes = open_with(&self.body_key(salt, &place)?, NONCE, &place, body).ok_or(CryptoError)?;
        if bytes.is_empty() {
            return Err(CryptoError);
        }
        let truncated = bytes.remove(0) == TRUNCATED;
        Ok(OpenedBody { bytes, truncated })
    }

    fn body_key(&self, salt: &[u8; SALT_BYTES], place: &[u8]) -> Result<LessSafeKey, CryptoError> {
        let pseudorandom = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(self.secret.expose_secret());
        let info = [place];
        let material = pseudorandom.expand(&info, &AES_256_GCM).map_err(|_| CryptoError)?;
        Ok(LessSafeKey::new(UnboundKey::from(material)))
    }

    fn body_place(&self, place: BodyPlace) -> Vec<u8> {
        let BodyPlace { tenant, trace, direction } = place;
        format!("trace_bodies/{tenant}/{trace}/{}/{}", direction.as_str(), self.version).into_bytes()
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataKey").field("version", &self.version).finish_non_exhaustive()
    }
}

/// What a wrapped key is bound to.
fn key_place(tenant: TenantId, version: u32) -> Vec<u8> {
    format!("tenant_keys/{tenant}/{version}").into_bytes()
}

#[cfg(test)]
mod tests;
