//! Dead letters are asked back, and the process may end between any two steps.

use super::disk::{Disk, Loss};
use super::{ALL, append, drain, open_on, record};
use crate::dead::{DeadLetter, DeadLetterRequest, collect};
use crate::{Files as _, Lane, Reader};

const RETRY: &str = "dead-letters.retry";

/// What is set aside, the older file first.
fn letters(disk: &Disk) -> Vec<DeadLetter> {
    let mut letters = Vec::new();
    for name in ["dead-letters.old", "dead-letters"] {
        collect(&disk.get(name).unwrap_or_default(), &mut letters);
    }
    letters
}

fn set_aside(reader: &mut Reader<Disk>, numbers: std::ops::Range<u64>) {
    for number in numbers {
        reader.set_aside_record(&record(number), "of no use").unwrap();
    }
}

/// Two files of letters, and who has them.
fn with_letters() -> Disk {
    let disk = Disk::default();
    let (_writer, mut reader) = open_on(&disk);
    set_aside(&mut reader, 0..2);
    disk.rename("dead-letters", "dead-letters.old").unwrap();
    set_aside(&mut reader, 2..4);
    disk
}

#[test]
fn dead_letters_come_again_when_somebody_asks() {
    let disk = with_letters();
    let (mut writer, mut reader) = open_on(&disk);
    append(&mut writer, 4..6);
    assert_eq!(reader.answer_requests().unwrap(), None);
    disk.put(RETRY, b"");
    assert_eq!(reader.answer_requests().unwrap(), Some(DeadLetterRequest::Retry));
    assert_eq!((letters(&disk), disk.get(RETRY)), (Vec::new(), None));
    let whole: u64 = (0..6).map(|number| record(number).stored_bytes()).sum();
    assert_eq!(reader.usage().records, 6);
    assert!(reader.usage().waiting_bytes > whole, "with their reasons");
    // One of them is of no use again.
    let first = reader.take(Lane::Newest, ALL).unwrap().expect("the newer file");
    assert_eq!(first.records, [record(2), record(3)]);
    set_aside(&mut reader, 2..3);
    reader.acknowledge(&first).unwrap();
    assert_eq!(drain(&mut reader), [4, 5, 0, 1]);
    assert_eq!(letters(&disk), [DeadLetter { record: record(2), reason: "of no use".to_owned() }]);
    let usage = reader.usage();
    assert_eq!((usage.records, usage.waiting_bytes, usage.quarantined), (0, 0, 0));
    writer.seal();
    reader.tidy().unwrap();
    let names = disk.names().unwrap();
    assert!(!names.iter().any(|name| name.ends_with(".segment") || name.ends_with(".returned")), "{names:?}");
}

#[test]
fn dead_letters_are_removed_when_somebody_asks() {
    let disk = with_letters();
    disk.put("dead-letters.clear", b"");
    let (_writer, mut reader) = open_on(&disk);
    assert_eq!(reader.answer_requests().unwrap(), Some(DeadLetterRequest::Clear));
    assert_eq!(reader.answer_requests().unwrap(), None);
    assert_eq!((letters(&disk), drain(&mut reader)), (Vec::new(), Vec::new()));
}

#[test]
fn wherever_the_process_ends_each_letter_is_set_aside_or_comes_again() {
    for loss in [Loss::Process, Loss::Power] {
        for changes in 0.. {
            let disk = with_letters();
            disk.put(RETRY, b"");
            let (_writer, mut reader) = open_on(&disk);
            disk.stop_after(changes, 1);
            let is_over = reader.answer_requests().is_ok();
            disk.crash(loss, 0);
            let disk = disk.of_next_process();
            let (_writer, mut reader) = open_on(&disk);
            let mut numbers: Vec<u64> = letters(&disk).iter().map(|letter| letter.record.at_millis).collect();
            numbers.extend(drain(&mut reader));
            numbers.sort_unstable();
            assert_eq!(numbers, [0, 1, 2, 3], "{loss:?} after {changes} changes");
            if is_over {
                break;
            }
            // The request is still there.
            reader.answer_requests().unwrap();
            assert_eq!((letters(&disk), disk.get(RETRY)), (Vec::new(), None));
        }
    }
}

#[test]
fn a_segment_that_was_being_written_is_cut_although_letters_came_back_after_it() {
    let disk = with_letters();
    let (mut writer, mut reader) = open_on(&disk);
    append(&mut writer, 4..6);
    disk.put(RETRY, b"");
    reader.answer_requests().unwrap();
    let (name, whole) = disk.segments().pop().expect("a segment");
    disk.put(&name, &whole[..whole.len() - 1]);
    let (_writer, mut reader) = open_on(&disk);
    assert_eq!(drain(&mut reader), [4, 0, 1, 2, 3]);
    assert_eq!(reader.usage().quarantined, 0);
}
