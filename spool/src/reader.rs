//! The taking end: batches, acknowledged one by one.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use crate::cursor::CURSOR;
use crate::dead::{self, DeadLetterRequest};
use crate::files::Files;
use crate::frame::{Owner, Piece, Record, piece};
use crate::recover::recover;
use crate::state::{FullOwners, Segment, Shared, State, Usage, quarantine_name, returned_name, segment_name};

/// A segment that cannot be read so many times in a row is kept aside.
const READ_FAILURES_MAX: u32 = 3;

/// Which segment a batch comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// The oldest one with waiting records: what waits longest.
    Oldest,
    /// The newest one: what has just come.
    Newest,
}

/// How much one batch may hold; at least one record, however long it is.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// Records.
    pub records: usize,
    /// Bytes as stored.
    pub bytes: usize,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { records: 1_000, bytes: 4 << 20 }
    }
}

/// Records that lie one after the other in one segment, in the order they were appended in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The records; none where nothing but damage was found.
    pub records: Vec<Record>,
    place: Place,
    is_damaged: bool,
}

/// A stretch of a segment. Those of one spool never mean anything else later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Number of the segment.
    pub segment: u64,
    /// Where the stretch begins, in bytes.
    pub from: u64,
    /// Where it ends.
    pub to: u64,
}

impl Batch {
    /// Returns where the batch lies.
    #[must_use]
    pub const fn place(&self) -> Place {
        self.place
    }
}

/// The end that takes. One owner: its calls wait for the disk.
#[derive(Debug)]
pub struct Reader<F> {
    shared: Arc<Shared<F>>,
    failures: HashMap<u64, u32>,
}

impl<F: Files> Reader<F> {
    pub(crate) fn new(shared: Arc<Shared<F>>) -> Self {
        Self { shared, failures: HashMap::new() }
    }

    /// Returns the next batch of a lane; the same again until it is acknowledged.
    ///
    /// # Errors
    /// The segment cannot be read now. After a few times it is kept aside, so that the others go on.
    pub fn take(&mut self, lane: Lane, limits: BatchLimits) -> io::Result<Option<Batch>> {
        let Some((number, position, end)) = self.next_segment(lane) else { return Ok(None) };
        match self.read(number, position, end, limits) {
            Ok(batch) => {
                self.failures.remove(&number);
                Ok(Some(batch))
            }
            Err(error) => {
                let failures = self.failures.entry(number).or_default();
                *failures += 1;
                if *failures >= READ_FAILURES_MAX && self.is_sealed(number) {
                    self.failures.remove(&number);
                    self.set_aside(number);
                }
                Err(error)
            }
        }
    }

    fn next_segment(&self, lane: Lane) -> Option<(u64, u64, u64)> {
        let state = self.shared.state();
        let mut unread = state.unread();
        match lane {
            Lane::Oldest => unread.next(),
            Lane::Newest => unread.next_back(),
        }
    }

    fn is_sealed(&self, number: u64) -> bool {
        self.shared.state().segments.get(&number).is_some_and(|segment| segment.is_sealed)
    }

    /// The name of a segment, and whether its records stand behind reasons.
    fn name(&self, number: u64) -> (String, bool) {
        let state = self.shared.state();
        let segment = state.segments.get(&number);
        segment.map_or_else(
            || (segment_name(number), false),
            |segment| (segment.name(number), segment.is_returned),
        )
    }

    fn read(&self, number: u64, position: u64, end: u64, limits: BatchLimits) -> io::Result<Batch> {
        let (name, is_returned) = self.name(number);
        let left = usize::try_from(end - position).unwrap_or(usize::MAX);
        let mut window = limits.bytes.max(4096).min(left);
        loop {
            let bytes = self.shared.files.read(&name, position, window)?;
            // Shorter than it was: bytes that were there are gone.
            let is_short = bytes.len() < window;
            let is_whole = is_short || window >= left;
            let place = Place { segment: number, from: position, to: position };
            let mut batch = Batch { records: Vec::new(), place, is_damaged: is_short };
            let mut at = 0;
            while batch.records.len() < limits.records.max(1)
                && let Some(piece) = piece(&bytes, at, is_whole)
            {
                let range = match piece {
                    Piece::Record(record, range) if is_returned => {
                        let letter = dead::open(record);
                        batch.is_damaged |= letter.is_none();
                        batch.records.extend(letter.map(|letter| letter.record));
                        range
                    }
                    Piece::Record(record, range) => {
                        batch.records.push(record);
                        range
                    }
                    Piece::Damage(range) => {
                        batch.is_damaged = true;
                        range
                    }
                };
                at = range.end;
            }
            batch.place.to = if is_short && at >= bytes.len() { end } else { position + at as u64 };
            if at > 0 || is_whole {
                return Ok(batch);
            }
            window = window.saturating_mul(2).min(left);
        }
    }

    /// Says that a batch need not come again, and removes the segments that were read to their end.
    ///
    /// # Errors
    /// The position could not be saved: after a crash the batch comes again.
    pub fn acknowledge(&mut self, batch: &Batch) -> io::Result<()> {
        let (cursor, done) = {
            let mut state = self.shared.state();
            if batch.is_damaged
                && let Some(segment) = state.segments.get_mut(&batch.place.segment)
                && !segment.is_damaged
            {
                segment.is_damaged = true;
                state.quarantined += 1;
            }
            state.acknowledged(batch.place.segment, batch.place.to, &batch.records);
            let done = state.segments.iter().filter(|(_, segment)| segment.is_done());
            let done: Vec<_> =
                done.map(|(number, segment)| (*number, segment.name(*number), segment.is_damaged)).collect();
            (state.cursor().to_bytes(), done)
        };
        // A position that is lost only brings records back, so it is synced only where a segment goes: the numbers of
        // segments that are gone must not be used again.
        let saved = self.shared.files.replace(CURSOR, &cursor, !done.is_empty());
        // Whatever became of that: a full disk must be able to get empty, and what was read need not be kept.
        for (number, name, is_damaged) in done {
            if is_damaged {
                self.set_aside(number);
            } else if self.shared.files.remove(&name).is_ok() {
                self.shared.state().remove(number);
            }
        }
        saved
    }

    /// Removes what was read to its end; for a stop, when the last segment has been ended.
    ///
    /// # Errors
    /// The position could not be saved.
    pub fn tidy(&mut self) -> io::Result<()> {
        let place = Place { segment: u64::MAX, from: 0, to: 0 };
        self.acknowledge(&Batch { records: Vec::new(), place, is_damaged: false })
    }

    /// The folder's name, the same for ever.
    #[must_use]
    pub fn id(&self) -> [u8; 16] {
        self.shared.id
    }

    /// The first segment that this process writes; those below it are of earlier ones.
    #[must_use]
    pub fn first_own(&self) -> u64 {
        self.shared.state().first_own
    }

    /// The segments with records that wait.
    #[must_use]
    pub fn waiting_segments(&self) -> Vec<u64> {
        self.shared.state().unread().map(|(number, _, _)| number).collect()
    }

    /// Acknowledges a segment's records up to a position that the taker has kept: after a crash it may know more than the
    /// spool. A position beyond the segment's end acknowledges all of it.
    ///
    /// # Errors
    /// The segment cannot be read.
    pub fn skip_to(&mut self, segment: u64, position: u64) -> io::Result<()> {
        loop {
            let unread = self.shared.state().unread().find(|(number, _, _)| *number == segment);
            let Some((_, from, end)) = unread.filter(|(_, from, _)| *from < position) else { return Ok(()) };
            let batch = self.read(segment, from, end.min(position), BatchLimits::default())?;
            // Where the position cannot be saved, the taker says it again next time.
            let _saved_or_not = self.acknowledge(&batch);
        }
    }

    fn set_aside(&self, number: u64) {
        let renamed = self.shared.files.rename(&self.name(number).0, &quarantine_name(number));
        let mut state = self.shared.state();
        if renamed.is_err() && state.segments.get(&number).is_some_and(Segment::is_done) {
            // Its position says that it was read, and that must not be forgotten while it is there.
            return;
        }
        if let Some(segment) = state.remove(number)
            && !segment.is_damaged
        {
            state.quarantined += 1;
        }
    }

    /// Sets a record aside that its taker can never use, with the reason. Only then may its batch be acknowledged.
    ///
    /// # Errors
    /// It could not be written.
    pub fn set_aside_record(&mut self, record: &Record, reason: &str) -> io::Result<()> {
        dead::append(&self.shared.files, record, reason)?;
        self.shared.state().dead_letters += 1;
        Ok(())
    }

    /// Does what [`DeadLetterRequest::leave`] has asked for, if anything; to be called every so often.
    ///
    /// # Errors
    /// The disk refused it. It is tried again at the next call.
    pub fn answer_requests(&mut self) -> io::Result<Option<DeadLetterRequest>> {
        let files = &self.shared.files;
        let Some(request) = dead::requested(files) else { return Ok(None) };
        match request {
            DeadLetterRequest::Clear => dead::clear(files)?,
            DeadLetterRequest::Retry => self.take_back()?,
        }
        dead::answered(files, request)?;
        Ok(Some(request))
    }

    /// Makes segments of the files of dead letters. A name that changes is one step, so no letter is ever in both or in none.
    fn take_back(&self) -> io::Result<()> {
        let Shared { files, .. } = &*self.shared;
        for name in dead::names(files)? {
            let (number, cursor) = {
                let mut state = self.shared.state();
                (state.new_number(), state.cursor().to_bytes())
            };
            files.rename(name, &returned_name(number))?;
            // Before anything of it is taken: otherwise the loss of power could undo the name, and what was charged is charged again.
            let kept = files.replace(CURSOR, &cursor, true);
            let mut found = State::default();
            let segment = Segment { is_sealed: true, is_returned: true, ..Segment::default() };
            recover(files, &mut found, number, segment, false);
            self.shared.state().adopt(found);
            kept?;
        }
        Ok(())
    }

    /// Tries whether the disk takes `bytes` bytes; leaves nothing behind.
    #[must_use]
    pub fn disk_has_room(&self, bytes: usize) -> bool {
        const PROBE: &str = "probe";
        let fits = self.shared.files.replace(PROBE, &vec![0; bytes], false).is_ok();
        let _nothing_to_remove = self.shared.files.remove(PROBE);
        fits
    }

    /// Counts bytes of an owner's records that wait in another spool as if they waited in this one, in place of what was
    /// counted so before: who moves records on must not make room by it.
    pub fn count_elsewhere(&mut self, owner: Owner, bytes: u64) {
        let mut state = self.shared.state();
        if bytes == 0 {
            state.elsewhere.remove(&owner);
        } else {
            state.elsewhere.insert(owner, bytes);
        }
    }

    /// Who finds no room at the moment.
    #[must_use]
    pub fn full_owners(&self) -> FullOwners {
        self.shared.state().full_owners(&self.shared.settings)
    }

    /// What is in the spool.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.shared.state().usage()
    }
}
