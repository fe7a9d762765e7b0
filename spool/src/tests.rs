//! The spool against a model of a file system that can stop between any two steps.

mod dead;
mod disk;
mod model;

use crate::{BatchLimits, Lane, Origin, Owner, Reader, Record, Room, Settings, Writer, open};
use disk::{Disk, Loss};

const SMALL: Settings = Settings { quota_bytes: 1 << 20, owner_bytes: 1 << 20, segment_bytes: 1024 };
const ORIGIN: Origin = Origin { id: [7; 16], segment: 1 };
const ALL: BatchLimits = BatchLimits { records: usize::MAX, bytes: 1 << 20 };

fn record(number: u64) -> Record {
    let payload = format!("{number} {}", "x".repeat(usize::try_from(number * 37 % 200).unwrap()));
    Record { owner: Owner([1; 16]), at_millis: number, kind: 1, payload: payload.into_bytes() }
}

fn open_on(disk: &Disk) -> (Writer<Disk>, Reader<Disk>) {
    open(disk.clone(), SMALL, ORIGIN).expect("opening never fails because of what is there")
}

fn append(writer: &mut Writer<Disk>, numbers: std::ops::Range<u64>) {
    for number in numbers {
        writer.push(&record(number)).expect("short enough");
    }
    writer.commit().expect("a disk with room");
}

/// Takes and acknowledges everything, oldest first; returns the numbers.
fn drain(reader: &mut Reader<Disk>) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Some(batch) = reader.take(Lane::Oldest, ALL).expect("readable") {
        numbers.extend(batch.records.iter().map(|record| record.at_millis));
        for record in &batch.records {
            assert_eq!(*record, self::record(record.at_millis));
        }
        reader.acknowledge(&batch).expect("a disk with room");
    }
    numbers
}

#[test]
fn a_tail_torn_at_every_byte_loses_only_the_record_it_cut() {
    let disk = Disk::default();
    let (mut writer, _reader) = open_on(&disk);
    append(&mut writer, 0..3);
    let (name, whole) = disk.segments().pop().expect("a segment");
    let last = whole.len() - usize::try_from(record(2).stored_bytes()).unwrap();
    for length in last..whole.len() {
        let disk = Disk::default();
        disk.put(&name, &whole[..length]);
        let (mut writer, mut reader) = open_on(&disk);
        assert_eq!(reader.usage().quarantined, 0);
        append(&mut writer, 3..5);
        assert_eq!(drain(&mut reader), [0, 1, 3, 4], "cut to {length}");
    }
}

#[test]
fn a_flipped_bit_costs_one_record_and_the_segment_is_kept_aside() {
    let disk = Disk::default();
    let (mut writer, _reader) = open_on(&disk);
    append(&mut writer, 0..3);
    writer.seal();
    append(&mut writer, 3..4);
    drop(writer);
    let segments = disk.segments();
    let (name, whole) = &segments[0];
    for bit in 0..whole.len() * 8 {
        let place = bit / 8;
        let disk = Disk::default();
        for (name, content) in &segments {
            disk.put(name, content);
        }
        let mut damaged = whole.clone();
        damaged[place] ^= 1 << (bit % 8);
        disk.put(name, &damaged);
        let (mut writer, mut reader) = open_on(&disk);
        assert_eq!(reader.usage().quarantined, 1, "bit {bit}");
        append(&mut writer, 4..5);
        let numbers = drain(&mut reader);
        assert_eq!(numbers.len(), 4, "bit {bit}: {numbers:?}");
        assert!(numbers.is_sorted() && numbers.ends_with(&[3, 4]), "bit {bit}: {numbers:?}");
        let aside = name.replace(".segment", ".quarantined");
        assert_eq!(disk.get(&aside), Some(damaged), "bit {bit}");
        assert_eq!(disk.get(name), None);
    }
}

#[test]
fn strange_files_never_stop_a_start() {
    let disk = Disk::default();
    for (name, content) in [
        ("0000000000000001.segment", &b""[..]),
        ("0000000000000002.segment", b"not a segment"),
        ("0000000000000003.segment", &[0; 5000]),
        ("ffffffffffffffff.quarantined", b"x"),
        ("cursor", b"nonsense"),
        ("cursor.new", b"half"),
        ("zzzz.segment", b"what"),
        ("dead-letters", b"\xff\xff"),
    ] {
        disk.put(name, content);
    }
    let (mut writer, mut reader) = open_on(&disk);
    append(&mut writer, 0..2);
    assert_eq!(drain(&mut reader), [0, 1]);
}

#[test]
fn the_newest_segment_can_be_read_while_older_ones_wait() {
    let disk = Disk::default();
    let (mut writer, mut reader) = open_on(&disk);
    append(&mut writer, 0..4);
    writer.seal();
    append(&mut writer, 4..6);
    let newest = reader.take(Lane::Newest, ALL).unwrap().expect("a batch");
    assert_eq!(newest.records, [record(4), record(5)]);
    reader.acknowledge(&newest).unwrap();
    drop((writer, reader));
    let (_writer, mut reader) = open_on(&disk);
    assert_eq!(drain(&mut reader), [0, 1, 2, 3]);
}

#[test]
fn what_was_read_leaves_no_files() {
    let disk = Disk::default();
    let (mut writer, mut reader) = open_on(&disk);
    for number in 0..200 {
        append(&mut writer, number..number + 1);
        drain(&mut reader);
        assert!(disk.segments().len() <= 2);
    }
    writer.seal();
    reader.tidy().unwrap();
    assert!(disk.segments().is_empty());
    assert_eq!(reader.usage().bytes, 0);
}

#[test]
fn one_owner_finds_no_room_while_another_does() {
    let settings = Settings { quota_bytes: 10_000, owner_bytes: 2_000, segment_bytes: 1024 };
    let (mut writer, mut reader) = open(Disk::default(), settings, ORIGIN).unwrap();
    let (greedy, modest) = (Owner([1; 16]), Owner([2; 16]));
    while writer.room(greedy, 240) != Room::Full {
        let record = Record { owner: greedy, at_millis: 0, kind: 0, payload: vec![0; 200] };
        writer.push(&record).unwrap();
        writer.commit().unwrap();
    }
    assert_eq!(writer.room(modest, 240), Room::Free);
    assert_eq!(reader.usage().bytes / 240, 8);
    let batch = reader.take(Lane::Oldest, ALL).unwrap().expect("a batch");
    reader.acknowledge(&batch).unwrap();
    assert_eq!(writer.room(greedy, 240), Room::Free);
}

#[test]
fn what_waits_elsewhere_takes_room_here() {
    let settings = Settings { quota_bytes: 10_000, owner_bytes: 2_000, segment_bytes: 1024 };
    let (writer, mut reader) = open(Disk::default(), settings, ORIGIN).unwrap();
    let (moved, other) = (Owner([1; 16]), Owner([2; 16]));
    reader.count_elsewhere(moved, 1_990);
    assert_eq!((writer.room(moved, 240), writer.room(other, 240)), (Room::Full, Room::Free));
    assert_eq!(reader.full_owners().owners, [moved]);
    reader.count_elsewhere(other, 9_000);
    assert_eq!(writer.room(Owner([3; 16]), 240), Room::Full);
    assert!(reader.full_owners().everyone);
    reader.count_elsewhere(moved, 0);
    reader.count_elsewhere(other, 0);
    assert_eq!((writer.room(moved, 240), writer.room(other, 240)), (Room::Free, Room::Free));
}

#[test]
fn a_full_disk_takes_nothing_of_a_group_and_goes_on_when_it_has_room() {
    let disk = Disk::default();
    let (mut writer, mut reader) = open_on(&disk);
    append(&mut writer, 0..2);
    disk.set_room(Some(50));
    writer.push(&record(2)).unwrap();
    writer.push(&record(3)).unwrap();
    writer.commit().unwrap_err();
    disk.set_room(None);
    assert_eq!(drain(&mut reader), [0, 1]);
    append(&mut writer, 4..6);
    assert_eq!(drain(&mut reader), [4, 5]);
}

#[test]
fn a_disk_that_one_segment_fills_gets_empty() {
    let disk = Disk::default();
    let (mut writer, mut reader) = open_on(&disk);
    append(&mut writer, 0..3);
    disk.set_room(Some(0));
    writer.push(&record(3)).unwrap();
    writer.commit().unwrap_err();
    while let Some(batch) = reader.take(Lane::Oldest, ALL).unwrap() {
        reader.acknowledge(&batch).expect_err("not even the position fits");
    }
    assert!(disk.segments().is_empty());
}

#[test]
fn a_segment_that_cannot_be_read_does_not_stop_the_others() {
    let disk = Disk::default();
    let (mut writer, mut reader) = open_on(&disk);
    append(&mut writer, 0..2);
    writer.seal();
    append(&mut writer, 2..4);
    let (first, _) = disk.segments().remove(0);
    disk.make_unreadable(&first);
    for _ in 0..3 {
        reader.take(Lane::Oldest, ALL).unwrap_err();
    }
    assert_eq!(drain(&mut reader), [2, 3]);
    assert_eq!(reader.usage().quarantined, 1);
    assert_eq!(reader.usage().waiting_bytes, 0, "its owner's room comes back");
}

#[test]
fn damaged_records_give_their_owners_room_back() {
    let disk = Disk::default();
    let (mut writer, mut reader) = open_on(&disk);
    let [first, second] = [1, 2].map(|owner| Record { owner: Owner([owner; 16]), ..record(5) });
    for record in [&first, &second, &first] {
        writer.push(record).unwrap();
    }
    writer.commit().unwrap();
    let (name, whole) = disk.segments().remove(0);
    let bytes = usize::try_from(first.stored_bytes()).unwrap();
    let mut damaged = whole.clone();
    damaged[bytes + 20] ^= 1;
    disk.put(&name, &damaged);
    let one = BatchLimits { records: 1, ..ALL };
    let batch = reader.take(Lane::Oldest, one).unwrap().expect("the first");
    reader.acknowledge(&batch).unwrap();
    let waiting = first.stored_bytes() + second.stored_bytes();
    assert_eq!(reader.usage().waiting_bytes, waiting, "nobody has seen the damage");
    let batch = reader.take(Lane::Oldest, ALL).unwrap().expect("the last");
    assert_eq!(batch.records, std::slice::from_ref(&first));
    reader.acknowledge(&batch).unwrap();
    let usage = reader.usage();
    assert_eq!((usage.records, usage.waiting_bytes, usage.oldest_at_millis), (0, 0, None));
    // And what comes to the same segment afterwards counts as ever.
    writer.push(&second).unwrap();
    writer.commit().unwrap();
    assert_eq!(reader.usage().waiting_bytes, second.stored_bytes());
}

#[test]
fn a_segment_that_lost_its_end_gives_its_owners_room_back() {
    let disk = Disk::default();
    let (mut writer, mut reader) = open_on(&disk);
    append(&mut writer, 0..3);
    let (name, whole) = disk.segments().remove(0);
    disk.put(&name, &whole[..50]);
    while let Some(batch) = reader.take(Lane::Oldest, ALL).unwrap() {
        reader.acknowledge(&batch).unwrap();
    }
    let usage = reader.usage();
    assert_eq!((usage.records, usage.waiting_bytes), (0, 0));
}

#[test]
fn an_acknowledged_batch_does_not_come_back_after_a_kill() {
    let disk = Disk::default();
    let (mut writer, mut reader) = open_on(&disk);
    append(&mut writer, 0..5);
    let few = BatchLimits { records: 2, ..ALL };
    let batch = reader.take(Lane::Oldest, few).unwrap().expect("a batch");
    reader.acknowledge(&batch).unwrap();
    drop((writer, reader));
    disk.crash(Loss::Process, 0);
    let (_writer, mut reader) = open_on(&disk.of_next_process());
    assert_eq!(reader.usage().records, 3);
    assert_eq!(drain(&mut reader), [2, 3, 4]);
}
