//! One record as bytes, and how records are found again in bytes that may be damaged.
//!
//! Layout, little endian: magic 4, length of the payload 4, CRC-32 of all that follows 4, kind 1, zeros 3, time 8,
//! owner 16, payload. The last byte of the magic is the version of the layout.

use std::ops::Range;

/// Most bytes of one payload; a length beyond it is damage.
pub const PAYLOAD_BYTES_MAX: usize = 32 << 20;

const MAGIC: [u8; 4] = [0xFF, b'B', b'K', 0xF1];
pub(crate) const HEADER_BYTES: usize = 40;
const CHECKED_FROM: usize = 12;

/// Whom a record belongs to; quotas count by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner(pub [u8; 16]);

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whom it belongs to.
    pub owner: Owner,
    /// When it came about, in milliseconds of the Unix epoch; its age is told by it.
    pub at_millis: u64,
    /// What it is, in the caller's own numbers.
    pub kind: u8,
    /// The content; see [`PAYLOAD_BYTES_MAX`].
    pub payload: Vec<u8>,
}

impl Record {
    /// Bytes that the record takes in a file.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        (HEADER_BYTES + self.payload.len()) as u64
    }
}

/// A payload that no record can hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("spool record: {bytes} bytes exceed the limit of {PAYLOAD_BYTES_MAX}")]
pub struct PayloadTooLong {
    /// Its length.
    pub bytes: usize,
}

/// Appends a record's bytes.
pub(crate) fn append(out: &mut Vec<u8>, record: &Record) -> Result<(), PayloadTooLong> {
    let bytes = record.payload.len();
    let length = u32::try_from(bytes).ok().filter(|_| bytes <= PAYLOAD_BYTES_MAX);
    let length = length.ok_or(PayloadTooLong { bytes })?;
    let mut fixed = [0; HEADER_BYTES - CHECKED_FROM];
    for (place, byte) in fixed
        .iter_mut()
        .zip([record.kind, 0, 0, 0].into_iter().chain(record.at_millis.to_le_bytes()).chain(record.owner.0))
    {
        *place = byte;
    }
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&checksum(length, &fixed, &record.payload).to_le_bytes());
    out.extend_from_slice(&fixed);
    out.extend_from_slice(&record.payload);
    Ok(())
}

/// The length is part of it: a payload that was cut or grew must not pass.
fn checksum(length: u32, fixed: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length.to_le_bytes());
    hasher.update(fixed);
    hasher.update(payload);
    hasher.finalize()
}

/// What stands at one place of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A whole record and the bytes it takes.
    Record(Record, Range<usize>),
    /// Bytes that are no record, up to the next record or the end.
    Damage(Range<usize>),
}

enum Defect {
    /// Could be the beginning of a record.
    Incomplete,
    Invalid,
}

/// Reads the piece that begins at `at`.
///
/// `ends_here` says that nothing follows `bytes` in the file. `None` means the end, or, where more follows, that more is
/// needed to decide.
pub(crate) fn piece(bytes: &[u8], at: usize, ends_here: bool) -> Option<Piece> {
    let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
    match decode(rest) {
        Ok((record, length)) => Some(Piece::Record(record, at..at + length)),
        Err(Defect::Incomplete) if !ends_here => None,
        Err(_) => match next_record(rest) {
            Some(skipped) => Some(Piece::Damage(at..at + skipped)),
            None => ends_here.then_some(Piece::Damage(at..bytes.len())),
        },
    }
}

/// How many bytes after the first a whole record begins.
fn next_record(bytes: &[u8]) -> Option<usize> {
    let starts = bytes.windows(MAGIC.len()).enumerate().skip(1).filter(|(_, window)| *window == MAGIC);
    let mut starts = starts.map(|(start, _)| start);
    starts.find(|start| bytes.get(*start..).is_some_and(|rest| decode(rest).is_ok()))
}

fn decode(bytes: &[u8]) -> Result<(Record, usize), Defect> {
    let known = bytes.get(..MAGIC.len().min(bytes.len())).unwrap_or_default();
    if !MAGIC.starts_with(known) {
        return Err(Defect::Invalid);
    }
    let mut fields = Fields(bytes.get(..HEADER_BYTES).ok_or(Defect::Incomplete)?);
    let _magic: [u8; 4] = fields.take().ok_or(Defect::Invalid)?;
    let length = fields.take().map(u32::from_le_bytes).ok_or(Defect::Invalid)?;
    let stored = fields.take().map(u32::from_le_bytes).ok_or(Defect::Invalid)?;
    let [kind, _, _, _]: [u8; 4] = fields.take().ok_or(Defect::Invalid)?;
    let at_millis = fields.take().map(u64::from_le_bytes).ok_or(Defect::Invalid)?;
    let owner = fields.take().map(Owner).ok_or(Defect::Invalid)?;
    let payload_bytes =
        usize::try_from(length).ok().filter(|bytes| *bytes <= PAYLOAD_BYTES_MAX).ok_or(Defect::Invalid)?;
    let end = HEADER_BYTES + payload_bytes;
    let payload = bytes.get(HEADER_BYTES..end).ok_or(Defect::Incomplete)?;
    let fixed = bytes.get(CHECKED_FROM..HEADER_BYTES).unwrap_or_default();
    if checksum(length, fixed, payload) != stored {
        return Err(Defect::Invalid);
    }
    Ok((Record { owner, at_millis, kind, payload: payload.to_vec() }, end))
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }
}
