//! What stands for a value without telling it: fingerprints for findings, tokens for texts.
//!
//! Both are HMAC-SHA-256 under a tenant's key over what they are for, the detector and the value. So the same
//! value gives the same result on every node and after every restart, and nothing can be computed or compared
//! without the key.

use std::fmt;
use std::sync::Arc;

use ring::hmac;

use crate::detector::{DetectorId, Placeholder};

/// Bytes of a fingerprint: enough that two values of a tenant never share one by chance.
const FINGERPRINT_BYTES: usize = 12;

/// Characters of a token's hash, five bits each.
pub(crate) const TOKEN_HASH_LEN: usize = 10;

/// Crockford's base 32: no I, L, O and U, which models and people take for other characters.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The key of one tenant's fingerprints and tokens.
///
/// ```
/// use std::sync::Arc;
/// use bulkhead_dlp::{Action, Rule, RuleSet, ValueKey, apply_edits, catalogue};
///
/// let detector = catalogue().select("EMAIL_ADDRESS").remove(0).clone();
/// let rules = RuleSet::new(vec![Rule::new(detector, Action::Tokenize)], Vec::new())
///     .with_value_key(ValueKey::new(&[7; 32]));
/// let text = b"jane@example.com and jane@example.com";
/// let scan = rules.scan(text);
/// assert_eq!(scan.matches[0].fingerprint, scan.matches[1].fingerprint);
/// let sent = String::from_utf8(apply_edits(text, &scan.edits)).unwrap();
/// let (one, other) = sent.split_once(" and ").unwrap();
/// assert!(one.starts_with("[EMAIL_ADDRESS_") && one == other);
/// ```
#[derive(Clone)]
pub struct ValueKey(Arc<hmac::Key>);

/// Tells whether two findings of one detector had the same value; 24 hexadecimal digits as text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; FINGERPRINT_BYTES]);

/// The characters in a token that come from the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TokenHash(pub(crate) [u8; TOKEN_HASH_LEN]);

/// What stands for a value in a text: `[EMAIL_ADDRESS_7K3M9QX2VD]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    text: Arc<str>,
    placeholder: Placeholder,
}

impl ValueKey {
    /// Makes a key from a secret that no other use shares; 32 random bytes are the right length.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    pub(crate) fn fingerprint(&self, detector: &DetectorId, value: &[u8]) -> Fingerprint {
        let mut fingerprint = [0; FINGERPRINT_BYTES];
        let tag = self.tag(b"fingerprint", detector, value);
        fingerprint.iter_mut().zip(tag.as_ref()).for_each(|(byte, from)| *byte = *from);
        Fingerprint(fingerprint)
    }

    pub(crate) fn token_hash(&self, detector: &DetectorId, value: &[u8]) -> TokenHash {
        let mut hash = [b'0'; TOKEN_HASH_LEN];
        let tag = self.tag(b"token", detector, value);
        for (character, byte) in hash.iter_mut().zip(tag.as_ref()) {
            *character = ALPHABET.get(usize::from(byte & 31)).copied().unwrap_or(b'0');
        }
        TokenHash(hash)
    }

    /// The parts are told apart by a zero byte, which stands in no purpose and in no id.
    fn tag(&self, purpose: &[u8], detector: &DetectorId, value: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        for part in [purpose, &[0], detector.as_str().as_bytes(), &[0], value] {
            context.update(part);
        }
        context.sign()
    }
}

impl Token {
    pub(crate) fn new(placeholder: &Placeholder, hash: TokenHash) -> Self {
        let label = placeholder.as_str().trim_end_matches(']');
        let hash: String = hash.0.into_iter().map(char::from).collect();
        Self { text: format!("{label}_{hash}]").into(), placeholder: placeholder.clone() }
    }

    /// The token as text, brackets included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What takes the value's place where it cannot be restored.
    #[must_use]
    pub fn placeholder(&self) -> &Placeholder {
        &self.placeholder
    }
}

impl fmt::Debug for ValueKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ValueKey(..)")
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}
