//! Records that their taker can never use: kept with the reason, up to a limit.

use std::io;
use std::path::Path;

use crate::files::{Append as _, Files, read_file};
use crate::frame::{self, Piece, Record, piece};

const DEAD_LETTERS: &str = "dead-letters";
const DEAD_LETTERS_OLD: &str = "dead-letters.old";
/// Two files of this length at most: the older half goes when the newer is full.
const FILE_BYTES_MAX: u64 = 16 << 20;
const REASON_BYTES_MAX: usize = 1024;

/// What is to become of the dead letters of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadLetterRequest {
    /// They come again, like records that were just appended; without the part of one that was too long to be kept whole.
    Retry,
    /// They are removed, also those that come before the request is answered.
    Clear,
}

impl DeadLetterRequest {
    const ALL: [Self; 2] = [Self::Retry, Self::Clear];

    const fn name(self) -> &'static str {
        match self {
            Self::Retry => "dead-letters.retry",
            Self::Clear => "dead-letters.clear",
        }
    }

    /// Leaves the request in a spool's folder, whoever has that open: [`crate::Reader::answer_requests`] finds it.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn leave(self, folder: &Path) -> io::Result<()> {
        std::fs::write(folder.join(self.name()), b"")
    }
}

pub(crate) fn requested<F: Files>(files: &F) -> Option<DeadLetterRequest> {
    DeadLetterRequest::ALL.into_iter().find(|request| files.read(request.name(), 0, 0).is_ok())
}

pub(crate) fn answered<F: Files>(files: &F, request: DeadLetterRequest) -> io::Result<()> {
    files.remove(request.name())
}

/// The files of dead letters that there are, the oldest first.
pub(crate) fn names<F: Files>(files: &F) -> io::Result<Vec<&'static str>> {
    let there = files.names()?;
    let names = [DEAD_LETTERS_OLD, DEAD_LETTERS].into_iter();
    Ok(names.filter(|name| there.iter().any(|there| there == name)).collect())
}

pub(crate) fn clear<F: Files>(files: &F) -> io::Result<()> {
    names(files)?.into_iter().try_for_each(|name| files.remove(name))
}

/// A record that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The record as it was.
    pub record: Record,
    /// Why it was set aside.
    pub reason: String,
}

pub(crate) fn append<F: Files>(files: &F, record: &Record, reason: &str) -> io::Result<()> {
    let reason: String = reason.chars().take(REASON_BYTES_MAX / 4).collect();
    let mut payload = reason.into_bytes();
    payload.push(0);
    payload.extend_from_slice(&record.payload);
    let mut framed = Vec::new();
    // One that is too long with its reason is kept without its payload's end: better than not at all.
    payload.truncate(frame::PAYLOAD_BYTES_MAX);
    frame::append(&mut framed, &Record { payload, ..record.clone() }).map_err(io::Error::other)?;
    let (mut file, mut length) = files.append(DEAD_LETTERS)?;
    if length > 0 && length + framed.len() as u64 > FILE_BYTES_MAX {
        drop(file);
        files.rename(DEAD_LETTERS, DEAD_LETTERS_OLD)?;
        (file, length) = files.append(DEAD_LETTERS)?;
    }
    if let Err(error) = file.write(&framed) {
        let _torn_bytes_are_skipped_when_read = file.truncate(length);
        return Err(error);
    }
    file.sync()
}

/// Reads the dead letters of a spool's folder, oldest first, whether a process has it open or not.
///
/// A record that was set aside again after a crash is there twice.
///
/// # Errors
/// A file is there and cannot be read.
pub fn read_dead_letters(folder: &Path) -> io::Result<Vec<DeadLetter>> {
    let mut letters = Vec::new();
    for name in [DEAD_LETTERS_OLD, DEAD_LETTERS] {
        match read_file(&folder.join(name), 0, usize::MAX) {
            Ok(bytes) => collect(&bytes, &mut letters),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(letters)
}

pub(crate) fn collect(bytes: &[u8], letters: &mut Vec<DeadLetter>) {
    let mut at = 0;
    while let Some(piece) = piece(bytes, at, true) {
        at = match piece {
            Piece::Record(record, range) => {
                letters.extend(open(record));
                range.end
            }
            Piece::Damage(range) => range.end,
        };
    }
}

/// A letter as it lies in a file: the payload stands behind the reason and a zero.
pub(crate) fn open(record: Record) -> Option<DeadLetter> {
    let end = record.payload.iter().position(|byte| *byte == 0)?;
    let (reason, rest) = record.payload.split_at_checked(end)?;
    let reason = String::from_utf8_lossy(reason).into_owned();
    let payload = rest.get(1..)?.to_vec();
    Some(DeadLetter { record: Record { payload, ..record }, reason })
}
