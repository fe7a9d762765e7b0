//! What is held, for how long, and in how much memory.

use super::*;
use crate::{Action, HEADS_MAX, HOLD_LIMIT, Replacement, Rule, catalogue};

fn scanner(selectors: &[&str], action: Action) -> StreamScanner {
    let detectors = selectors.iter().flat_map(|selector| catalogue().select(selector));
    let rules = detectors.map(|detector| Rule::new(Arc::clone(detector), action)).collect();
    Arc::new(RuleSet::new(rules, Vec::new())).scanner()
}

fn edits(scanner: &mut StreamScanner) -> Vec<(u64, u64, String)> {
    let mut edits = Vec::new();
    scanner.take_edits(&mut edits);
    let text = |edit: &Edit| edit.replacement.as_ref().map_or("", Replacement::as_str).to_owned();
    edits.iter().map(|edit| (edit.start, edit.end, text(edit))).collect()
}

#[test]
fn text_leaves_as_soon_as_it_can_no_longer_be_part_of_a_match() {
    let cases = [
        ("secret.*", "hello wor", 9),
        ("secret.*", "a risk", 6),
        ("secret.*", "a sk", 2),
        ("secret.*", "a sk-", 2),
        ("secret.*", "a sk-x!", 7),
        ("secret.*", "key AKIAHT5R", 4),
        ("EMAIL_ADDRESS", "hello wor", 6),
        ("EMAIL_ADDRESS", "hello ", 6),
        ("EMAIL_ADDRESS", "to jane@example.com", 3),
        ("EMAIL_ADDRESS", "to jane@example.com ", 20),
        ("CREDIT_CARD", "pay 4111 1111 1111 1111", 4),
        ("CREDIT_CARD", "pay 4111 x", 10),
        ("PRIVATE_KEY_PEM", "x -----BEGIN", 2),
    ];
    for (selector, text, released) in cases {
        let mut scanner = scanner(&[selector], Action::Mask);
        scanner.push(text.as_bytes());
        assert_eq!(scanner.released(), released, "{selector}: {text:?}");
    }
}

#[test]
fn a_finished_match_is_not_released_while_an_earlier_candidate_lives() {
    let mut scanner = scanner(&["*"], Action::Mask);
    scanner.push(b"here AKIAHT5RMGN3GNRY2345 to river a of fox");
    scanner.finish();
    assert_eq!(edits(&mut scanner), [(5, 25, "[AWS_ACCESS_KEY_ID]".to_owned())]);
}

#[test]
fn a_key_block_of_any_length_is_masked_in_constant_memory() {
    let mut scanner = scanner(&["*"], Action::Mask);
    scanner.push(b"key: -----BEGIN PRIVATE KEY-----\n");
    let mut pieces = edits(&mut scanner);
    for _ in 0..5000 {
        scanner.push(b"MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\n");
        assert!(scanner.view.len() <= 2 * STALE_BYTES_MAX, "holds {} bytes", scanner.view.len());
        assert!(scanner.pushed() - scanner.released() < 8);
        pieces.extend(edits(&mut scanner));
    }
    scanner.push(b"-----END PRIVATE KEY----- jane@example.com");
    scanner.finish();
    pieces.extend(edits(&mut scanner));
    assert_eq!(pieces[0].2, "[PRIVATE_KEY_PEM]");
    assert!(pieces[1..pieces.len() - 1].iter().all(|piece| piece.2.is_empty()));
    assert!(pieces.windows(2).take(pieces.len() - 2).all(|pair| pair[0].1 == pair[1].0));
    assert_eq!(pieces[pieces.len() - 1].2, "[EMAIL_ADDRESS]");
    let mut matches = Vec::new();
    scanner.take_matches(&mut matches);
    let ids: Vec<&str> = matches.iter().map(|found| found.detector.id().as_str()).collect();
    assert_eq!(ids, ["PRIVATE_KEY_PEM", "EMAIL_ADDRESS"]);
}

#[test]
fn a_key_block_full_of_disguised_characters_is_masked_in_constant_memory() {
    let mut scanner = scanner(&["*"], Action::Mask);
    let mut text = "é －－－－－BEGIN PRIVATE KEY-----\n".as_bytes().to_vec();
    scanner.push(&text);
    let mut pieces = edits(&mut scanner);
    for _ in 0..5000 {
        let line = "ＭＩＩE\u{200b}v\u{ad}Q\u{200b}\u{200b}\n".as_bytes();
        text.extend_from_slice(line);
        scanner.push(line);
        assert!(scanner.offsets.remembered() <= 1024);
        pieces.extend(edits(&mut scanner));
    }
    let end = "-----END PRIVATE KEY—---- jane＠example.com".as_bytes();
    text.extend_from_slice(end);
    scanner.push(end);
    scanner.finish();
    pieces.extend(edits(&mut scanner));
    assert_eq!((pieces[0].0, pieces[0].2.as_str()), (3, "[PRIVATE_KEY_PEM]"));
    let block_end = pieces[pieces.len() - 2].1;
    assert!(pieces.windows(2).take(pieces.len() - 2).all(|pair| pair[0].1 == pair[1].0));
    assert_eq!(pieces[pieces.len() - 1], (block_end + 1, text.len() as u64, "[EMAIL_ADDRESS]".to_owned()));
    let mut matches = Vec::new();
    scanner.take_matches(&mut matches);
    assert_eq!((matches[0].start, matches[0].end), (3, block_end), "although its start is long forgotten");
}

#[test]
fn a_character_waits_for_its_last_byte() {
    let mut scanner = scanner(&["EMAIL_ADDRESS"], Action::Mask);
    let steps: [(&[u8], u64); 6] =
        [(b"x ", 2), (b"\xe2", 2), (b"\x82", 2), (b"\xac ", 6), (b"\xe2\x82", 6), (b" ", 9)];
    for (part, released) in steps {
        scanner.push(part);
        assert_eq!(scanner.released(), released, "{part:x?}");
    }
    scanner.push(b"\xe2");
    assert_eq!((scanner.released(), scanner.pushed()), (9, 10));
    scanner.finish();
    assert_eq!(scanner.released(), 10);
}

#[test]
fn a_block_rule_looks_inside_a_masked_key_block() {
    let block = Rule::new(Arc::clone(catalogue().select("AWS_ACCESS_KEY_ID")[0]), Action::Block);
    let mask = Rule::new(Arc::clone(catalogue().select("PRIVATE_KEY_PEM")[0]), Action::Mask);
    let mut scanner = Arc::new(RuleSet::new(vec![block, mask], Vec::new())).scanner();
    scanner.push(b"-----BEGIN PRIVATE KEY-----\nMIIE\nAKIAIOSFODNN7EXAMPLE\nMIIE");
    assert_eq!(scanner.blocked().map(|blocked| blocked.detector.id().as_str()), Some("AWS_ACCESS_KEY_ID"));
    assert!(scanner.released() <= 33);
}

#[test]
fn nothing_is_released_after_a_block() {
    let mut scanner = scanner(&["US_SSN"], Action::Block);
    scanner.push(b"my ssn is 078-05-1120, ");
    let released = scanner.released();
    assert_eq!(released, 10);
    scanner.push(b"and more text");
    scanner.finish();
    assert_eq!(scanner.released(), released);
    assert_eq!(scanner.pushed(), 36);
    let mut matches = Vec::new();
    scanner.take_matches(&mut matches);
    scanner.take_matches(&mut matches);
    assert_eq!(matches.len(), 1);
    assert_eq!(scanner.blocked(), matches.first());
}

#[test]
fn too_many_candidates_block_wherever_the_text_is_cut() {
    let text = "eyJ-".repeat(2 * HEADS_MAX);
    let mut ends = Vec::new();
    for size in [1, 3, 64, text.len()] {
        let mut scanner = scanner(&["JWT", "EMAIL_ADDRESS"], Action::Alert);
        text.as_bytes().chunks(size).for_each(|part| scanner.push(part));
        scanner.finish();
        let blocked = scanner.blocked().unwrap();
        assert_eq!(blocked.detector.id().as_str(), HOLD_LIMIT);
        assert_eq!(blocked.action, Action::Block);
        ends.push((blocked.start, blocked.end, scanner.released()));
        assert_eq!(scanner.rules.scan(text.as_bytes()).blocked.as_ref(), scanner.blocked());
    }
    assert!(ends.windows(2).all(|pair| pair[0] == pair[1]), "{ends:?}");
}

#[test]
fn hostile_texts_keep_few_candidates_and_little_text() {
    let patterns = [
        "a.",
        "1 ",
        "4 ",
        "4",
        "eyJ",
        "@",
        "a@",
        "a.a@a.",
        "a:",
        "AB12 ",
        "1.",
        "+1 ",
        "https://a-b:",
        "-",
        "a",
    ];
    for pattern in patterns {
        let mut scanner = scanner(&["*"], Action::Mask);
        let text = pattern.repeat(20_000 / pattern.len());
        for part in text.as_bytes().chunks(100) {
            scanner.push(part);
            assert!(scanner.blocked().is_none(), "{pattern:?}");
            assert!(scanner.view.len() <= 16 * STALE_BYTES_MAX, "{pattern:?} holds {}", scanner.view.len());
        }
    }
}

#[test]
fn a_scanner_may_move_to_another_thread() {
    let mut scanner = scanner(&["EMAIL_ADDRESS"], Action::Mask);
    scanner.push(b"jane@exam");
    let finish = move || {
        scanner.push(b"ple.com");
        scanner.finish();
        edits(&mut scanner)
    };
    let edits = std::thread::spawn(finish).join().unwrap();
    assert_eq!(edits, [(0, 16, "[EMAIL_ADDRESS]".to_owned())]);
}

#[test]
fn debug_output_shows_no_text() {
    let mut scanner = scanner(&["*"], Action::Mask);
    scanner.push(b"jane@exa");
    assert!(!format!("{scanner:?}").contains("jane"));
}
