//! A local append-only spool: what was appended comes back until it is acknowledged, whatever crashes in between.
//!
//! Bytes in, bytes out: the crate knows neither SQL nor HTTP, and the file system stands behind [`Files`], so that a test
//! can crash it between any two steps.
//!
//! 1. Records lie in segments that are only ever appended to. Every process begins a segment of its own; numbers of
//!    segments are never used twice.
//! 2. A group of records is one write. What [`Writer::commit`] has confirmed survives a kill of the process; what
//!    [`Writer::sync`] has confirmed survives the loss of power.
//! 3. How far a segment was read is a position of its own, so that the newest segment can be read while older ones wait.
//! 4. A lost or stale position only makes records come back again: whoever takes them must ignore what it has already, or
//!    keep [`Batch::place`] in the same transaction and bring the spool up to it with [`Reader::skip_to`].
//! 5. Opening never fails because of what the folder contains. A torn tail is cut; a segment that is damaged elsewhere
//!    gives every record that is whole and is then kept aside instead of removed.
//! 6. What its taker can never use is set aside as a dead letter, and comes again when somebody asks for it.
//! 7. A record begins with a byte that UTF-8 does not have, so text in a payload is never taken for a record. Other
//!    payloads that strangers fill should be encrypted.
//!
//! ```
//! use bulkhead_spool::{BatchLimits, Folder, Lane, Origin, Owner, Record, Settings, open};
//! # let place = std::env::temp_dir().join(format!("spool-doc-{}", std::process::id()));
//! let origin = Origin { id: [7; 16], segment: 1 };   // random bytes, the time
//! let (mut writer, mut reader) = open(Folder::open(&place)?, Settings::default(), origin)?;
//! let record = Record { owner: Owner([1; 16]), at_millis: 0, kind: 0, payload: b"hello".to_vec() };
//! writer.push(&record)?;
//! writer.commit()?;
//! let batch = reader.take(Lane::Oldest, BatchLimits::default())?.expect("a batch");
//! assert_eq!(batch.records, [record]);
//! reader.acknowledge(&batch)?;
//! assert!(reader.take(Lane::Oldest, BatchLimits::default())?.is_none());
//! # std::fs::remove_dir_all(&place)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cursor;
mod dead;
mod files;
mod frame;
mod reader;
mod recover;
mod state;
mod writer;

pub use dead::{DeadLetter, DeadLetterRequest, read_dead_letters};
pub use files::{Append, Files, Folder, OpenError};
pub use frame::{Owner, PAYLOAD_BYTES_MAX, PayloadTooLong, Record};
pub use reader::{Batch, BatchLimits, Lane, Place, Reader};
pub use recover::open;
pub use state::{FullOwners, Origin, Room, Settings, Usage};
pub use writer::Writer;

#[cfg(test)]
mod tests;
