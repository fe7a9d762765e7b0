//! Every notation, alone and around another, what stays alone, and what it may cost.

use std::sync::Arc;

use crate::{
    Action, CompileLimits, CustomDetector, CustomPattern, Detector, Rule, RuleSet, ValueKey, apply_edits,
    catalogue,
};

const CARD: &str = "4111 1111 1111 1111";
const EMAIL: &str = "jane.miller@example.com";

fn rules(action: Action) -> RuleSet {
    let detectors = ["CREDIT_CARD", "EMAIL_ADDRESS", "AWS_ACCESS_KEY_ID"].into_iter();
    let detectors = detectors.flat_map(|selector| catalogue().select(selector));
    let rules = detectors.map(|detector| Rule::new(Arc::clone(detector), action)).collect();
    RuleSet::new(rules, Vec::new())
}

fn masked(text: &str) -> String {
    let edits = rules(Action::Mask).scan_deep(text.as_bytes()).scan.edits;
    String::from_utf8(apply_edits(text.as_bytes(), &edits)).unwrap()
}

fn check(text: &str, expected: &str) {
    let found = rules(Action::Mask).scan_deep(text.as_bytes());
    let masked = apply_edits(text.as_bytes(), &found.scan.edits);
    assert_eq!(String::from_utf8(masked).unwrap(), expected, "{text}");
    assert!(found.complete, "{text}");
    assert!(found.scan.edits.windows(2).all(|pair| pair[0].end <= pair[1].start), "{text}");
    let blocks = rules(Action::Block).scan_deep(text.as_bytes()).scan.blocked.is_some();
    assert_eq!(blocks, text != expected, "{text}");
}

fn base64(text: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |group: &[u8]| {
        let bits = group.iter().chain(&[0, 0]).take(3).fold(0, |bits, &byte| bits << 8 | usize::from(byte));
        let digits = (0..4).map(|at| char::from(DIGITS[bits >> (18 - 6 * at) & 63])).collect::<String>();
        format!("{}{}", &digits[..=group.len()], "=".repeat(3 - group.len()))
    };
    text.chunks(3).map(group).collect()
}

fn hex(text: &[u8]) -> String {
    text.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn in_lines(text: &str, len: usize) -> Vec<String> {
    text.as_bytes().chunks(len).map(|line| String::from_utf8_lossy(line).into()).collect()
}

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

fn each(text: &str, escape: impl Fn(u8) -> String) -> String {
    text.bytes().map(escape).collect()
}

#[test]
fn escapes_are_undone_where_they_stand() {
    let encoded = [
        each(EMAIL, |byte| format!("%{byte:02X}")),
        each(EMAIL, |byte| format!("&#{byte};")),
        each(EMAIL, |byte| format!("&#x{byte:X};")),
        each(EMAIL, |byte| format!("&#00{byte}")),
        each(EMAIL, |byte| format!("\\u{byte:04x}")),
        each(EMAIL, |byte| format!("\\x{byte:02x}")),
        each(EMAIL, |byte| format!("\\\\u{byte:04x}")),
        each(EMAIL, |byte| format!("\\\\x{byte:02X}")),
        each(EMAIL, |byte| format!("\\\\\\\\u{byte:04X}")),
        each(EMAIL, |byte| format!("\\u{{{byte:x}}}")),
        each(EMAIL, |byte| format!("\\U{byte:08x}")),
        each(EMAIL, |byte| format!("\\{byte:03o}")),
        each(EMAIL, |byte| {
            if byte.is_ascii_punctuation() {
                format!("\\{}", char::from(byte))
            } else {
                char::from(byte).into()
            }
        }),
        EMAIL.replace("mil", "m\\\\udb40\\\\udc01il"),
        each(EMAIL, |byte| format!("={byte:02X}")),
        EMAIL.replace('@', "%40"),
        EMAIL.replace('@', "&commat;").replace('.', "&period;"),
        EMAIL.replace('@', "%EF%BC%A0"),
        EMAIL.replace("mil", "m&shy;il"),
        EMAIL.replace("mil", "m&zwnj;i&NegativeVeryThinSpace;l"),
        EMAIL.replace('@', &format!("&#x{}40;", "0".repeat(40))),
        EMAIL.replace('@', &format!("&#{}64;", "0".repeat(40))),
        EMAIL.replace("mil", "&Mopf;&shy&iscr;l"),
        EMAIL.replace('@', "&AMP;#64;"),
        EMAIL.replace("mil", "m\\\nil"),
        EMAIL.replace("mil", "m\\\r\nil"),
        each(EMAIL, |byte| format!("%u{byte:04x}")),
        EMAIL.replace("mil", "m=\r\nil"),
        EMAIL.replace("mil", "m=\nil"),
        EMAIL.replace('@', "%2540"),
        EMAIL.replace('@', "&amp;#64;"),
        EMAIL.replace('@', "%26%2364%3B"),
    ];
    for encoded in encoded {
        check(&format!("a {encoded}, b 50% &c \\d =e"), "a [EMAIL_ADDRESS], b 50% &c \\d =e");
    }
}

#[test]
fn names_of_characters_are_undone() {
    assert!(super::entities::NAMES.is_sorted(), "they are searched");
    for space in
        ["&nbsp;", "&nbsp", "&NonBreakingSpace;", "&hairsp;", "&numsp;", "&VeryThinSpace;", "&NewLine;"]
    {
        check(&format!("a {} b", CARD.replacen(' ', space, 1)), "a [CREDIT_CARD] b");
    }
    let terms = ["Zürich Plan", "blue_falcon"].map(str::to_owned).into();
    let pattern = CustomPattern::Terms { terms, ignore_case: false };
    let spec = CustomDetector { id: "OWN".into(), pattern };
    let detector = Detector::custom(&spec, &CompileLimits::default()).unwrap();
    let rules = RuleSet::new(vec![Rule::new(Arc::new(detector), Action::Mask)], Vec::new());
    for text in [
        "Z&uuml;rich&ensp;Plan",
        "&Zopf;&uuml;ri&ccaron;h Plan",
        "blue&UnderBar;f&acy;lcon",
        "b&ell;ue&lowbar;falcon",
    ] {
        let edits = rules.scan_deep(text.as_bytes()).scan.edits;
        let masked = apply_edits(text.as_bytes(), &edits);
        let expected = if text.contains("ccaron") { text } else { "[OWN]" };
        assert_eq!(String::from_utf8(masked).unwrap(), expected);
    }
    check("fn of(&params, &mut notes, &copy) -> &section", "fn of(&params, &mut notes, &copy) -> &section");
}

#[test]
fn only_what_was_encoded_is_masked() {
    check("https://x.example/?q=jane%40example.com&n=%31", "https://x.example/?q=[EMAIL_ADDRESS]&n=%31");
    check("%41 bob@example.com %42 jane%40example.com", "%41 [EMAIL_ADDRESS] %42 [EMAIL_ADDRESS]");
    check(
        "100% of &all C:\\users\\xavier %zz &nosuch; \\u12 =",
        "100% of &all C:\\users\\xavier %zz &nosuch; \\u12 =",
    );
    let far = "word ".repeat(1000);
    check(&format!("%41 {far}jane%40example.com {far}%42"), &format!("%41 {far}[EMAIL_ADDRESS] {far}%42"));
}

#[test]
fn runs_that_hold_text_are_masked_whole() {
    let letter = format!("Dear Bob, please write to {EMAIL} or charge {CARD} for it. Thanks.");
    let standard = base64(letter.as_bytes());
    let url_safe = standard.replace('+', "-").replace('/', "_").trim_end_matches('=').to_owned();
    let lines = in_lines(&standard, 40);
    let encoded = [
        standard.clone(),
        url_safe,
        lines.join("\n"),
        lines.join("\r\n"),
        lines.join("\\n"),
        lines.join("\n    "),
        lines.join("\n\t"),
        lines.join("\r\n> "),
        lines.join(" \n"),
        lines.join("\" +\n  \""),
        lines.join("\\n\"\n\""),
        lines.join("',\n '"),
        lines.join("\\\n"),
        base64(&utf16(&letter, u16::to_le_bytes)),
        base64(&utf16(&letter, u16::to_be_bytes)),
        hex(&utf16(&letter, u16::to_le_bytes)),
        in_lines(&hex(letter.as_bytes()), 64).join("\n  "),
        each(&letter, |byte| format!("{byte:02x} ")).trim_end().to_owned(),
        each(&letter, |byte| format!("{byte:02X}:")).trim_end_matches(':').to_owned(),
        each(&letter, |byte| format!("0x{byte:02x}, ")).trim_end_matches(", ").to_owned(),
        each(&letter, |byte| format!("{byte:02x} ")) + "80 ".repeat(60).trim_end(),
        in_lines(&each(&letter, |byte| format!("{byte:02x} ")), 48).join("\n    ").trim_end().to_owned(),
        hex(letter.as_bytes()),
        hex(letter.as_bytes()).to_uppercase(),
        base64(standard.as_bytes()),
        base64(hex(letter.as_bytes()).as_bytes()),
        hex(standard.as_bytes()),
        base64(each(&letter, |byte| format!("%{byte:02x}")).as_bytes()),
    ];
    for encoded in encoded {
        let found = rules(Action::Mask).scan_deep(format!("see {encoded} there").as_bytes());
        assert_eq!(found.scan.edits.len(), 1, "{encoded}");
        let masked = apply_edits(format!("see {encoded} there").as_bytes(), &found.scan.edits);
        let masked = String::from_utf8(masked).unwrap();
        assert!(masked == "see [EMAIL_ADDRESS] there" || masked == "see [CREDIT_CARD] there", "{masked}");
    }
    check(&format!("path/{}", base64(b"AKIAHT5RMGN3GNRY2345 is it")), "path/[AWS_ACCESS_KEY_ID]");
    check(&format!("0x{}", hex(b"AKIAHT5RMGN3GNRY2345")), "0x[AWS_ACCESS_KEY_ID]");
    check(&base64(EMAIL.as_bytes()).replace("=", "%3D"), "[EMAIL_ADDRESS]");
}

/// A text in tags.
fn tags(text: &str) -> String {
    text.bytes().filter_map(|byte| char::from_u32(0xe0000 + u32::from(byte))).collect()
}

/// A text in variation selectors.
fn selectors(text: &str) -> String {
    let first = |byte: u8| if byte < 16 { 0xfe00 } else { 0xe0100 - 16 };
    text.bytes().filter_map(|byte| char::from_u32(first(byte) + u32::from(byte))).collect()
}

#[test]
fn what_shows_nothing_is_read_too() {
    let key = "AKIAHT5RMGN3GNRY2345";
    for spelled in [tags as fn(&str) -> String, selectors] {
        check(&format!("see{}there", spelled(key)), "see[AWS_ACCESS_KEY_ID]there");
        check(&spelled(EMAIL), "[EMAIL_ADDRESS]");
        let letter = format!("mail {EMAIL} now");
        let [before, after] = ["mail ", " now"].map(spelled);
        check(&format!("\u{1f600}{}", spelled(&letter)), &format!("\u{1f600}{before}[EMAIL_ADDRESS]{after}"));
        let apart: String = spelled(key).chars().flat_map(|c| [c, '\u{200b}']).collect();
        check(&format!("see{apart}there"), "see[AWS_ACCESS_KEY_ID]\u{200b}there");
        check(&format!("a {} b", spelled(&base64(letter.as_bytes()))), "a [EMAIL_ADDRESS] b");
    }
    // Half of it shows.
    check(&format!("a {}{} b", &key[..9], tags(&key[9..])), "a [AWS_ACCESS_KEY_ID] b");
    // What is strewn into a value hides nothing, and what says nothing stays.
    check(&format!("a {} b", CARD.replace(' ', &tags("x "))), "a [CREDIT_CARD] b");
    let harmless =
        format!("\u{1f3f4}{}\u{e007f} \u{2764}\u{fe0f} {}", tags("gbeng"), selectors("hello, world"));
    check(&harmless, &harmless);
    let in_request = rules(Action::Mask).scan_deep(tags("jane").as_bytes());
    assert!(in_request.goes_on, "it may go on in the next text");
}

#[test]
fn lines_that_are_no_text_hide_none_behind_them() {
    let value = base64(format!("mail {EMAIL} or charge it now").as_bytes());
    let names = "aNameOfSomeThirtyLetters0123456\n".repeat(3);
    let other = base64(b"nothing to see in this line of text");
    for before in [names.clone(), format!("{other}AA\n"), format!("\"{other}A\",\n"), "41424344\n".repeat(4)]
    {
        let masked = masked(&format!("see {before}{value} there"));
        assert!(masked.ends_with("[EMAIL_ADDRESS] there"), "{masked}");
    }
    let hex = hex(EMAIL.as_bytes());
    let masked = masked(&format!("{names}4142\nnoHex\n{hex} there"));
    assert!(masked.ends_with("[EMAIL_ADDRESS] there"), "{masked}");
}

#[test]
fn a_value_in_another_notation_is_masked_whole() {
    let card = Rule::new(Arc::clone(catalogue().select("CREDIT_CARD")[0]), Action::Mask).keeping_last(4);
    let email = Rule::new(Arc::clone(catalogue().select("EMAIL_ADDRESS")[0]), Action::Tokenize);
    let rules = RuleSet::new(vec![card, email], Vec::new()).with_value_key(ValueKey::new(b"encoded"));
    for (text, expected) in [
        ("4111 1111 1111 %31%31%31%31", "[CREDIT_CARD]"),
        ("%34111 1111 1111 1111", "[CREDIT_CARD]"),
        ("jane.miller%40example.com", "[EMAIL_ADDRESS]"),
        (&base64(EMAIL.as_bytes()), "[EMAIL_ADDRESS]"),
        (CARD, "[CREDIT_CARD]1111"),
    ] {
        let edits = rules.scan_deep(text.as_bytes()).scan.edits;
        assert_eq!(String::from_utf8(apply_edits(text.as_bytes(), &edits)).unwrap(), expected, "{text}");
    }
}

#[test]
fn what_holds_no_text_is_left_alone() {
    let noise: Vec<u8> = (0..3000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
    let texts = [
        base64(&noise),
        hex(&noise),
        "a_name_of_more_than_twenty_four_letters_in_snake_case".to_owned(),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".to_owned(),
        each(&"nothing to see here ".repeat(3), |byte| format!("{byte:02x} ")),
        "99 98 97 96 95 94 93 92 91 90 89 88 87 86 85".to_owned(),
        "00:1b:44:11:3a:b7 2026-11-21 12:30:45 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b".to_owned(),
        "-".repeat(80),
        "=".repeat(80),
        base64(b"nothing to see in this text, it is only encoded"),
        base64(b"short@x.example"),
    ];
    for text in texts {
        check(&text, &text);
    }
}

/// Three times around each other is out of reach; the depth is a promise both ways.
#[test]
fn depth_is_limited() {
    let twice = base64(base64(EMAIL.repeat(3).as_bytes()).as_bytes());
    check(&base64(twice.as_bytes()), &base64(twice.as_bytes()));
}

#[test]
fn more_than_the_allowance_is_reported() {
    // Each escape is undone once per level and notation, and so is what it becomes.
    let text = "=3D=3D%3D%3D&#61;".repeat(10_000);
    let found = rules(Action::Mask).scan_deep(text.as_bytes());
    assert!(found.complete && found.scan.clean());
    let mut allowance =
        super::Allowance { bytes: 100, depth: 2, complete: true, goes_on: false, decoded: false };
    assert!(rules(Action::Mask).scan_with_decoded(text.as_bytes(), &mut allowance).clean());
    assert!(!allowance.complete);
}

#[test]
fn values_by_the_ten_thousand_are_told_once_each() {
    // Whatever compares each with each takes minutes here.
    const COUNT: usize = 40_000;
    let email = |number: usize| format!("u{number:05}@mail.example.com");
    let runs: String = (0..COUNT).map(|number| base64(email(number).as_bytes()) + " ").collect();
    let escapes: String = (0..COUNT).map(|number| email(number).replace('@', "%40") + " ").collect();
    for text in [runs, escapes] {
        let found = rules(Action::Mask).scan_deep(text.as_bytes());
        assert_eq!((found.scan.matches.len(), found.scan.edits.len()), (COUNT, COUNT));
    }
}

#[test]
fn a_value_cut_off_by_the_end_of_a_stretch_hides_nothing_after_it() {
    let key = "AKIAHT5RMGN3GNRY2345";
    for shift in 0..40 {
        let before = format!("{}{key} ", "x".repeat(2000));
        let gap = "y".repeat(super::REACH_BYTES - 10 - shift);
        let text = format!("{before}{gap} jane%40example.com");
        let scan = rules(Action::Block).scan_deep(text.as_bytes()).scan;
        assert!(scan.blocked.is_some(), "{shift}");
        assert_eq!(scan.matches.last(), scan.blocked.as_ref());
    }
}

#[test]
fn a_plain_value_beside_an_escape_is_found() {
    let cases = [
        ("https://x.example/?q=is%20AKIAIOSFODNN7EXAMPLE", "https://x.example/?q=is%20[AWS_ACCESS_KEY_ID]"),
        ("k%3AAKIAIOSFODNN7EXAMPLE%20ok", "k%3A[AWS_ACCESS_KEY_ID]%20ok"),
        ("c%204111111111111111", "c%20[CREDIT_CARD]"),
        ("is=20AKIAIOSFODNN7EXAMPLE", "is=20[AWS_ACCESS_KEY_ID]"),
        (r"is\x20AKIAIOSFODNN7EXAMPLE", r"is\x20[AWS_ACCESS_KEY_ID]"),
    ];
    for (text, expected) in cases {
        check(text, expected);
    }
}
