use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::crypto::MasterKey;

/// An entry as a database would hold it.
#[derive(Debug, Clone, PartialEq)]
struct Stored {
    seq: i64,
    id: Uuid,
    at_micros: i64,
    texts: [String; 4],
    hash: Option<ChainHash>,
}

impl Stored {
    fn row(&self) -> Row<'_> {
        let [actor, action, target, detail] = &self.texts;
        Row { seq: self.seq, id: self.id, at_micros: self.at_micros, actor, action, target, detail }
    }
}

const CHAIN: Chain = Chain::Tenant(TenantId::from_uuid(Uuid::from_u128(7)));

/// A chain of `length` entries.
fn chain(length: i64) -> Vec<Stored> {
    let texts = |seq| ["ada".to_owned(), "key.create".to_owned(), format!("key {seq}"), "{}".to_owned()];
    chain_of((1..=length).map(texts).collect())
}

fn chain_of(texts: Vec<[String; 4]>) -> Vec<Stored> {
    let mut last = ChainHash::START;
    let entries = (1..).zip(texts).map(|(seq, texts)| {
        let id = Uuid::from_u128(u128::try_from(seq).unwrap());
        let mut entry = Stored { seq, id, at_micros: seq * 1_000, texts, hash: None };
        last = last.then(CHAIN, &entry.row());
        entry.hash = Some(last);
        entry
    });
    entries.collect()
}

fn end(entries: &[Stored]) -> Option<Link> {
    entries.last().and_then(|last| Some(Link { seq: last.seq, hash: last.hash? }))
}

/// Walks a chain whose recorded head is `recorded`; returns the number of the bad entry and what is wrong.
fn check(entries: &[Stored], recorded: Option<Link>, signed: Option<Link>) -> Result<i64, (i64, Wrong)> {
    let mut walk = Walk::new(CHAIN, signed);
    let steps = entries.iter().try_for_each(|entry| walk.step(&entry.row(), entry.hash));
    let end = steps.and_then(|()| walk.finish(recorded));
    end.map(|link| link.seq).map_err(|fault| (fault.seq, fault.wrong))
}

/// Changes a chain of five behind the database's back.
fn tampered(change: impl FnOnce(&mut Vec<Stored>)) -> Result<i64, (i64, Wrong)> {
    let mut entries = chain(5);
    let recorded = end(&entries);
    change(&mut entries);
    check(&entries, recorded, None)
}

#[test]
fn a_hash_is_what_the_format_says() {
    // Made with another implementation of SHA-256 from the bytes that the module's documentation lists.
    let row = Row {
        seq: 1,
        id: Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
        at_micros: 1_700_000_000_123_456,
        actor: "ada",
        action: "key.create",
        target: "schlüssel",
        detail: r#"{"n": 1.50}"#,
    };
    let hash = ChainHash::START.then(CHAIN, &row);
    assert_eq!(hash.to_string(), "dd197ce8efb3b60e379eaf1642aff6edba7333834e4b98498349f6c333cea203");
}

#[test]
fn an_untouched_chain_passes() {
    for length in 0..4 {
        let entries = chain(length);
        assert_eq!(check(&entries, end(&entries), None), Ok(length));
        assert_eq!(check(&entries, end(&entries), end(&entries)), Ok(length));
    }
}

#[test]
fn every_change_is_found_where_it_is() {
    let changes: [fn(&mut Stored); 8] = [
        |entry| entry.id = Uuid::nil(),
        |entry| entry.at_micros += 1,
        |entry| entry.texts[0].push('x'),
        |entry| entry.texts[1].push('x'),
        |entry| entry.texts[2].push('x'),
        |entry| entry.texts[3] = "{ }".to_owned(),
        |entry| entry.hash = Some(ChainHash::START),
        |entry| entry.hash = None,
    ];
    for change in changes {
        for place in 0..5 {
            let found = tampered(|entries| change(&mut entries[place]));
            assert_eq!(found, Err((i64::try_from(place).unwrap() + 1, Wrong::Changed)));
        }
    }
    // A byte that moves from one text to the next is a change.
    let moved = |entries: &mut Vec<Stored>| {
        entries[1].texts[0] = "adak".to_owned();
        entries[1].texts[1] = "ey.create".to_owned();
    };
    assert_eq!(tampered(moved), Err((2, Wrong::Changed)));
}

#[test]
fn entries_that_are_gone_moved_or_put_in_are_found() {
    let missing = |seq| Err((seq, Wrong::Missing));
    for place in 0..5 {
        let found = tampered(|entries| drop(entries.remove(place)));
        assert_eq!(found, missing(i64::try_from(place).unwrap() + 1));
    }
    assert_eq!(tampered(|entries| entries.truncate(2)), missing(3));
    assert_eq!(tampered(Vec::clear), missing(1));
    // Numbers kept, contents swapped; then the other way about.
    let swap = |entries: &mut Vec<Stored>| {
        entries.swap(1, 3);
        (entries[1].seq, entries[3].seq) = (2, 4);
    };
    assert_eq!(tampered(swap), Err((2, Wrong::Changed)));
    assert_eq!(tampered(|entries| entries.swap(1, 3)), missing(2));
    let doubled = |entries: &mut Vec<Stored>| entries.insert(2, entries[1].clone());
    assert_eq!(tampered(doubled), Err((2, Wrong::Doubled)));
    // A forged entry with the right hash, and all behind it renumbered.
    let forged = |entries: &mut Vec<Stored>| {
        let mut forged = entries[2].clone();
        forged.texts[0] = "eve".to_owned();
        forged.hash = Some(entries[1].hash.unwrap().then(CHAIN, &forged.row()));
        entries.insert(2, forged);
        entries[3..].iter_mut().for_each(|entry| entry.seq += 1);
    };
    assert_eq!(tampered(forged), Err((4, Wrong::Changed)));
}

/// Something that somebody does to a table; places beyond its end wrap around.
fn edit(entries: &mut Vec<Stored>, kind: usize, here: usize, there: usize) {
    let length = entries.len();
    if length == 0 {
        return;
    }
    let (here, there) = (here % length, there % length);
    let other = entries[there].clone();
    match kind {
        0 => drop(entries.remove(here)),
        1 => entries.insert(here, other),
        2 => {
            // A letter from one text to the next.
            if let Some(letter) = entries[here].texts[there % 3].pop() {
                entries[here].texts[there % 3 + 1].insert(0, letter);
            }
        }
        3 => entries[here].texts = other.texts,
        4 => (entries[here].id, entries[here].at_micros) = (other.id, other.at_micros),
        5 => entries[here].hash = other.hash,
        6 => entries[here].seq = other.seq,
        // Whole rows change places, and take their numbers along or not.
        _ => {
            let seq = entries[here].seq;
            entries[there] = Stored { seq: other.seq, ..entries[here].clone() };
            entries[here] = Stored { seq, ..other };
        }
    }
}

proptest! {
    #[test]
    fn a_chain_passes_only_as_it_was_written(
        texts in vec(["[ab]{0,2}", "[ab]{0,2}", "[ab]{0,2}", "[ab]{0,2}"], 1..6),
        edits in vec((0..8_usize, 0..6_usize, 0..6_usize), 1..4),
    ) {
        let written = chain_of(texts);
        let mut found = written.clone();
        for (kind, here, there) in edits {
            edit(&mut found, kind, here, there);
        }
        // As the table is read.
        found.sort_by_key(|entry| entry.seq);
        prop_assert_eq!(check(&found, end(&written), None).is_ok(), found == written);
    }
}

#[test]
fn the_recorded_head_finds_what_hashes_cannot() {
    let entries = chain(5);
    assert_eq!(check(&entries, end(&entries[..4]), None), Err((5, Wrong::Unrecorded)));
    assert_eq!(check(&entries, None, None), Err((1, Wrong::Unrecorded)));
    let other = Link { seq: 5, hash: ChainHash::START };
    assert_eq!(check(&entries, Some(other), None), Err((5, Wrong::NotRecorded)));
}

#[test]
fn a_signed_head_finds_a_chain_that_was_cut_or_written_anew() {
    let signed = end(&chain(3));
    let mut anew = chain(5);
    anew[0].texts[0] = "eve".to_owned();
    let mut last = ChainHash::START;
    for entry in &mut anew {
        last = last.then(CHAIN, &entry.row());
        entry.hash = Some(last);
    }
    assert_eq!(check(&anew, end(&anew), None), Ok(5));
    assert_eq!(check(&anew, end(&anew), signed), Err((3, Wrong::NotSigned)));
    let cut = chain(2);
    assert_eq!(check(&cut, end(&cut), None), Ok(2));
    assert_eq!(check(&cut, end(&cut), signed), Err((3, Wrong::Missing)));
}

#[test]
fn chains_with_the_same_entries_have_other_hashes() {
    let entry = &chain(1)[0];
    assert_ne!(ChainHash::START.then(Chain::Platform, &entry.row()), entry.hash.unwrap());
}

#[test]
fn a_head_opens_unchanged_with_its_own_key() {
    let signer = |byte: &str| MasterKey::parse(&byte.repeat(32)).unwrap().head_signer().unwrap();
    let key = signer("5a").public_key();
    let at = chrono::DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap();
    let head = Head { chain: CHAIN, link: end(&chain(3)).unwrap(), signed_at: at };
    let text = serde_json::to_string(&signer("5a").sign(head)).unwrap();
    let open = |text: &str, key: HeadKey| key.open(&serde_json::from_str::<SignedHead>(text).unwrap());

    assert_eq!(open(&text, key), Ok(head));
    assert_eq!(open(&text, key.to_string().parse().unwrap()), Ok(head));
    for (from, to) in [
        (r#""seq":3"#, r#""seq":2"#),
        (".123456Z", ".123457Z"),
        ("-000000000007", "-000000000008"),
        (&*head.link.hash.to_string(), &*"00".repeat(32)),
    ] {
        assert!(text.contains(from), "{from} in {text}");
        assert_eq!(open(&text.replace(from, to), key), Err(HeadError::Signature), "{from}");
    }
    let other = signer("5b").public_key();
    assert_eq!(open(&text, other), Err(HeadError::OtherKey { expected: other, found: key }));
    let renamed = text.replace(&key.to_string(), &other.to_string());
    assert_eq!(open(&renamed, other), Err(HeadError::Signature));
    for wrong in ["", "5a", &"5g".repeat(32), &"5a".repeat(33)] {
        assert!(wrong.parse::<HeadKey>().is_err());
    }
}
