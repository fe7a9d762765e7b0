//! Made-up values of every kind, and texts in which they touch.

use proptest::prelude::*;

use crate::catalogue;

/// One value of every built-in detector and of the custom ones.
pub(super) fn samples() -> Vec<String> {
    let custom = ["Blue Falcon crest", "EMP-123456-AB"].map(str::to_owned);
    catalogue::samples().iter().map(catalogue::Sample::text).chain(custom).collect()
}

/// Texts that once were, or easily could be, judged wrongly.
pub(super) const ADVERSARIAL: &[&str] = &[
    "here AKIAHT5RMGN3GNRY9452 to river a of fox customer bank",
    "here AKIAHT5RMGN3GNRYABCD to river a of fox customer bank",
    "",
    "a",
    "@",
    "no match here at all, only words",
    "card 4111 1111 1111 1111 12 and 2 4111111111111111",
    "4111.1111-1111 1111 4111 1111\r\n1111\t1111 4111\n1111\n1111\n1111 4.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1 07/8.05-1120",
    "GB82 WEST 1234 5698 7654 32 more words ABC DE",
    "GB82-WEST-1234-5698-7654-32 GB82.WEST.1234 5698.7654.32 078.05.1120 4111/1111/1111/1111/4111 1111  1111  1111",
    "GB82 WEST 1234\r\n5698 7654 32 GB82 WEST\n1234\n5698 7654 32 GB82\n\nWEST 1234 5698 7654 32",
    "GB82WEST12345698765432@example.com GB82 4111 1111 1111 1111",
    "4111-1111-1111-1111@example.com",
    "jane@müller-bücher.de jane@例え.example.jp jane@例え.テスト 请写信给jane@example.com。谢谢 jane@é\u{200b}é.de.",
    "first.last@acme.example and other.first.last@acme.example and first.last@acme.example.org",
    "blue falcon crest, BLUE FALCON, falcon crest, blue blue falconfalcon crest",
    "blue  falcon\tcrest blue\r\n  falcon blue     falcon blue \u{200b}\n falcon\n\n\ncrest",
    "EMP-123456-AB EMP-1234 EMP-123456-ABC EMP-12",
    "078-05-1120 078-05-11201 415-555-0132 (415) 555-0132 +1 (415) 555-0132",
    "+49 30 1234567890123456789 +1+2+3+4155550132",
    "192.0.2.1.2.3 2001:db8::1 fe80::1:2:3 1:2:3:4:5:6:7:8:9 12:30:45 std::fmt::a::b",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQ jane@example.com\n-----END RSA PRIVATE KEY----- after",
    "-----BEGIN PRIVATE KEY-----\\nMIIE\\nAKIAHT5RMGN3GNRYABCD\\n\\x rest 078-05-1120",
    "-----BEGIN PRIVATE KEY-----\nabc-def--ghi---jkl----mno-----pqr",
    "-----BEGIN PRIVATE KEY----------BEGIN PRIVATE KEY-----\nMIIE-----END PRIVATE KEY-----END-----",
    "x-----BEGIN PRIVATE KEY-----AAAA",
    "EMP-123-----BEGIN PRIVATE KEY-----jane@example.com\n\"078-05-1120",
    "postgres://u:p@db.example.com:5432/x https://u:p@example.com/ https://jane@example.com",
    "a.a.a.a.a.a.a.a.a@a.a.a.a.a.a.a.aa.a@b.cc",
    "eyJeyJeyJ.eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.x.eyJ-eyJ-eyJ",
    "1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 4 1 1 1 1 1 1 1",
    "jane@example.com\u{e9}jane@example.com\u{4e2d}",
    r#"{"to": "a\nAKIAHT5RMGN3GNRY2345\tbob@example.com\r\n078-05-1120\b\f+49 30 12345678"}"#,
    r"a\\nAKIAHT5RMGN3GNRY2345 a\\\nAKIAHT5RMGN3GNRY2345 a\\\\nbob@example.com \\\\\nbob@example.com",
    r"\u0041AKIAHT5RMGN3GNRY2345 \u004AKIAHT5RMGN3GNRY2345 \uAKIAHT5RMGN3GNRY2345 \u00412AKIAHT5RMGN3GNRY2345",
    r"C:\new\report@x.com C:\users\user@x.com \ubad0bob@x.com \ubadger@x.com \u\u\nb@x.com \u00\u00e9a@x.com",
    r"\fd00::1 \bfd00::1 \u00e9fd00::1 \ufd00::1 \ufd00:1:2:3:4:5:6:7 \u00e91:2:3:4:5:6:7:8 \bb:1::2",
    r"\u00ABGB82WEST12345698765432 \nGB82WEST12345698765432 \u00e94111111111111111 \u4111111111111111111",
    r"\u0031192.0.2.1 \n192.0.2.1 \u0028415) 555-0132 \n(415) 555-0132 \n415-555-0132 \u0031+4930123456789",
    r"\blue falcon \\blue falcon \nblue falcon \falcon crest \tfalcon crest\nEMP-123456-AB \nEMP-123456\nAB",
    r"\npm_0123456789abcdefghijklmnopqrstuvwxyz \nnpm_0123456789abcdefghijklmnopqrstuvwxyz \rediss://u:p@h",
    r"-----BEGIN PRIVATE KEY-----\nAKIAHT5RMGN3GNRY2345\nbob@example.com\u0041bob@example.com\",
    "４１１１ １１１１\u{a0}1111\u{2009}11\u{200b}11 4111–1111—1111‐1111 ٤١١١١١١١١١١١١١١١ 4\u{fe0f}\u{20e3}111111111111111",
    "jane\u{ad}@exam\u{200d}ple\u{ff0e}com jane＠example。com 𝐣𝐚𝐧𝐞@𝕖𝕩𝕒𝕞𝕡𝕝𝕖.com \u{e006a}j\u{e0061}ane@example.com\u{200b}\u{200b} x",
    "АКІАHT5RMGN3GNRY2345 ＡＫＩＡHT5RMGN3GNRY2345 \u{200b}A\u{200b}K\u{200b}IAHT5RMGN3GNRY2345\u{200b} xАKIAHT5RMGN3GNRY2345",
    "07⑧-05-1120 078-05-112⓪⑫078-05-1120 ⑫-05-1120 EMP-123⑫⑫456-AB ⑴⑴⑴-⑿-1234 ㏒@example.com",
    "jane@example.c℀@example.com jane@example.comﬀ@example.com ﬀ@ﬀ.ﬀ@ﬀ.com",
    "-----BEGIN PRIVATE KEY-----\nMI\u{200b}IEﬀﬀ\u{200b}ＭＩＩＥ\u{200b}\n—---END PRIVATE KEY----- －－－－－BEGIN PRIVATE KEY-----ﬀﬀ é",
    "blυe falcon \u{200b}falcоn\u{a0}crest ＥＭＰ‐１２３４５６‐AB \u{200b}\u{200b}",
    r"https://a\nb:c\td@example.com postgres://u:p\nq@db \rhttps://u:p@h \thttp://u:p@h",
];

fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let sample = || prop::sample::select(samples()).prop_map(String::into_bytes);
    let truncated =
        (sample(), any::<prop::sample::Index>(), any::<bool>()).prop_map(|(bytes, index, front)| {
            let (head, tail) = bytes.split_at(index.index(bytes.len() + 1));
            if front { head.to_vec() } else { tail.to_vec() }
        });
    let neighbour = prop_oneof![
        "[A-Z]{2}[0-9]{2}( ?[A-Z0-9]){0,20}",
        "[a-z0-9._%+-]{1,12}@([a-z0-9-]{1,5}\\.){0,3}[a-z]{0,4}",
        "[0-9]{1,4}([ .-]?[0-9]{1,4}){0,6}",
        "4111[ ./\t\r\n-]{0,3}1111[ ./\t\r\n-]{0,3}1111[ ./\t\r\n-]{0,3}1111",
        "[0-9a-f]{1,4}(::?[0-9a-f]{1,4}){0,8}",
        "\\+?[0-9() -]{1,16}",
        "eyJ[A-Za-z0-9]{0,9}\\.",
        "AKIA[A-Z2-7]{12,16}",
        "-----(BEGIN|END) (RSA )?PRIVATE KEY-----",
        "[a-z]{1,8}( [a-z]{1,8}){0,4}",
        "(ssn|SSN|social security|account number|twilio|medicare)[ :=\\.]{0,4}[0-9]{0,10}",
        r"\\{1,5}[ntrbfu]?",
        r"\\{1,4}u[0-9a-fA-F]{0,5}",
    ];
    let allowed = prop::sample::select(vec!["a.b@c.example", "jane@example.com", "4111 1111 1111 1111"]);
    prop_oneof![
        3 => sample(),
        2 => truncated,
        4 => neighbour.prop_map(String::into_bytes),
        1 => allowed.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ]
}

/// The text as somebody writes it who wants it to be read but not found: `how` picks what is done to each byte.
fn disguise(text: &[u8], how: &[u8]) -> Vec<u8> {
    let shifted = |byte: u8, from: u8, to: u32| char::from_u32(u32::from(byte - from) + to);
    let mut out = Vec::new();
    for (&byte, how) in text.iter().zip(how.iter().cycle()) {
        let alike = match (how % 32, byte) {
            (0, b'!'..=b'~') => shifted(byte, b'!', 0xff01),
            (1, b'0'..=b'9') => shifted(byte, b'0', 0x660),
            (2, b'1'..=b'9') => shifted(byte, b'1', 0x2460),
            (3, b'a'..=b'z') => shifted(byte, b'a', 0x1d41a),
            (4, b'-') => Some('\u{2013}'),
            (4, b' ') => Some('\u{a0}'),
            (4, b'.') => Some('\u{3002}'),
            (5, b'a') => Some('\u{430}'),
            (5, b'A') => Some('\u{391}'),
            (6, _) => Some('\u{fb00}'),
            _ => None,
        };
        match how % 32 {
            7 => out.extend_from_slice("\u{200b}".as_bytes()),
            8 => out.extend_from_slice("\u{20e3}\u{e0041}".as_bytes()),
            9 => out.extend_from_slice(b"\xe2\x80"),
            10 => out.extend_from_slice("é".as_bytes()),
            _ => {}
        }
        match alike {
            Some(alike) => out.extend_from_slice(alike.encode_utf8(&mut [0; 4]).as_bytes()),
            None => out.push(byte),
        }
    }
    out
}

/// Candidates of many kinds, glued together with little or nothing in between.
pub(super) fn adversarial_text() -> impl Strategy<Value = Vec<u8>> {
    let glue = prop::sample::select(vec![
        "", "", "", " ", ".", "-", "@", ":", "\n", "_", "/", "  ", ", ", "\\n", "(", "\\t", "\\\\n", "\\",
        "\\u00e9",
    ]);
    let plain = prop::collection::vec((fragment(), glue), 1..9).prop_map(|parts| -> Vec<u8> {
        parts.into_iter().flat_map(|(fragment, glue)| [fragment, glue.as_bytes().to_vec()].concat()).collect()
    });
    // Half of the texts stay as they are; nothing is done to a byte for which `how` is 31.
    let how = prop_oneof![Just(vec![31]), prop::collection::vec(prop_oneof![any::<u8>(), Just(31)], 1..40)];
    (plain, how).prop_map(|(text, how)| disguise(&text, &how))
}
