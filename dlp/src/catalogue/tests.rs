//! Every built-in detector finds its sample and leaves the near miss alone; selectors.

use std::collections::HashSet;

use super::*;
use crate::{Action, Rule, RuleSet};

fn rules(id: &str) -> Arc<RuleSet> {
    let detector = Arc::clone(catalogue().iter().find(|detector| detector.id().as_str() == id).expect(id));
    Arc::new(RuleSet::new(vec![Rule::new(detector, Action::Mask)], Vec::new()))
}

fn masked_byte_by_byte(id: &str, text: &str) -> String {
    let mut scanner = rules(id).scanner();
    let mut edits = Vec::new();
    for byte in text.bytes() {
        scanner.push(&[byte]);
        scanner.take_edits(&mut edits);
    }
    scanner.finish();
    scanner.take_edits(&mut edits);
    String::from_utf8(crate::apply_edits(text.as_bytes(), &edits)).unwrap()
}

fn found(id: &str, text: &str) -> Vec<String> {
    let rules = rules(id);
    let scan = rules.scan(text.as_bytes());
    let value = |found: &crate::Match| {
        let range = usize::try_from(found.start).unwrap()..usize::try_from(found.end).unwrap();
        text[range].to_owned()
    };
    scan.matches.iter().map(value).collect()
}

#[test]
fn every_detector_finds_its_sample_and_not_the_near_miss() {
    let mut wrong = Vec::new();
    for sample in samples() {
        let Sample { id, before: context, value, near_miss } = &sample;
        for (before, after) in [("", ""), ("x ", " y"), ("(", ")"), ("\"", "\""), ("=", "\n"), (": ", ", ")] {
            let text = format!("{context}{before}{value}{after}");
            let matches = found(id, &text);
            // A block takes the line ends and separators after it too; then only its start is compared.
            if matches.len() != 1 || !matches[0].starts_with(value) {
                wrong.push(format!("{id}: {text:?} gives {matches:?}"));
            }
        }
        let matches = found(id, &format!("{context}{near_miss} y"));
        if !matches.is_empty() {
            wrong.push(format!("{id}: the near miss {near_miss:?} gives {matches:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_value_without_its_context_is_left_alone() {
    for sample in samples().iter().filter(|sample| !sample.before.is_empty()) {
        assert_eq!(found(&sample.id, &format!("x {} y", sample.value)), [""; 0], "{}", sample.id);
        let far = format!("{}{}{}", sample.before, " ".repeat(64), sample.value);
        assert_eq!(found(&sample.id, &far), [""; 0], "{}", sample.id);
    }
}

#[test]
fn every_detector_is_described() {
    let detectors: Vec<_> = catalogue().iter().collect();
    assert!(detectors.len() >= 250, "{}", detectors.len());
    let ids: HashSet<&str> = detectors.iter().map(|detector| detector.id().as_str()).collect();
    assert_eq!(ids.len(), detectors.len(), "ids are unique");
    for detector in detectors {
        let id = detector.id();
        assert!((0.0..=1.0).contains(&detector.confidence()), "{id}");
        assert!(
            detector.context().iter().all(|word| word.len() >= 3),
            "{id}: short context words open too often"
        );
        let is_block = id.as_str().contains("KEY") && detector.category() == "secret";
        assert!(detector.max_len().is_some() || is_block, "{id}");
    }
}

#[test]
fn the_default_set_is_sure_and_without_ordinary_data() {
    let set = catalogue().default_set();
    let has = |id: &str| set.iter().any(|detector| detector.id().as_str() == id);
    assert!(has("AWS_ACCESS_KEY_ID") && has("CREDIT_CARD") && has("US_SSN") && has("PASSWORD_LITERAL"));
    for id in
        ["EMAIL_ADDRESS", "PHONE_E164", "IP_ADDRESS_V4", "GENERIC_API_KEY", "US_NPI", "AWS_SECRET_ACCESS_KEY"]
    {
        assert!(!has(id), "{id}");
    }
}

#[test]
fn documented_sample_values_are_found() {
    let cases = [
        ("CREDIT_CARD", "4111 1111 1111 1111"),
        ("CREDIT_CARD", "4111-1111-1111-1111"),
        ("CREDIT_CARD", "378282246310005"),
        ("CREDIT_CARD", "5555555555554444"),
        ("CREDIT_CARD", "6011111111111117"),
        ("CREDIT_CARD", "3530111333300000"),
        ("CREDIT_CARD", "30569309025904"),
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("US_SSN", "078-05-1120"),
        ("US_SSN", "219-09-9999"),
        ("US_SSN", "123-45-6789"),
        ("US_SSN", "123 45 6789"),
        ("EMAIL_ADDRESS", "jane@example.com"),
        ("IP_ADDRESS_V4", "192.0.2.1"),
        ("IP_ADDRESS_V6", "fe80::1"),
        ("PHONE_NATIONAL_NANP", "415-555-0132"),
        ("PHONE_E164", "+14155550132"),
        ("IBAN_CODE", "DE89370400440532013000"),
        ("IBAN_CODE", "DE89 3704 0044\n0532 0130 00"),
    ];
    for (id, text) in cases {
        assert_eq!(found(id, &format!("see {text}.")), [text], "{id}");
    }
}

#[test]
fn a_private_key_is_found_however_its_lines_are_quoted() {
    let begin = format!("-----BEGIN RSA {} KEY-----", "PRIVATE");
    let end = format!("-----END RSA {} KEY-----", "PRIVATE");
    let lines = [&begin, "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC", "ab+/Q29weXJpZ2h0IGJ5IG5vYm9keQ==", &end];
    let joints = [
        "\n",
        "\r\n",
        "\n> ",
        "\n# ",
        "\n// ",
        "\n| ",
        "\n    ",
        "\n\t",
        "\n * ",
        "\n- ",
        "\n> > ",
        "\n;; ",
        " \n",
        "\\n",
        "\\r\\n",
        "\\\\n",
        "\\\\\\\\n",
        "\\n\"\n\"",
        "\"\n  \"",
        "\\\\n\\\" +\\n \\\"",
        "\\n\" +\n  \"",
        "\\n'\n'",
        "\\\n",
        "\\n\\\n",
        "\n    12\u{2192}",
        "\n12 | ",
        "\n\u{2502} ",
        "\\n> ",
        "\\\\n# ",
    ];
    for joint in joints {
        let block = lines.join(joint);
        let text = format!("a{joint}{block}{joint}!");
        assert_eq!(found("PRIVATE_KEY_PEM", &text), [block.as_str()], "{joint:?}");
        let hidden = format!("a{joint}[PRIVATE_KEY_PEM]{joint}!");
        assert_eq!(masked_byte_by_byte("PRIVATE_KEY_PEM", &text), hidden, "{joint:?}");
    }
    // The strings beside a key that has no end stay.
    let object = format!("{{\"a\":\"{begin}\\nMIIEvQ\\n\",\n \"b\":\"c\"}}");
    assert_eq!(found("PRIVATE_KEY_PEM", &object), [format!("{begin}\\nMIIEvQ\\n")]);
    for begin in [begin.replace(' ', "\t"), begin.replace(' ', "  "), begin.replace("RSA ", "")] {
        let block = [&begin, "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC", &end.replace(' ', "\t")].join("\n");
        assert_eq!(found("PRIVATE_KEY_PEM", &format!("{block}\n!")), [block], "{begin:?}");
    }
}

#[test]
fn domains_in_other_scripts_are_found_and_sentences_around_addresses_stay() {
    let cases = [
        ("to jane@müller-bücher.de.", "jane@müller-bücher.de"),
        ("to jane@日本.example.jp, please", "jane@日本.example.jp"),
        ("请写信给jane@example.com。谢谢你", "jane@example.com"),
        ("“jane@example.com”—or", "jane@example.com"),
        ("邮箱jane@例え.co谢谢", "jane@例え.co"),
    ];
    for (text, expected) in cases {
        assert_eq!(found("EMAIL_ADDRESS", text), [expected], "{text}");
        let masked = text.replace(expected, "[EMAIL_ADDRESS]");
        assert_eq!(masked_byte_by_byte("EMAIL_ADDRESS", text), masked, "{text}");
    }
}

#[test]
fn keys_in_base64_are_found_wherever_they_begin() {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |group: &[u8]| {
        let bits = group.iter().fold(0, |bits, &byte| bits << 8 | usize::from(byte));
        (0..4).map(|at| char::from(DIGITS[bits >> (18 - 6 * at) & 63])).collect::<String>()
    };
    let base64 = |text: &str| text.as_bytes().chunks_exact(3).map(group).collect::<String>();
    let body = "Zq3xWv7Lk2Nf9Tb4Rm8Hc1Jd6Ps5Gy0aBcDe1Zq3xWv7Lk2Nf9Tb4Rm8Hc1Jd6";
    for before in ["", "see", "see ", "see: "] {
        for key in ["sk-ant-api03-", "sk-proj-", "github_pat_"] {
            let text = base64(&format!("{before}{key}{body}"));
            assert_eq!(found("API_KEY_BASE64", &text).len(), 1, "{before:?} {key}");
        }
        for kind in ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED ", "DSA "] {
            let text = base64(&format!("{before}-----BEGIN {kind}{} KEY-----\n{body}", "PRIVATE"));
            assert_eq!(found("PRIVATE_KEY_PEM_BASE64", &text).len(), 1, "{before:?} {kind}");
        }
    }
    let picture: String = (0..200_000_u32)
        .map(|n| char::from(DIGITS[(n.wrapping_mul(2_654_435_761) >> 26) as usize]))
        .collect();
    assert!(found("API_KEY_BASE64", &picture).is_empty());
}

#[test]
fn harmless_texts_are_left_alone() {
    let cases = [
        ("CREDIT_CARD", "411 11111-1111 1111"),
        ("CREDIT_CARD", "1732152888123456"),
        ("US_SSN", "000-12-3456"),
        ("US_SSN", "912-12-3456"),
        ("US_SSN", "123-00-3456"),
        ("US_SSN", "123-45-0000"),
        ("US_SSN", "123456789"),
        ("US_SSN", "123-45 6789"),
        ("EMAIL_ADDRESS", "@decorator user@localhost"),
        ("IP_ADDRESS_V4", "1.2.3 and 1.2.3.999"),
        ("IP_ADDRESS_V6", "12:30:45 aa:bb:cc:dd:ee:ff std::fmt"),
        ("PHONE_E164", "1+2 a+12345678"),
        ("IBAN_CODE", "SHA256 UTF80 XX82 WEST 1234 5698 7654 32"),
        ("JWT", "eyJ"),
        ("OPENAI_API_KEY_LEGACY", "task-aaaaaaaaaaaaaaaaaaaaT3BlbkFJaaaaaaaaaaaaaaaaaaaa"),
    ];
    for (id, text) in cases {
        assert_eq!(found(id, text), [""; 0], "{id}: {text}");
    }
}

#[test]
fn selectors_name_ids_aliases_and_categories() {
    let ids = |selector: &str| -> Vec<String> {
        catalogue().select(selector).iter().map(|detector| detector.id().to_string()).collect()
    };
    assert_eq!(ids("JWT"), ["JWT"]);
    assert_eq!(ids("CREDIT_CARD_NUMBER"), ["CREDIT_CARD"]);
    assert_eq!(ids("IBAN"), ["IBAN_CODE"]);
    assert_eq!(ids("IP_ADDRESS"), ["IP_ADDRESS_V4", "IP_ADDRESS_V6"]);
    assert_eq!(ids("PHONE_NUMBER"), ["PHONE_E164", "PHONE_NATIONAL_NANP", "PHONE_NATIONAL_OTHER"]);
    assert_eq!(ids("IP_*"), ids("IP_ADDRESS"));
    assert_eq!(ids("network.*"), ["IP_ADDRESS_V4", "IP_ADDRESS_V6", "MAC_ADDRESS"]);
    assert_eq!(ids("*").len(), catalogue().iter().count());
    let secrets = ids("secret.*");
    assert!(["JWT", "GROQ_API_KEY"].iter().all(|id| secrets.contains(&(*id).to_owned())));
    assert_eq!(ids("secret"), secrets);
    assert!(ids("pii.*").contains(&"EMAIL_ADDRESS".to_owned()));
    assert!(ids("AWS_*").contains(&"AWS_SECRET_ACCESS_KEY".to_owned()));
    assert!(ids("*_TOKEN").iter().all(|id| id.ends_with("_TOKEN")) && !ids("*_TOKEN").is_empty());
    assert!(!ids("secret.llm.*").contains(&"JWT".to_owned()));
    for unknown in ["", "secr", "sec.*", "jwt", ".*", "secret.*.*", "HOLD_LIMIT", "aws_*"] {
        assert_eq!(ids(unknown), [""; 0], "{unknown:?}");
    }
}
