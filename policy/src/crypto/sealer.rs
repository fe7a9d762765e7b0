//! Seals short secrets.
//!
//! - Sealed bytes are `version (1) | nonce (12) | ciphertext | tag (16)`: AES-256-GCM under a random nonce.
//!   With one key per installation the birthday bound allows 2^32 sealings, far beyond the credentials anyone
//!   stores.
//! - The associated data binds a sealed value to its place: moved to another row it does not open.

use std::fmt;

use ring::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use ring::rand::SecureRandom;
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::CryptoError;

const VERSION: u8 = 1;
const TAG_BYTES: usize = 16;

/// Seals short secrets with its first key, and opens what any of its keys has sealed.
///
/// ```
/// use bulkhead_policy::crypto::MasterKey;
/// use secrecy::ExposeSecret;
/// let sealer = MasterKey::parse(&"5a".repeat(32))?.credential_sealer()?;
/// let sealed = sealer.seal(b"row 1", b"secret", &ring::rand::SystemRandom::new())?;
/// assert_eq!(sealer.open(b"row 1", &sealed)?.expose_secret(), "secret");
/// assert!(sealer.open(b"row 2", &sealed).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Sealer(Vec<LessSafeKey>);

impl Sealer {
    pub(super) fn new(keys: Vec<LessSafeKey>) -> Self {
        Self(keys)
    }

    /// Encrypts `plaintext`, bound to `place`.
    ///
    /// # Errors
    /// [`CryptoError`] if there are no random numbers.
    pub fn seal(
        &self,
        place: &[u8],
        plaintext: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<Vec<u8>, CryptoError> {
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce).map_err(|_| CryptoError)?;
        let mut body = Vec::with_capacity(plaintext.len() + TAG_BYTES);
        body.extend_from_slice(plaintext);
        self.0
            .first()
            .ok_or(CryptoError)?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place), &mut body)
            .map_err(|_| CryptoError)?;
        Ok([&[VERSION], nonce.as_slice(), &body].concat())
    }

    /// Decrypts a text that [`Self::seal`] sealed for the same place.
    ///
    /// # Errors
    /// [`CryptoError`] for anything else, damaged and foreign bytes included.
    pub fn open(&self, place: &[u8], sealed: &[u8]) -> Result<SecretString, CryptoError> {
        let opened = self.open_bytes(place, sealed)?;
        std::str::from_utf8(&opened).map(SecretString::from).map_err(|_| CryptoError)
    }

    /// Decrypts what [`Self::seal`] made for the same place.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn open_bytes(&self, place: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        open_with_any(&self.0, place, sealed).ok_or(CryptoError)
    }

    /// Says whether the first key has sealed this for `place`, so that nothing is gained by sealing it anew.
    #[must_use]
    pub fn is_newest(&self, place: &[u8], sealed: &[u8]) -> bool {
        open_with_any(self.0.get(..1).unwrap_or_default(), place, sealed).is_some()
    }
}

fn open_with_any(keys: &[LessSafeKey], place: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (&version, rest) = sealed.split_first()?;
    let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>()?;
    let mut keys = keys.iter().filter(|_| version == VERSION);
    keys.find_map(|key| open_with(key, *nonce, place, body))
}

pub(crate) fn open_with(
    key: &LessSafeKey,
    nonce: [u8; NONCE_LEN],
    place: &[u8],
    body: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let mut body = Zeroizing::new(body.to_vec());
    let nonce = Nonce::assume_unique_for_key(nonce);
    let length = key.open_in_place(nonce, Aad::from(place), &mut body).ok()?.len();
    body.truncate(length);
    Some(body)
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(..)")
    }
}
