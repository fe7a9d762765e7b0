//! A tenant's data keys as a node holds them: unwrapped once, dropped when their row is gone.

use std::sync::Arc;

use crate::data_key::{DataKey, KeyProvider};
use crate::raw::{RawDataKey, RawTenant};

/// A tenant's data keys: as they are stored, and unwrapped or why not.
#[derive(Debug, Default)]
pub(super) struct DataKeys(Vec<(RawDataKey, Result<Arc<DataKey>, String>)>);

impl DataKeys {
    /// Unwraps the keys that there are; those that were unwrapped before are taken over.
    pub(super) fn unwrap(raw: &RawTenant, before: Option<&Self>, provider: &dyn KeyProvider) -> Self {
        let known = before.map(|before| before.0.as_slice()).unwrap_or_default();
        let unwrapped = raw.data_keys.iter().map(|stored| {
            let same = known.iter().find(|(before, key)| before == stored && key.is_ok());
            let key = same.map(|(_, key)| key.clone()).unwrap_or_else(|| {
                DataKey::unwrap(stored, raw.id, provider).map(Arc::new).map_err(|_| {
                    format!(
                        "data key {} cannot be unwrapped: its master key {} is not known here, or the row is damaged",
                        stored.version, stored.key_id
                    )
                })
            });
            (stored.clone(), key)
        });
        Self(unwrapped.collect())
    }

    /// The key that seals.
    pub(super) fn newest(&self) -> Result<Arc<DataKey>, String> {
        let newest = self.0.iter().max_by_key(|(stored, _)| stored.version);
        newest.map_or_else(|| Err("the tenant has no data key".to_owned()), |(_, key)| key.clone())
    }

    /// Says whether a key was not destroyed.
    pub(super) fn holds(&self, key: &DataKey) -> bool {
        self.0.iter().any(|(stored, _)| stored.version == key.version())
    }
}
