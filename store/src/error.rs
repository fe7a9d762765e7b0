//! What can go wrong between us and the database.

use sqlx::error::ErrorKind;

/// Says what was attempted and why it failed.
///
/// Never holds a connection string: the driver's errors name no password, and URLs are not kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The connection string is not one.
    #[error("database url: expected postgres://user@host:port/name or postgres:///name?host=/socket/folder")]
    Url,
    /// The server cannot be reached or refuses us.
    #[error("connect to the database as {role}")]
    Connect {
        /// The role that was to be taken.
        role: &'static str,
        /// The driver's reason.
        #[source]
        source: sqlx::Error,
    },
    /// The role could read every tenant's rows.
    #[error("role {role} is superuser or has bypassrls: row-level security would not hold")]
    UnsafeRole {
        /// The role.
        role: String,
    },
    /// The migrations could not be applied.
    #[error("migrate the database")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// What was named does not exist, or belongs to another tenant.
    #[error("no such {what}")]
    NotFound {
        /// Kind of the thing.
        what: &'static str,
    },
    /// The name is taken.
    #[error("{what} exists already")]
    Exists {
        /// Kind of the thing.
        what: &'static str,
    },
    /// A value is outside what the schema allows.
    #[error("{what} is not allowed: expected {expected}")]
    Invalid {
        /// Kind of the value.
        what: &'static str,
        /// What is allowed.
        expected: &'static str,
    },
    /// A stored value is not what this version writes.
    #[error("unexpected {what} in the database")]
    Stored {
        /// Kind of the value.
        what: &'static str,
    },
    /// A partition could be reached around its parent's row-level security.
    #[error(
        "{table} is not closed: {problem}; nothing is appended there until somebody runs, as bulkhead_owner: {remedy}"
    )]
    OpenPartition {
        /// Name of the partition or its parent.
        table: String,
        /// What is wrong.
        problem: String,
        /// The statement that puts it right.
        remedy: String,
    },
    /// A configuration's name leads to a database that is not the one it means.
    #[error(
        "the database that is configured as {wanted:?} is {found:?}, or has tenants of its own: see `bulkhead tenant place`"
    )]
    OtherDatabase {
        /// The name in the configuration.
        wanted: String,
        /// The name that the database has.
        found: String,
    },
    /// Somebody else is at it.
    #[error("{what} is being moved to another database: that has to be finished first")]
    Busy {
        /// Kind of the thing.
        what: &'static str,
    },
    /// Anything else that the database says.
    #[error("{attempted}")]
    Database {
        /// What was attempted.
        attempted: &'static str,
        /// The driver's reason.
        #[source]
        source: sqlx::Error,
    },
}

impl StoreError {
    /// Whether somebody held a lock for longer than the statement was to wait.
    pub(crate) fn is_lock_timeout(&self) -> bool {
        let Self::Database { source: sqlx::Error::Database(error), .. } = self else { return false };
        error.code().as_deref() == Some("55P03")
    }

    /// True if the same call may succeed later: the server is away, overloaded, fails over, or lacks a right that it can be
    /// given. Whatever is not known to be the data's fault counts as this, because data that is given up is lost.
    ///
    /// False means that the data is at fault; sending it again changes nothing.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::UnsafeRole { .. } | Self::OpenPartition { .. } => true,
            Self::Database { source, .. } => match source {
                sqlx::Error::Database(error) => {
                    // Classes: cardinality, data exception, integrity constraint; and program limits such as a row too large.
                    let code = error.code().unwrap_or_default();
                    // A check without a name is a partition's: a row on its way to the default partition while the day's
                    // own one was made.
                    let is_moved_partition = code == "23514" && error.constraint().is_none();
                    is_moved_partition
                        || !["21", "22", "23", "54"].iter().any(|class| code.starts_with(class))
                }
                sqlx::Error::Encode(_) => false,
                _ => true,
            },
            _ => false,
        }
    }
}

/// A named thing that is written, and how the caller is told of a rule that it breaks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    /// Kind of the thing.
    pub(crate) what: &'static str,
    /// Kind of the thing it belongs to.
    pub(crate) parent: &'static str,
    /// What its values may be.
    pub(crate) expected: &'static str,
}

/// Adds what was attempted to a driver's error.
pub(crate) trait Attempted<T> {
    /// For statements that break no rule of the schema.
    fn attempted(self, attempted: &'static str) -> Result<T, StoreError>;
    /// For statements that write a named thing: a broken rule becomes an answer for the caller.
    fn writing(self, written: Written, attempted: &'static str) -> Result<T, StoreError>;
}

impl<T> Attempted<T> for Result<T, sqlx::Error> {
    fn attempted(self, attempted: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Database { attempted, source })
    }

    fn writing(self, written: Written, attempted: &'static str) -> Result<T, StoreError> {
        let Written { what, parent, expected } = written;
        self.map_err(|source| {
            let refusal = source.as_database_error();
            match refusal.map(sqlx::error::DatabaseError::kind) {
                Some(ErrorKind::UniqueViolation) => StoreError::Exists { what },
                Some(ErrorKind::ForeignKeyViolation) => StoreError::NotFound { what: parent },
                Some(ErrorKind::CheckViolation) => StoreError::Invalid { what, expected },
                // `text` holds no U+0000.
                _ if refusal.and_then(|refusal| refusal.code()).as_deref() == Some("22021") => {
                    StoreError::Invalid { what, expected }
                }
                _ => StoreError::Database { attempted, source },
            }
        })
    }
}
