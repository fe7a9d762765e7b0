//! What writer and reader know together: the segments, and who takes how much of the quota.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cursor::Cursor;
use crate::frame::{Owner, Record};

/// Sizes of a spool.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Bytes that all files of the spool may take, dead letters and what is kept aside not counted.
    pub quota_bytes: u64,
    /// Bytes that the waiting records of one owner may take.
    pub owner_bytes: u64,
    /// A segment is ended when it is as long as this.
    pub segment_bytes: u64,
}

impl Settings {
    const SEGMENT_BYTES: u64 = 16 << 20;

    /// Sizes that follow from a quota and the part of it that one owner may take.
    #[must_use]
    pub fn from_quota(quota_bytes: u64, owner_percent: u8) -> Self {
        let segment_bytes = Self::SEGMENT_BYTES.min(quota_bytes / 16).max(4096);
        Self {
            quota_bytes,
            owner_bytes: quota_bytes / 100 * u64::from(owner_percent.min(100)),
            segment_bytes,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::from_quota(1 << 30, 25)
    }
}

/// What makes the places in a spool unlike those in any other, and unlike those of this folder's past.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// Names the folder if it has no name yet: random bytes.
    pub id: [u8; 16],
    /// New segments have at least this number, which grows with the time. Numbers are counted on in the folder; after the
    /// loss of power the folder may have forgotten some, and a copy of the folder knows nothing of what the other used.
    pub segment: u64,
}

/// How much room a record finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// Enough.
    Free,
    /// More than 85 percent of the quota or of the owner's part is taken: what can be left out should be.
    Scarce,
    /// None.
    Full,
}

/// What is in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Records that wait.
    pub records: u64,
    /// Bytes of all segments.
    pub bytes: u64,
    /// Bytes of the records that wait.
    pub waiting_bytes: u64,
    /// When the oldest waiting record came about, in milliseconds of the Unix epoch; near enough to tell its age.
    pub oldest_at_millis: Option<u64>,
    /// Segments that are damaged or were kept aside.
    pub quarantined: u64,
    /// Records set aside as dead letters since the spool was opened.
    pub dead_letters: u64,
}

/// Who finds no room.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FullOwners {
    /// Nobody does.
    pub everyone: bool,
    /// These have used up their part.
    pub owners: Vec<Owner>,
}

/// One segment file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Segment {
    /// Up to here records are whole and readable.
    pub(crate) bytes: u64,
    /// Up to here records were acknowledged.
    pub(crate) position: u64,
    /// Records between the two.
    pub(crate) waiting: u64,
    /// Their bytes by owner: who has them here gives them back with the segment, also where they cannot be read.
    pub(crate) owners: HashMap<Owner, u64>,
    pub(crate) oldest_at_millis: Option<u64>,
    /// Nothing is appended any more.
    pub(crate) is_sealed: bool,
    pub(crate) is_damaged: bool,
    /// It was a file of dead letters: each record stands behind its reason.
    pub(crate) is_returned: bool,
}

impl Segment {
    pub(crate) fn is_done(&self) -> bool {
        self.is_sealed && self.position >= self.bytes
    }

    pub(crate) fn name(&self, number: u64) -> String {
        if self.is_returned { returned_name(number) } else { segment_name(number) }
    }
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) segments: BTreeMap<u64, Segment>,
    pub(crate) next_segment: u64,
    /// Segments below this number are of earlier processes.
    pub(crate) first_own: u64,
    /// Bytes of the records that wait, by owner: the sum over the segments.
    pub(crate) owners: HashMap<Owner, u64>,
    /// Bytes of records that were moved to another spool and count here as long as they wait there.
    pub(crate) elsewhere: HashMap<Owner, u64>,
    pub(crate) quarantined: u64,
    pub(crate) dead_letters: u64,
}

impl State {
    pub(crate) fn wrote(&mut self, segment: u64, records: &[(Owner, u64, u64)], bytes: u64) {
        let entry = self.segments.entry(segment).or_default();
        entry.bytes += bytes;
        entry.waiting += records.len() as u64;
        if entry.oldest_at_millis.is_none() {
            entry.oldest_at_millis = records.first().map(|(_, _, at_millis)| *at_millis);
        }
        for (owner, bytes, _) in records {
            *entry.owners.entry(*owner).or_default() += bytes;
            *self.owners.entry(*owner).or_default() += bytes;
        }
    }

    /// What was acknowledged waits no more, and at a segment's end nothing of it does: what was not given out is damaged.
    pub(crate) fn acknowledged(&mut self, segment: u64, position: u64, records: &[Record]) {
        let Some(entry) = self.segments.get_mut(&segment) else { return };
        entry.position = entry.position.max(position);
        let is_read = entry.position >= entry.bytes;
        entry.waiting = if is_read { 0 } else { entry.waiting.saturating_sub(records.len() as u64) };
        entry.oldest_at_millis = records
            .last()
            .map(|record| record.at_millis)
            .or(entry.oldest_at_millis)
            .filter(|_| entry.waiting > 0);
        let gone = if is_read {
            std::mem::take(&mut entry.owners)
        } else {
            let mut gone = HashMap::new();
            for record in records {
                let taken = take(&mut entry.owners, record.owner, record.stored_bytes());
                *gone.entry(record.owner).or_default() += taken;
            }
            gone
        };
        self.gone(gone);
    }

    /// A number that no segment ever had.
    pub(crate) fn new_number(&mut self) -> u64 {
        let number = self.next_segment;
        self.next_segment = number.saturating_add(1);
        number
    }

    /// Takes over what was found in files.
    pub(crate) fn adopt(&mut self, found: Self) {
        self.segments.extend(found.segments);
        for (owner, bytes) in found.owners {
            *self.owners.entry(owner).or_default() += bytes;
        }
        self.quarantined += found.quarantined;
    }

    /// Forgets a segment and what waits in it.
    pub(crate) fn remove(&mut self, segment: u64) -> Option<Segment> {
        let mut removed = self.segments.remove(&segment)?;
        self.gone(std::mem::take(&mut removed.owners));
        Some(removed)
    }

    fn gone(&mut self, owners: HashMap<Owner, u64>) {
        for (owner, bytes) in owners {
            take(&mut self.owners, owner, bytes);
        }
    }

    /// Number, position and end of each segment that was not read to its end, the oldest first.
    pub(crate) fn unread(&self) -> impl DoubleEndedIterator<Item = (u64, u64, u64)> + '_ {
        let unread = self.segments.iter().filter(|(_, segment)| segment.position < segment.bytes);
        unread.map(|(number, segment)| (*number, segment.position, segment.bytes))
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.bytes).sum()
    }

    pub(crate) fn cursor(&self) -> Cursor {
        // Also those that were read to their end: until they are gone a crash must not bring them back.
        let started = self.segments.iter().filter(|(_, segment)| segment.position > 0);
        Cursor {
            next_segment: self.next_segment,
            positions: started.map(|(number, segment)| (*number, segment.position)).collect(),
        }
    }

    /// What the quota is held against.
    fn taken(&self) -> u64 {
        self.bytes() + self.elsewhere.values().sum::<u64>()
    }

    fn taken_by(&self, owner: Owner) -> u64 {
        [&self.owners, &self.elsewhere].iter().filter_map(|held| held.get(&owner)).sum()
    }

    pub(crate) fn room(&self, settings: &Settings, owner: Owner, more: u64) -> Room {
        let owners = self.taken_by(owner) + more;
        let all = self.taken() + more;
        if all > settings.quota_bytes || owners > settings.owner_bytes {
            Room::Full
        } else if is_scarce(all, settings.quota_bytes) || is_scarce(owners, settings.owner_bytes) {
            Room::Scarce
        } else {
            Room::Free
        }
    }

    pub(crate) fn full_owners(&self, settings: &Settings) -> FullOwners {
        let all = self.taken();
        if all < settings.owner_bytes.min(settings.quota_bytes) / 100 * 99 {
            return FullOwners::default();
        }
        // A little less than all of it: there is none when the next record does not fit any more.
        let is_full = |bytes: u64, of: u64| bytes >= of / 100 * 99;
        let mut owners: Vec<Owner> = self.owners.keys().chain(self.elsewhere.keys()).copied().collect();
        owners.sort_unstable();
        owners.dedup();
        owners.retain(|owner| is_full(self.taken_by(*owner), settings.owner_bytes));
        FullOwners { everyone: is_full(all, settings.quota_bytes), owners }
    }

    pub(crate) fn usage(&self) -> Usage {
        let waiting = || self.segments.values().filter(|segment| segment.waiting > 0);
        Usage {
            records: waiting().map(|segment| segment.waiting).sum(),
            bytes: self.bytes(),
            waiting_bytes: self.owners.values().sum(),
            oldest_at_millis: waiting().filter_map(|segment| segment.oldest_at_millis).min(),
            quarantined: self.quarantined,
            dead_letters: self.dead_letters,
        }
    }
}

/// Takes bytes from what an owner has; returns how many there were.
fn take(owners: &mut HashMap<Owner, u64>, owner: Owner, bytes: u64) -> u64 {
    let Some(held) = owners.get_mut(&owner) else { return 0 };
    let taken = bytes.min(*held);
    *held -= taken;
    if *held == 0 {
        owners.remove(&owner);
    }
    taken
}

fn is_scarce(bytes: u64, of: u64) -> bool {
    bytes > of / 100 * 85
}

/// What the two ends of a spool share. The lock is held for arithmetic only, never over a call of the file system.
#[derive(Debug)]
pub(crate) struct Shared<F> {
    pub(crate) files: F,
    pub(crate) settings: Settings,
    pub(crate) id: [u8; 16],
    pub(crate) state: Mutex<State>,
}

impl<F> Shared<F> {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock leaves it half changed, so a panic elsewhere is no reason to lose records.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) const RETURNED: &str = ".returned";

pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:016x}.segment")
}

/// Dead letters that come again.
pub(crate) fn returned_name(number: u64) -> String {
    format!("{number:016x}{RETURNED}")
}

pub(crate) fn quarantine_name(number: u64) -> String {
    format!("{number:016x}.quarantined")
}

/// The number in a segment's name, whether it is kept aside or not.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    let (number, kind) = name.split_once('.')?;
    (number.len() == 16 && matches!(kind, "segment" | "returned" | "quarantined"))
        .then(|| u64::from_str_radix(number, 16).ok())
        .flatten()
}
