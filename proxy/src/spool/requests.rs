//! What an operator asks for in a spool's folder, while a node has it open or none.

use super::{SpoolError, origin};
use bulkhead_spool::{DeadLetterRequest, Folder, Reader, Settings};
use std::path::Path;

/// Where a node looks every so often.
pub(super) fn answer(reader: &mut Reader<Folder>) {
    match reader.answer_requests() {
        Ok(None) => {}
        Ok(Some(DeadLetterRequest::Retry)) => tracing::info!("dead letters are tried again"),
        Ok(Some(DeadLetterRequest::Clear)) => tracing::info!("dead letters were removed"),
        Err(error) => tracing::warn!(%error, "dead letters cannot be tried again or removed"),
    }
}

/// Does what an operator asks for in a spool's folder that no process has open.
///
/// # Errors
/// [`SpoolError`]; [`bulkhead_spool::OpenError::InUse`]: whoever has it open does it within a second.
pub fn answer_dead_letter_requests(folder: &Path) -> Result<(), SpoolError> {
    let failed = |source| SpoolError::Start { folder: folder.display().to_string(), source };
    let files = Folder::open(folder)?;
    let (_writer, mut reader) = bulkhead_spool::open(files, Settings::default(), origin()).map_err(failed)?;
    reader.answer_requests().map_err(failed)?;
    Ok(())
}
