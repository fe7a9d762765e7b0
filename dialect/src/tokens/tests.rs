use super::*;

/// Samples of what people and models write, and how far the table may be off for them, in percent of `o200k_base`.
const TEXTS: &[(&str, &str, i64, i64)] = &[
    ("english", include_str!("../../testdata/texts/english.txt"), 0, 15),
    ("german", include_str!("../../testdata/texts/german.txt"), -5, 15),
    ("french", include_str!("../../testdata/texts/french.txt"), 0, 15),
    ("russian", include_str!("../../testdata/texts/russian.txt"), 0, 35),
    ("arabic", include_str!("../../testdata/texts/arabic.txt"), -5, 15),
    ("hindi", include_str!("../../testdata/texts/hindi.txt"), 0, 45),
    ("thai", include_str!("../../testdata/texts/thai.txt"), -15, 5),
    ("chinese", include_str!("../../testdata/texts/chinese.txt"), 0, 15),
    ("japanese", include_str!("../../testdata/texts/japanese.txt"), 0, 20),
    ("korean", include_str!("../../testdata/texts/korean.txt"), 0, 30),
    ("emoji", include_str!("../../testdata/texts/emoji.txt"), 0, 15),
    ("code", include_str!("../../testdata/texts/code.txt"), 0, 15),
    ("markdown", include_str!("../../testdata/texts/markdown.txt"), -5, 10),
    ("json", include_str!("../../testdata/texts/data.json.txt"), -5, 10),
    ("digits", include_str!("../../testdata/texts/digits.txt"), -5, 10),
    ("identifiers", include_str!("../../testdata/texts/identifiers.txt"), -10, 10),
];

fn table(pieces: impl Iterator<Item = impl AsRef<[u8]>>) -> u64 {
    let mut counter = Counter::default();
    pieces.for_each(|piece| counter.push(piece.as_ref()));
    counter.tokens()
}

fn off_by(counted: u64, exact: u64) -> i64 {
    (counted as i64 - exact as i64) * 100 / exact as i64
}

#[test]
fn the_table_is_about_right_for_whole_texts() {
    for (name, text, least, most) in TEXTS {
        let exact = Encoding::O200k.count(text.as_bytes());
        let off = off_by(table([text].iter()), exact);
        println!(
            "{name:<12} {exact:>5} tokens, table {off:>+4} %, bytes / 4 {:>+4} %",
            off_by(text.len() as u64 / 4, exact)
        );
        assert!((*least..=*most).contains(&off), "{name}: off by {off} %");
    }
}

#[test]
fn the_table_is_on_the_high_side_for_texts_that_come_in_pieces() {
    for (name, text, ..) in TEXTS {
        let tokens = Encoding::O200k.table().encode(text);
        for size in [1, 4] {
            let pieces = tokens.chunks(size).map(|piece| Encoding::O200k.table().decode(piece));
            let off = off_by(table(pieces), tokens.len() as u64);
            println!("{name:<12} in pieces of {size}: {off:>+4} %");
            let least = if size == 1 { 0 } else { -10 };
            assert!((least..=50).contains(&off), "{name} in pieces of {size} tokens: off by {off} %");
        }
    }
}

#[test]
fn noise_is_not_counted_as_one_word() {
    for (name, text, least) in [
        ("one letter", "a".repeat(4_000), -10),
        ("letters", "xqzjkvwpf".repeat(400), -30),
        ("capitals", "QXZJKVWP".repeat(400), -30),
        ("digits", "7".repeat(4_000), -5),
        ("accents", "\u{301}".repeat(2_000), -55),
    ] {
        let off = off_by(table([&text].into_iter()), Encoding::O200k.count(text.as_bytes()));
        assert!(off >= least, "{name}: off by {off} %");
    }
}

#[test]
fn encodings_count_as_their_owner_does() {
    for (text, o200k, cl100k) in [
        ("", 0, 0),
        ("hello world", 2, 2),
        ("antidisestablishmentarianism", 6, 6),
        ("2 + 2 = 4", 7, 7),
        ("お誕生日おめでとう", 8, 9),
    ] {
        assert_eq!(Encoding::O200k.count(text.as_bytes()), o200k, "{text}");
        assert_eq!(Encoding::Cl100k.count(text.as_bytes()), cl100k, "{text}");
    }
    assert_eq!(Encoding::O200k.count(b"\xff\xfe"), Encoding::O200k.count("\u{fffd}\u{fffd}".as_bytes()));
}

#[test]
fn a_long_text_is_counted_in_pieces() {
    for text in ["ä".repeat(PIECE_BYTES), "word ".repeat(PIECE_BYTES), "a".repeat(3 * PIECE_BYTES)] {
        let (whole, pieces) =
            (Encoding::O200k.table().count(&text) as u64, Encoding::O200k.count(text.as_bytes()));
        assert!((whole..=whole + whole / 100 + 2).contains(&pieces), "{pieces} for {whole}");
    }
}

#[test]
fn models_have_the_encoding_that_their_names_tell() {
    for (model, encoding) in [
        ("gpt-4o-2024-08-06", Some(Encoding::O200k)),
        ("ft:gpt-4o-mini-2024-07-18:acme::abc", Some(Encoding::O200k)),
        ("groq/openai/gpt-oss-20b", Some(Encoding::O200k)),
        ("o4-mini", Some(Encoding::O200k)),
        ("gpt-4-turbo", Some(Encoding::Cl100k)),
        ("text-embedding-3-large", Some(Encoding::Cl100k)),
        ("gpt-6-luna", None),
        ("gemini-2.5-pro", None),
        ("", None),
    ] {
        assert_eq!(Encoding::of(model), encoding, "{model}");
    }
}

#[test]
fn no_text_is_more_tokens_than_bytes() {
    proptest::proptest!(proptest::prelude::ProptestConfig::with_cases(64), |(text in "\\PC{0,200}")| {
        proptest::prop_assert!(Encoding::O200k.count(text.as_bytes()) <= text.len() as u64);
        proptest::prop_assert!(Encoding::Cl100k.count(text.as_bytes()) <= text.len() as u64);
    });
}
