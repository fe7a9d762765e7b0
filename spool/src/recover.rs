//! Opening a folder: whatever an earlier process left there is taken up again.

use std::io;
use std::sync::{Arc, Mutex};

use crate::cursor::{CURSOR, Cursor};
use crate::files::{Append as _, Files};
use crate::frame::{Piece, piece};
use crate::reader::Reader;
use crate::state::{Origin, RETURNED, Segment, Settings, Shared, State, number_of, quarantine_name};
use crate::writer::Writer;

const ID: &str = "id";
/// Kept aside at most; the oldest goes.
const QUARANTINED_MAX: usize = 16;

/// Opens a spool and returns its two ends.
///
/// Cost: reads every segment once.
///
/// # Errors
/// The folder cannot be listed. What the files contain is never an error.
pub fn open<F: Files>(files: F, settings: Settings, origin: Origin) -> io::Result<(Writer<F>, Reader<F>)> {
    let id = named(&files, origin.id);
    let mut state = State { next_segment: 1, ..State::default() };
    let names = files.names()?;
    let cursor = files.read(CURSOR, 0, usize::MAX).ok();
    let cursor = cursor.and_then(|bytes| Cursor::parse(&bytes)).unwrap_or_default();

    let written = |ending: &'static str| {
        names.iter().filter(move |name| name.ends_with(ending)).filter_map(|name| number_of(name))
    };
    let last = written(".segment").max();
    let mut numbers: Vec<(u64, bool)> = written(".segment")
        .map(|number| (number, false))
        .chain(written(RETURNED).map(|number| (number, true)))
        .collect();
    numbers.sort_unstable();
    let used = names.iter().filter_map(|name| number_of(name)).chain(cursor.positions.keys().copied());
    // Numbers are never used twice: an old position would skip what is new.
    state.next_segment =
        used.max().unwrap_or(0).saturating_add(1).max(cursor.next_segment).max(origin.segment);
    state.first_own = state.next_segment;
    state.quarantined = forget_old_quarantined(&files, &names);
    for (number, is_returned) in numbers {
        let position = cursor.positions.get(&number).copied().unwrap_or(0);
        let segment = Segment { is_sealed: true, is_returned, position, ..Segment::default() };
        recover(&files, &mut state, number, segment, !is_returned && last == Some(number));
    }
    let shared = Arc::new(Shared { files, settings, id, state: Mutex::new(state) });
    Ok((Writer::new(Arc::clone(&shared)), Reader::new(shared)))
}

/// The folder's name; a new one if it has none that can be read.
fn named<F: Files>(files: &F, fresh: [u8; 16]) -> [u8; 16] {
    let read = || {
        let text = String::from_utf8(files.read(ID, 0, 64).ok()?).ok()?;
        Some(u128::from_str_radix(text.strip_suffix('\n')?, 16).ok()?.to_be_bytes())
    };
    read().unwrap_or_else(|| {
        // On a full disk the name is this process's only: the next one does not know what was kept under it.
        let _lost_then = files.replace(ID, format!("{:032x}\n", u128::from_be_bytes(fresh)).as_bytes(), true);
        fresh
    })
}

/// Removes what was kept aside longest, and says how many are left.
fn forget_old_quarantined<F: Files>(files: &F, names: &[String]) -> u64 {
    let mut kept: Vec<&String> = names.iter().filter(|name| name.ends_with(".quarantined")).collect();
    kept.sort_unstable();
    let surplus = kept.len().saturating_sub(QUARANTINED_MAX);
    for name in kept.drain(..surplus) {
        let _stays_then = files.remove(name);
    }
    kept.len() as u64
}

/// Takes up one segment, which is known to be read up to its position.
pub(crate) fn recover<F: Files>(
    files: &F,
    state: &mut State,
    number: u64,
    mut segment: Segment,
    is_last: bool,
) {
    let (name, position) = (segment.name(number), segment.position);
    let Ok(bytes) = files.read(&name, 0, usize::MAX) else {
        // Unreadable now, perhaps not for ever; a start must not fail for it.
        let _stays_where_it_is = files.rename(&name, &quarantine_name(number));
        state.quarantined += 1;
        return;
    };
    let mut members = Vec::new();
    let mut at = 0;
    let mut torn_at = None;
    let mut is_boundary = position == 0;
    while let Some(piece) = piece(&bytes, at, true) {
        let range = match piece {
            Piece::Record(record, range) => {
                members.push((range.start as u64, (record.owner, record.stored_bytes(), record.at_millis)));
                range
            }
            // Only the newest segment was being written when its process died.
            Piece::Damage(range) if range.end == bytes.len() && is_last => {
                torn_at = Some(range.start);
                break;
            }
            Piece::Damage(range) => {
                segment.is_damaged = true;
                range
            }
        };
        at = range.end;
        is_boundary |= at as u64 == position;
    }
    if let Some(torn_at) = torn_at {
        // Where it cannot be cut, it is not read either.
        let _not_cut = files.append(&name).and_then(|(mut file, _)| file.truncate(torn_at as u64));
    }
    segment.bytes = torn_at.unwrap_or(bytes.len()) as u64;
    // A position that is no boundary is not this segment's.
    segment.position = if is_boundary { position } else { 0 };
    if position > segment.bytes {
        // All of it was taken; the loss of power took its end.
        segment.position = segment.bytes;
    }
    state.quarantined += u64::from(segment.is_damaged);
    if segment.is_done() && !segment.is_damaged {
        let _removed_later = files.remove(&name);
        return;
    }
    let waiting: Vec<_> = members
        .into_iter()
        .filter(|(start, _)| *start >= segment.position)
        .map(|(_, member)| member)
        .collect();
    let bytes = segment.bytes;
    state.segments.insert(number, Segment { bytes: 0, ..segment });
    state.wrote(number, &waiting, bytes);
}
