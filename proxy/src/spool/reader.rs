//! The taking end of a spool, for work off the event loop.

use bulkhead_spool::{Folder, Reader};
use std::sync::{Arc, Mutex, PoisonError};

/// A spool's taking end, whose calls wait for the disk. Each has one owner; the lock only lets it travel, and others may count.
#[derive(Debug, Clone)]
pub(crate) struct SharedReader(Arc<Mutex<Reader<Folder>>>);

impl SharedReader {
    pub(crate) fn new(reader: Reader<Folder>) -> Self {
        Self(Arc::new(Mutex::new(reader)))
    }

    /// Works with the files, off the event loop. `None` if that broke off.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Reader<Folder>) -> T + Send + 'static,
    ) -> Option<T> {
        let reader = self.clone();
        tokio::task::spawn_blocking(move || reader.with(work)).await.ok()
    }

    /// The same here and now.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Reader<Folder>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
