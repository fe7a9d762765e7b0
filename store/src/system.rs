//! The statements that cross tenants. Each says why it must.
//!
//! They are out of reach of [`crate::Role::Api`]: its role sees one tenant, and grants and row-level security say so.

mod audit;
mod erase;
mod load;
mod nodes;
mod notify;
mod platform;
mod reseal;
mod tenants;

pub use crate::partitions::{check_partitions, drop_body_partitions, drop_partitions};
pub use crate::retention::{expire_bodies, expire_body_days, expire_days, expire_traces};
pub use audit::{AuditChain, audit_chain, audit_chains, audit_entries, verify_audit_chain};
pub use erase::{destroy_data_keys, remove_tenant};
pub use load::{Revisions, load_snapshot, load_tenants, revisions};
pub use nodes::{Verdict, record_verdicts, sign_of_life};
pub use notify::{Change, Changes, listen};
pub use platform::{PlatformPolicy, platform_policy, publish_platform_policy, remove_platform_policy};
pub use reseal::{Resealed, SealedValues, record_rotation, reseal_tenant, sealed_values};
pub(crate) use tenants::{StoredTenant, TENANT};
pub use tenants::{Tenant, create_tenant, delete_tenant, set_tenant_suspended, tenant_by_name, tenants};
