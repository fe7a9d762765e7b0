//! The only crate that knows SQL.
//!
//! Two walls stand between tenants, and this crate builds both. In the code, a row of a tenant is reached only through a
//! [`TenantTx`], which belongs to one tenant from begin to commit. In the database, every table forces row-level security, so
//! a forgotten `where` finds nothing of anyone else.
//!
//! - A [`Store`] is a pool whose every connection acts as one of the roles in [`Role`] and refuses to act as one that could
//!   bypass row-level security.
//! - [`system`] holds the few statements that cross tenants, each with its reason.
//! - [`archive`] writes all that is held of a tenant into one file, and takes such a file.
//! - [`placement`] moves a tenant's traces to a database of their own, and back.
//! - [`writer`] appends traces and budget usage; its role cannot read a trace.
//! - Statements are static, checked against the schema when this crate is compiled (`scripts/prepare-queries`), and take
//!   values only as binds.
//!
//! ```no_run
//! use bulkhead_store::{Actor, Role, Store, migrate, system};
//! # async fn example(url: &str) -> Result<(), bulkhead_store::StoreError> {
//! let operator = Actor::new("ada");
//! migrate(url, &operator).await?;
//! let platform = Store::connect(url, Role::Migrator, 2).await?;
//! let tenant = system::create_tenant(&platform, &operator, "acme").await?;
//!
//! let store = Store::connect(url, Role::Api, 8).await?;
//! let mut tx = store.tenant(tenant.id).await?;
//! tx.create_agent(&operator, "support-bot").await?;
//! tx.commit().await?;
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

pub mod archive;
mod audit;
mod connect;
mod error;
mod migrate;
mod numbers;
mod partitions;
pub mod placement;
mod retention;
pub mod reveal;
pub mod system;
pub mod tenant;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod writer;

pub use audit::{Actor, AuditEntry, AuditFilter};
pub use connect::{Role, Store};
pub use error::StoreError;
pub use migrate::{Applied, migrate};
pub use tenant::TenantTx;

#[cfg(test)]
mod tests;
