//! The appending end: groups of records, one write each.

use std::io;
use std::sync::Arc;

use crate::files::{Append, Files};
use crate::frame::{self, Owner, PayloadTooLong, Record};
use crate::state::{FullOwners, Room, Segment, Shared, Usage, segment_name};

/// Part of a segment's length from which on an emptied segment makes way for a new one.
const EMPTIED_PART: u64 = 8;

/// The end that appends. One thread owns it: its calls wait for the disk.
#[derive(Debug)]
pub struct Writer<F: Files> {
    shared: Arc<Shared<F>>,
    active: Option<Active<F::Append>>,
    group: Vec<u8>,
    /// Owner, stored bytes and time of each record of the group.
    members: Vec<(Owner, u64, u64)>,
}

#[derive(Debug)]
struct Active<A> {
    number: u64,
    file: A,
    bytes: u64,
}

impl<F: Files> Writer<F> {
    pub(crate) fn new(shared: Arc<Shared<F>>) -> Self {
        Self { shared, active: None, group: Vec::new(), members: Vec::new() }
    }

    /// Adds a record to the group that the next [`Self::commit`] writes.
    ///
    /// # Errors
    /// [`PayloadTooLong`]; the group is as it was.
    pub fn push(&mut self, record: &Record) -> Result<(), PayloadTooLong> {
        frame::append(&mut self.group, record)?;
        self.members.push((record.owner, record.stored_bytes(), record.at_millis));
        Ok(())
    }

    /// Bytes of the group so far.
    #[must_use]
    pub fn group_bytes(&self) -> usize {
        self.group.len()
    }

    /// Writes the group: all of it is in the file then, or none, and the group is empty again.
    ///
    /// # Errors
    /// None of the group's records counts as appended.
    pub fn commit(&mut self) -> io::Result<()> {
        if self.group.is_empty() {
            return Ok(());
        }
        let result = self.write();
        self.group.clear();
        // One large group must not hold its memory for ever.
        self.group.shrink_to(1 << 20);
        self.members.clear();
        result
    }

    fn write(&mut self) -> io::Result<()> {
        let bytes = self.group.len() as u64;
        if self.active.as_ref().is_some_and(|active| self.should_end(active, bytes)) {
            self.seal();
        }
        let mut active = match self.active.take() {
            Some(active) => active,
            None => self.begin()?,
        };
        if let Err(error) = active.file.write(&self.group) {
            // The segment ends here: nothing beyond its known length is ever read, whether the torn bytes can be cut off or
            // not, and once it was read it gives its place on a full disk back.
            let _cut_or_not = active.file.truncate(active.bytes);
            self.end(active.number);
            return Err(error);
        }
        active.bytes += bytes;
        self.shared.state().wrote(active.number, &self.members, bytes);
        self.active = Some(active);
        Ok(())
    }

    fn should_end(&self, active: &Active<F::Append>, more: u64) -> bool {
        let segment_bytes = self.shared.settings.segment_bytes;
        let is_long = active.bytes > 0 && active.bytes + more > segment_bytes;
        // What was emptied is removed once it is ended: disk space comes back on a quiet node too.
        let is_emptied = || {
            let state = self.shared.state();
            state.segments.get(&active.number).is_some_and(|segment| segment.position >= segment.bytes)
        };
        is_long || active.bytes >= segment_bytes / EMPTIED_PART && is_emptied()
    }

    fn begin(&mut self) -> io::Result<Active<F::Append>> {
        let number = self.shared.state().new_number();
        let (mut file, length) = self.shared.files.append(&segment_name(number))?;
        if length > 0 {
            // Nobody else writes here; still, whatever it is was never acknowledged.
            file.truncate(0)?;
        }
        self.shared.state().segments.insert(number, Segment::default());
        Ok(Active { number, file, bytes: 0 })
    }

    /// Returns once everything committed so far to the current segment survives the loss of power. Earlier segments do if
    /// they were synced before they ended.
    ///
    /// # Errors
    /// Whether it does is unknown.
    pub fn sync(&mut self) -> io::Result<()> {
        match &mut self.active {
            Some(active) => active.file.sync(),
            None => Ok(()),
        }
    }

    /// Ends the current segment, so that it can be removed once it was read.
    pub fn seal(&mut self) {
        if let Some(active) = self.active.take() {
            self.end(active.number);
        }
    }

    fn end(&self, number: u64) {
        if let Some(segment) = self.shared.state().segments.get_mut(&number) {
            segment.is_sealed = true;
        }
    }

    /// How much room a record of `owner` with `bytes` bytes finds beside the group.
    #[must_use]
    pub fn room(&self, owner: Owner, bytes: u64) -> Room {
        self.shared.state().room(&self.shared.settings, owner, bytes + self.group.len() as u64)
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

impl<F: Files> Drop for Writer<F> {
    fn drop(&mut self) {
        self.seal();
    }
}
