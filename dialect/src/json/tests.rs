use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;

const ALLOW: Limits = Limits::RESPONSE;

/// The judge: strict and iterative, and it does not mind numbers out of range or lone surrogates.
fn serde_accepts(raw: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(raw).is_ok()
}

/// The document rebuilt from the tape by the judge's own types.
fn rebuilt(value: Value<'_, '_>) -> serde_json::Value {
    use serde_json::Value as Judge;
    match value.kind() {
        Kind::Null => Judge::Null,
        Kind::Bool => Judge::Bool(value.as_bool().unwrap()),
        Kind::Number => serde_json::from_slice(&value.raw[value.raw()]).unwrap(),
        Kind::String => Judge::String(value.as_str().unwrap().into_owned()),
        Kind::Array => Judge::Array(value.items().map(rebuilt).collect()),
        Kind::Object => Judge::Object(
            value
                .entries()
                .map(|(key, value)| (key.as_str().unwrap().into_owned(), rebuilt(value)))
                .collect(),
        ),
    }
}

fn same_as_judge(raw: &[u8]) {
    let parsed = Document::parse(raw, &Limits::REQUEST);
    assert_eq!(parsed.is_ok(), serde_accepts(raw), "{:?}", String::from_utf8_lossy(raw));
    let Ok(document) = parsed else { return };
    assert_eq!(document.root().raw(), trimmed(raw));
    if let Ok(judge) = serde_json::from_slice::<serde_json::Value>(raw) {
        assert_eq!(rebuilt(document.root()), judge);
    }
}

fn trimmed(raw: &[u8]) -> Range<usize> {
    let start = raw.len() - raw.trim_ascii_start().len();
    start..raw.trim_ascii_end().len()
}

#[test]
fn accepts_and_rejects_like_a_strict_parser() {
    let documents: &[&str] = &[
        "",
        " ",
        "null",
        " true ",
        "false",
        "nul",
        "nulll",
        "True",
        "\u{feff}1",
        "1 2",
        "1,",
        ",",
        "0",
        "-0",
        "00",
        "01",
        "-",
        "+1",
        ".5",
        "1.",
        "1.5",
        "1e",
        "1e5",
        "1E+5",
        "1e-",
        "0x1",
        "1e999",
        "123456789012345678901234567890",
        "NaN",
        "Infinity",
        "'a'",
        "\"",
        "\"a",
        "\"a\"",
        "\"\\\"",
        "\"\\\"\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\ud83d\\ude00\"",
        "\"\\ud83d\"",
        "\"\\ude00\\ud83d\"",
        "\"\t\"",
        "\"\u{0}\"",
        "\"\u{7f}\u{e9}\u{1f600}\"",
        "[]",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1,2]",
        "[[[]],[]]",
        "[}",
        "{]",
        "{}",
        "{",
        "}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1",
        "{\"a\":1,}",
        "{\"a\":1}",
        "{a:1}",
        "{1:2}",
        "{\"a\":1,\"a\":2}",
        "{\"a\":{\"b\":[{},{\"c\":null}]}}",
        "{\"a\" : 1 , \"b\":[ ]}",
        "{\"a\":1}x",
        "// c\n1",
        "/**/1",
        "[1]\n",
        "\u{b}1",
        "\u{a0}1",
        "{\"a\":1 \"b\":2}",
    ];
    for document in documents {
        same_as_judge(document.as_bytes());
    }
}

#[test]
fn says_where_and_what() {
    let cases: &[(&[u8], usize, &str)] = &[
        (b"", 0, "a value"),
        (b"[1 2]", 3, "',' or ']'"),
        (b"{\"a\" 1}", 5, "':'"),
        (b"{\"a\":1,}", 7, "a key"),
        (b"{,}", 1, "a key or '}'"),
        (b"{\"a\":1]", 6, "',' or '}'"),
        (b"{} {}", 3, "the end"),
        (b"\"a\nb\"", 2, "an escaped control character"),
        (b"\"\\q\"", 1, "an escape"),
        (b"\"\\u00\"", 1, "four hex digits behind \\u"),
        (b"\"open", 5, "'\"'"),
        (b"-x", 1, "a digit"),
        (b"\"\xff\"", 1, "UTF-8"),
    ];
    for &(raw, offset, expected) in cases {
        let error = Document::parse(raw, &Limits::REQUEST).unwrap_err();
        assert_eq!(error, JsonError { offset, expected }, "{:?}", String::from_utf8_lossy(raw));
    }
}

#[test]
fn depth_and_nodes_are_limited() {
    let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
    assert!(Document::parse(&nested(128), &Limits::REQUEST).is_ok());
    let error = Document::parse(&nested(129), &Limits::REQUEST).unwrap_err();
    assert_eq!(error, JsonError { offset: 128, expected: "less nesting" });
    // Nothing recurses: a million levels are refused like 129.
    assert!(Document::parse(&vec![b'['; 1_000_000], &Limits::REQUEST).is_err());

    let limits = Limits { nodes: 4, ..Limits::REQUEST };
    assert!(Document::parse(b"[1,2,3]", &limits).is_ok());
    let error = Document::parse(b"[1,2,3,4]", &limits).unwrap_err();
    assert_eq!(error, JsonError { offset: 7, expected: "fewer values" });
}

#[test]
fn bytes_that_are_not_utf8_stand_in_strings_only() {
    assert!(Document::parse(b"\"a\xffb\"", &Limits::REQUEST).is_err());
    let document = Document::parse(b"\"a\xffb\"", &ALLOW).unwrap();
    assert_eq!(document.root().as_str().unwrap(), "a\u{fffd}b");
    assert!(Document::parse(b"[\xff]", &ALLOW).is_err());
}

#[test]
fn strings_come_in_order_with_keys_and_duplicates() {
    let raw = br#"{"a":"x","a":["y\n",{"\u0062":""}]}"#;
    let document = Document::parse(raw, &Limits::REQUEST).unwrap();
    let strings: Vec<_> = document
        .strings()
        .map(|span| (String::from_utf8(raw[span.raw].to_vec()).unwrap(), span.escaped, span.is_key))
        .collect();
    let expected = [
        ("a", false, true),
        ("x", false, false),
        ("a", false, true),
        ("y\\n", true, false),
        ("\\u0062", true, true),
        ("", false, false),
    ];
    assert_eq!(strings, expected.map(|(text, escaped, key)| (text.to_owned(), escaped, key)));
}

#[test]
fn values_are_read_by_type() {
    let raw = br#" {"m\u006fdel":"a","n":18446744073709551615,"big":18446744073709551616,"f":1.0,
        "e":1e2,"neg":-1,"t":true,"z":null,"list":[1,[2],3],"dup":1,"dup":2} "#;
    let document = Document::parse(raw, &Limits::REQUEST).unwrap();
    let root = document.root();
    assert!(root.get("model").unwrap().is("a"));
    assert_eq!(root.get("n").unwrap().as_u64(), Some(u64::MAX));
    for name in ["big", "f", "e", "neg", "t", "model"] {
        assert_eq!(root.get(name).unwrap().as_u64(), None, "{name}");
    }
    assert_eq!(root.get("t").unwrap().as_bool(), Some(true));
    assert!(root.get("z").unwrap().is_null());
    assert_eq!(root.get("dup").unwrap().as_u64(), Some(2));
    let list = root.get("list").unwrap();
    let kinds: Vec<_> = list.items().map(|item| item.kind()).collect();
    assert_eq!(kinds, [Kind::Number, Kind::Array, Kind::Number]);
    assert_eq!(&raw[list.raw()], b"[1,[2],3]");
    assert_eq!(&raw[root.get("model").unwrap().raw()], b"\"a\"");
    assert_eq!((list.entries().count(), root.items().count()), (0, 0));
    assert!(root.get("absent").is_none());
}

#[test]
fn offsets_never_land_inside_a_character() {
    // (raw, decoded offset, floor, ceil)
    let cases: &[(&str, usize, usize, usize)] = &[
        ("abc", 1, 1, 1),
        ("abc", 9, 3, 3),
        (r"\n", 0, 0, 0),
        (r"\n", 1, 2, 2),
        (r"a\u00e9b", 1, 1, 1),
        (r"a\u00e9b", 2, 1, 7),
        (r"a\u00e9b", 3, 7, 7),
        (r"\ud83d\ude00!", 1, 0, 12),
        (r"\ud83d\ude00!", 4, 12, 12),
        (r"\ud83dx", 2, 0, 6),
        (r"\ud83dx", 3, 6, 6),
        (r"\ud83d\u0041", 3, 6, 6),
        ("\u{e9}x", 1, 0, 2),
        ("\\n\u{20ac}x", 2, 2, 5),
        ("\\n\u{20ac}x", 4, 5, 5),
    ];
    for &(raw, decoded, floor, ceil) in cases {
        let mut offsets = RawOffsets::new(raw.as_bytes());
        assert_eq!(offsets.floor(decoded), floor, "floor of {decoded} in {raw}");
        assert_eq!(offsets.ceil(decoded), ceil, "ceil of {decoded} in {raw}");
        assert_eq!(raw_offset(raw.as_bytes(), decoded), floor);
    }
}

#[test]
fn edits_out_of_order_uncover_nothing() {
    let edits = [Splice::new(2..6, b"A".as_slice()), Splice::new(4..20, b"B".as_slice())];
    assert_eq!(splice(b"0123456789", &edits), b"01AB");
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        text().prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec((text(), inner), 0..6)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z ]{0,12}", "[\\x00-\\x1f\"\\\\/a\u{e9}\u{20ac}\u{1f600}]{0,12}", any::<String>()]
}

/// The inside of a valid JSON string, with escapes of every sort.
fn raw_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-z @.]{1,4}",
        1 => Just("\u{e9}".to_owned()),
        1 => Just("\u{1f600}".to_owned()),
        2 => "\\\\[\"\\\\/bfnrt]",
        2 => "\\\\u[0-9a-fA-F]{4}",
        2 => "\\\\ud[89ab][0-9a-f]{2}",
        1 => "\\\\ud[c-f][0-9a-f]{2}",
        1 => Just("\\ud83d\\ude00".to_owned()),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// The raw boundaries between characters and where they stand in the decoded text, found by
/// decoding every prefix: slow, and obviously right.
fn boundaries(raw: &str) -> Vec<(usize, usize)> {
    let whole = unescape(raw.as_bytes());
    (0..=raw.len())
        .filter(|&at| raw.is_char_boundary(at))
        .filter_map(|at| {
            let (before, behind) = (unescape(&raw.as_bytes()[..at]), unescape(&raw.as_bytes()[at..]));
            let boundary = serde_accepts(format!("\"{}\"", &raw[..at]).as_bytes())
                && serde_accepts(format!("\"{}\"", &raw[at..]).as_bytes())
                && [before.as_ref(), behind.as_ref()].concat() == *whole;
            boundary.then_some((at, before.len()))
        })
        .collect()
}

#[test]
fn long_integers_are_found_wherever_they_stand() {
    let cases: &[(&str, &[&str])] = &[
        (r#"{"card":4111111111111111}"#, &["4111111111111111"]),
        ("411111111111", &["411111111111"]),
        ("41111111111", &[]),
        ("-41111111111", &[]),
        ("-411111111111", &["-411111111111"]),
        ("[411111111111.0,411111111111.000,411111111111.01]", &["411111111111.0", "411111111111.000"]),
        (
            "[411111111111e0,411111111111E+2,411111111111.0e0,4.11111111111e11,41111111111100e-2,-4.11111111111E11]",
            &[
                "411111111111e0",
                "411111111111E+2",
                "411111111111.0e0",
                "4.11111111111e11",
                "41111111111100e-2",
                "-4.11111111111E11",
            ],
        ),
        ("[4.1e11,4.111111111111e2,41111111111111e-1,4.11111111111e99,4.11111111111e99999999999]", &[]),
        ("[-0.02345678901234567,1780000000.123456,0.000000000000000]", &[]),
        (r#"["411111111111",{"411111111111":1}]"#, &[]),
        (r#"{"a":[{"b": 123456789012 }],"a":210987654321}"#, &["123456789012", "210987654321"]),
    ];
    for (raw, expected) in cases {
        let document = Document::parse(raw.as_bytes(), &Limits::REQUEST).unwrap();
        let found: Vec<_> = document.long_integers().map(|range| &raw[range]).collect();
        assert_eq!(found, *expected, "{raw}");
    }
}

#[test]
fn exponents_are_undone() {
    for (written, plain) in [
        ("4.111111111111111e15", "4111111111111111"),
        ("-4111111111111111E0", "4111111111111111"),
        ("0.0041111111111e14", "411111111110"),
        ("411111111111100e-2", "4111111111111"),
        ("4111111111111111.0", "4111111111111111.0"),
        ("1.5e-7", "1.5e-7"),
        ("0e0", "0e0"),
    ] {
        assert_eq!(plain_integer(written.as_bytes()), plain.as_bytes(), "{written}");
    }
}

proptest! {
    #[test]
    fn documents_read_like_the_judge(value in json(), pretty: bool) {
        let raw = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) };
        same_as_judge(&raw.unwrap());
    }

    #[test]
    fn mutated_documents_read_like_the_judge(
        value in json(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..3u8, any::<u8>()), 1..4),
    ) {
        const LIKELY: &[u8] = b"{}[]:,\"\\u0- \n\x00e.t1\xff";
        let mut raw = serde_json::to_vec(&value).unwrap();
        for (at, change, byte) in changes {
            let byte = LIKELY[usize::from(byte) % LIKELY.len()];
            let at = at.index(raw.len() + 1);
            match change {
                0 if at < raw.len() => raw[at] = byte,
                1 if at < raw.len() => drop(raw.remove(at)),
                _ => raw.insert(at, byte),
            }
        }
        same_as_judge(&raw);
    }

    #[test]
    fn arbitrary_bytes_never_panic(raw: Vec<u8>) {
        same_as_judge(&raw);
        let _ = Document::parse(&raw, &ALLOW);
        let decoded = unescape(&raw).len();
        let mut offsets = RawOffsets::new(&raw);
        for at in 0..=decoded + 1 {
            let (floor, ceil) = (offsets.floor(at), offsets.ceil(at));
            assert!(floor <= ceil && ceil <= raw.len());
        }
    }

    #[test]
    fn escaped_text_reads_back(text: String) {
        let mut raw = vec![b'"'];
        escape(&text, &mut raw);
        raw.push(b'"');
        assert_eq!(serde_json::from_slice::<String>(&raw).unwrap(), text);
        assert_eq!(unescape(&raw[1..raw.len() - 1]).as_ref(), text.as_bytes());
    }

    #[test]
    fn offsets_are_the_boundaries_around(raw in raw_text()) {
        let boundaries = boundaries(&raw);
        let decoded = unescape(raw.as_bytes()).len();
        let mut offsets = RawOffsets::new(raw.as_bytes());
        for at in 0..=decoded {
            let floor = boundaries.iter().rfind(|(_, text)| *text <= at).unwrap().0;
            let ceil = boundaries.iter().find(|(_, text)| *text >= at).unwrap().0;
            assert_eq!((offsets.floor(at), offsets.ceil(at)), (floor, ceil), "{at} in {raw}");
            assert_eq!(raw_offset(raw.as_bytes(), at), floor);
        }
    }

    #[test]
    fn masking_any_decoded_range_keeps_the_json_valid(
        texts in prop::collection::vec(raw_text(), 1..4),
        range in (0usize..40, 0usize..40),
    ) {
        let raw = format!("[\"{}\"]", texts.join("\",\""));
        let document = Document::parse(raw.as_bytes(), &Limits::REQUEST).unwrap();
        let (start, end) = (range.0.min(range.1), range.0.max(range.1));
        let edits: Vec<_> = document
            .strings()
            .map(|span| {
                let mut offsets = RawOffsets::new(&raw.as_bytes()[span.raw.clone()]);
                let start = span.raw.start + offsets.floor(start);
                Splice::new(start..span.raw.start + offsets.ceil(end), b"[X]".as_slice())
            })
            .collect();
        let masked = splice(raw.as_bytes(), &edits);
        let masked = Document::parse(&masked, &Limits::REQUEST).unwrap();
        assert_eq!(masked.strings().count(), document.strings().count());
        for (masked, plain) in masked.root().items().zip(document.root().items()) {
            let plain = plain.as_str().unwrap();
            let keep = |at: usize| plain.is_char_boundary(at.min(plain.len()));
            if keep(start) && keep(end) {
                let (start, end) = (start.min(plain.len()), end.min(plain.len()));
                let expected = format!("{}[X]{}", &plain[..start], &plain[end..]);
                assert_eq!(masked.as_str().unwrap(), expected);
            }
        }
    }
}

#[test]
fn integers_are_the_same_however_they_are_written() {
    let cases = [
        ("0", Some(0)),
        ("-0", Some(0)),
        ("0.000", Some(0)),
        ("0e99999999", Some(0)),
        ("1", Some(1)),
        ("1.0", Some(1)),
        ("1e0", Some(1)),
        ("10E-1", Some(1)),
        ("0.1e+1", Some(1)),
        ("1.5e1", Some(15)),
        ("12e2", Some(1200)),
        ("4294967296", Some(4_294_967_296)),
        ("1.5", None),
        ("-1", None),
        ("1e-1", None),
        ("1e20", None),
        ("1e99999999999", None),
        ("\"1\"", None),
        ("null", None),
    ];
    for (text, expected) in cases {
        let document = Document::parse(text.as_bytes(), &Limits::RESPONSE).unwrap();
        assert_eq!(document.root().as_integer(), expected, "{text}");
    }
}
