//! Names of things: one type each, so that a tenant is never passed where an agent belongs.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::{NoContext, Timestamp, Uuid};

/// Says that a text is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind}: expected {expected}")]
pub struct InvalidId {
    kind: &'static str,
    expected: &'static str,
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID that names such a thing.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// Returns the UUID behind the id.
            #[must_use]
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }

            /// Makes a fresh id (UUIDv7) whose time part is `at`.
            #[must_use]
            pub fn fresh(at: DateTime<Utc>) -> Self {
                Self(uuid_v7(at))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Uuid::parse_str(text).map(Self).map_err(|_| InvalidId { kind: $kind, expected: "a UUID" })
            }
        }
    };
}

uuid_id!(
    /// Names a tenant, the unit of isolation.
    ///
    /// ```
    /// use bulkhead_policy::ids::TenantId;
    /// let id: TenantId = "018f3a52-7c00-7000-8000-000000000001".parse()?;
    /// assert_eq!(id.to_string(), "018f3a52-7c00-7000-8000-000000000001");
    /// # Ok::<(), bulkhead_policy::ids::InvalidId>(())
    /// ```
    TenantId,
    "tenant id"
);
uuid_id!(
    /// Names an agent, a program of a tenant.
    AgentId,
    "agent id"
);
uuid_id!(
    /// Names a tenant's credential for an upstream.
    CredentialId,
    "credential id"
);
uuid_id!(
    /// Names one request; also its `x-request-id`. A UUIDv7, so ids sort by time of arrival.
    TraceId,
    "trace id"
);

fn uuid_v7(at: DateTime<Utc>) -> Uuid {
    let seconds = u64::try_from(at.timestamp()).unwrap_or(0);
    Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, at.timestamp_subsec_nanos()))
}

/// The public half of an API key: 16 base62 characters that name it and are no secret.
///
/// ```
/// use bulkhead_policy::ids::KeyId;
/// let id: KeyId = "0aZ9bcdefghijklm".parse()?;
/// assert_eq!(id.as_str(), "0aZ9bcdefghijklm");
/// assert!("too-short".parse::<KeyId>().is_err());
/// # Ok::<(), bulkhead_policy::ids::InvalidId>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId([u8; KeyId::LENGTH]);

impl KeyId {
    /// Characters in a key id.
    pub const LENGTH: usize = 16;

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only base62 characters get in, so this never takes the default.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for KeyId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let bytes = <[u8; Self::LENGTH]>::try_from(text.as_bytes()).ok();
        bytes
            .filter(|bytes| bytes.iter().all(u8::is_ascii_alphanumeric))
            .map(Self)
            .ok_or(InvalidId { kind: "key id", expected: "16 characters of A-Z, a-z, 0-9" })
    }
}

impl TryFrom<String> for KeyId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({})", self.as_str())
    }
}

/// Names a budget within its tenant.
///
/// Ids in a document are letters, digits, `-`, `_` and `.`. Budgets that come from the platform's document
/// carry the prefix `platform:`, those of an agent's own document `agent:`, so the layers cannot collide.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BudgetId(Arc<str>);

impl BudgetId {
    /// Longest id a document may use, in bytes.
    pub const LENGTH_MAX: usize = 64;

    /// Wraps a text that names a budget; for rows and compiled documents.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BudgetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Counts the changes of one tenant's policy, keys, agents and credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(u64);

impl Revision {
    /// Wraps a stored revision number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Revision {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.parse().map(Self).map_err(|_| InvalidId { kind: "revision", expected: "a whole number" })
    }
}

/// Names a database that tenants' traces are in: the shared one, or one that a configuration knows by this name.
///
/// ```
/// use bulkhead_policy::ids::DatabaseName;
/// let name: DatabaseName = "acme-eu".parse()?;
/// assert!(!name.is_shared() && DatabaseName::default().is_shared());
/// assert!("../acme".parse::<DatabaseName>().is_err());
/// # Ok::<(), bulkhead_policy::ids::InvalidId>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DatabaseName(Arc<str>);

impl DatabaseName {
    /// The name of the database that everything is in unless said otherwise; no other one can have it.
    pub const SHARED: &str = "shared";
    /// Longest name, in characters.
    pub const LENGTH_MAX: usize = 63;

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Says whether it is the shared database's.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        &*self.0 == Self::SHARED
    }
}

/// The shared database's.
impl Default for DatabaseName {
    fn default() -> Self {
        Self(Arc::from(Self::SHARED))
    }
}

impl FromStr for DatabaseName {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let is_name = |text: &&str| {
            (1..=Self::LENGTH_MAX).contains(&text.len())
                && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
                && !text.starts_with('-')
                && !text.ends_with('-')
        };
        Some(text).filter(is_name).map(|text| Self(Arc::from(text))).ok_or(InvalidId {
            kind: "database name",
            expected: "1 to 63 characters of a-z, 0-9 and -, the - neither first nor last",
        })
    }
}

impl TryFrom<String> for DatabaseName {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<DatabaseName> for String {
    fn from(name: DatabaseName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for DatabaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
