//! Values over parts and messages of every dialect, and texts that only happen to stand side by side.

use super::*;
use crate::inspect::{self, whole};
use bulkhead_dialect::json::{Document, Limits};
use bulkhead_dialect::request::{self, messages};
use bulkhead_dlp::{CompileLimits, CustomDetector, CustomPattern, Detector, Rule, TextRules, catalogue};
use bytes::Bytes;
use std::sync::Arc;

fn rules(action: Action) -> RuleSet {
    let rules = catalogue().iter().map(|detector| Rule::new(Arc::clone(detector), action));
    RuleSet::new(rules.collect(), Vec::new())
}

fn inspected(body: &str, action: Action) -> Inspected {
    let (rules, clean) = (TextRules::from(Arc::new(rules(action))), CleanTexts::new());
    let document = Document::parse(body.as_bytes(), &Limits::REQUEST).unwrap();
    // Twice, because what was clean is not scanned again.
    let once = || inspect::request(&rules, &document, &clean, Effort::Full).unwrap();
    let (first, second) = (once(), once());
    assert_eq!((&first.splices, &first.blocked), (&second.splices, &second.blocked));
    first
}

fn check(body: &str, expected: &str) {
    let found = inspected(body, Action::Mask);
    assert_eq!(String::from_utf8_lossy(&found.apply(&Bytes::copy_from_slice(body.as_bytes()))), expected);
    assert!(found.splices.masks.windows(2).all(|pair| pair[0].range.end <= pair[1].range.start), "{body}");
    let blocked = inspected(body, Action::Block).blocked;
    assert_eq!(!blocked.is_empty(), body != expected, "{body}");
}

#[test]
fn a_value_over_two_texts_is_masked_in_both() {
    let cases = [
        (
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"key AKIAHT5R"},{"type":"text","text":"MGN3GNRY2345 ok"}]}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"key [AWS_ACCESS_KEY_ID]"},{"type":"text","text":" ok"}]}]}"#,
        ),
        (
            r#"{"messages":[{"role":"user","content":"pay 4111 1111"},{"role":"user","content":"1111 1111 now"}]}"#,
            r#"{"messages":[{"role":"user","content":"pay [CREDIT_CARD]"},{"role":"user","content":" now"}]}"#,
        ),
        (
            r#"{"system":"ask jane.mil","messages":[{"role":"user","content":[{"type":"tool_result","content":[{"type":"text","text":"ler@exam"}]},{"type":"text","text":"ple.com"}]}]}"#,
            r#"{"system":"ask [EMAIL_ADDRESS]","messages":[{"role":"user","content":[{"type":"tool_result","content":[{"type":"text","text":""}]},{"type":"text","text":""}]}]}"#,
        ),
        (
            r#"{"input":[{"type":"message","content":[{"type":"input_text","text":"\u0041KIAH"}]},{"type":"function_call_output","output":"T5RMGN3GN\u0052Y2345\n."}]}"#,
            r#"{"input":[{"type":"message","content":[{"type":"input_text","text":"[AWS_ACCESS_KEY_ID]"}]},{"type":"function_call_output","output":"\n."}]}"#,
        ),
        (
            r#"{"model":"m","prompt":"def f():\n  k = AKIAHT5R","suffix":"MGN3GNRY2345 ok"}"#,
            r#"{"model":"m","prompt":"def f():\n  k = [AWS_ACCESS_KEY_ID]","suffix":" ok"}"#,
        ),
        (
            r#"{"prompt":["a","key AKIAHT5R","MGN3GNRY2345 ok"],"stop":["4111 1111 ","1111 1111"]}"#,
            r#"{"prompt":["a","key [AWS_ACCESS_KEY_ID]"," ok"],"stop":["[CREDIT_CARD]",""]}"#,
        ),
        (
            r#"{"tools":[{"function":{"name":"f","description":"AKIAHT5R"}},{"function":{"parameters":{"properties":{"a":{"description":"MGN3GNRY2345"}}}}}]}"#,
            r#"{"tools":[{"function":{"name":"f","description":"[AWS_ACCESS_KEY_ID]"}},{"function":{"parameters":{"properties":{"a":{"description":""}}}}}]}"#,
        ),
    ];
    for (body, expected) in cases {
        check(body, expected);
        let placeholders = ["[AWS_ACCESS_KEY_ID]", "[CREDIT_CARD]", "[EMAIL_ADDRESS]"];
        let values: usize =
            placeholders.iter().map(|placeholder| expected.matches(placeholder).count()).sum();
        // Once, although both ways of joining show it.
        let found = inspected(body, Action::Alert).findings.total;
        assert_eq!(usize::try_from(found), Ok(values), "{body}");
    }
}

#[test]
fn every_place_that_a_model_reads_adjoins_the_next() {
    let gemini = r#"{"parts":[{"text":"k FIRST"},{"text":"SECOND"}]}"#;
    let bodies = [
        format!(r#"{{"generateContentRequest":{{"model":"models/m","contents":[{gemini}]}}}}"#),
        format!(r#"{{"generate_content_request":{{"systemInstruction":{gemini}}}}}"#),
        format!(r#"{{"content":{gemini}}}"#),
        r#"{"title":"k FIRST","content":{"parts":[{"text":"SECOND"}]}}"#.to_owned(),
        format!(r#"{{"requests":[{{"model":"models/m","content":{gemini}}}]}}"#),
        r#"{"contents":[],"generationConfig":{"stopSequences":["k FIRST","SECOND"]}}"#.to_owned(),
        r#"{"contents":[],"generation_config":{"stop_sequences":["k FIRST","SECOND"]}}"#.to_owned(),
        r#"{"generateContentRequest":{"generationConfig":{"stopSequences":["k FIRST","SECOND"]}}}"#.to_owned(),
        r#"{"contents":[{"parts":[{"functionResponse":{"response":{"result":["k FIRST","SECOND"]}}}]}]}"#.to_owned(),
        r#"{"contents":[{"parts":[{"function_response":{"response":{"rows":[["k FIRST"],["SECOND"]]}}}]}]}"#.to_owned(),
        r#"{"contents":[{"parts":[{"functionResponse":{"response":{"result":"k FIRST"}}},{"text":"SECOND"}]}]}"#.to_owned(),
        r#"{"messages":[{"content":[{"type":"document","source":{"type":"text","data":"k FIRST"}},{"type":"document","source":{"type":"text","data":"SECOND"}}]}]}"#.to_owned(),
        r#"{"messages":[{"content":[{"type":"text","text":"k FIRST"},{"type":"document","source":{"type":"text","data":"SECOND"}}]}]}"#.to_owned(),
        r#"{"messages":[{"content":[{"type":"document","title":"k FIRST","context":"SECOND"}]}]}"#.to_owned(),
        r#"{"messages":[{"content":[{"type":"search_result","source":"k FIRST","title":"SECOND","content":[]}]}]}"#.to_owned(),
        r#"{"messages":[{"content":[{"type":"search_result","title":"k FIRST","content":[{"type":"text","text":"SECOND"}]}]}]}"#.to_owned(),
        r#"{"messages":[{"content":"hi"}],"prediction":{"type":"content","content":[{"text":"k FIRST"},{"text":"SECOND"}]}}"#.to_owned(),
        r#"{"input":[{"type":"shell_call_output","output":[{"stdout":"k FIRST","stderr":""},{"stdout":"SECOND","stderr":""}]}]}"#.to_owned(),
        r#"{"input":[{"type":"shell_call_output","output":[{"stdout":"k FIRST","stderr":"SECOND"}]}]}"#.to_owned(),
        r#"{"input":[{"type":"code_interpreter_call","outputs":[{"type":"logs","logs":"k FIRST"},{"type":"logs","logs":"SECOND"}]}]}"#.to_owned(),
        r#"{"prompt":{"id":"pmpt_1","variables":{"a":"k FIRST","b":{"type":"input_text","text":"SECOND"}}}}"#.to_owned(),
    ];
    for body in bodies {
        let with = |first, second| body.replace("FIRST", first).replace("SECOND", second);
        check(&with("AKIAHT5R", "MGN3GNRY2345"), &with("[AWS_ACCESS_KEY_ID]", ""));
    }
}

#[test]
fn a_list_of_very_many_names_is_what_functions_return() {
    let names: Vec<_> = (0..300).map(|number| format!("\"file-{number}.txt\"")).collect();
    let body = |first: &str, second: &str| {
        let names = names.join(",");
        let list = format!(r#"["{first}","{second}",{names}]"#);
        format!(r#"{{"contents":[{{"parts":[{{"functionResponse":{{"response":{{"result":{list}}}}}}}]}}]}}"#)
    };
    check(&body("AKIAHT5R", "MGN3GNRY2345"), &body("[AWS_ACCESS_KEY_ID]", ""));
    assert!(!inspected(&body("a", "b"), Action::Mask).incomplete);
}

#[test]
fn names_in_schemas_and_pictures_stay_apart() {
    let bodies = [
        r#"{"tools":[{"function":{"parameters":{"properties":{"a":{"title":"AKIAHT5R"},"b":{"title":"MGN3GNRY2345"}}}}}]}"#,
        r#"{"messages":[{"content":[{"source":{"type":"base64","data":"AKIAHT5R"}},{"text":"MGN3GNRY2345"}]}]}"#,
        r#"{"contents":[{"parts":[{"functionResponse":{"response":{"a":"AKIAHT5R","b":"MGN3GNRY2345"}}}]}]}"#,
    ];
    for body in bodies {
        check(body, body);
    }
}

#[test]
fn a_value_over_many_tiny_texts_is_masked_in_all() {
    let part = |text: &str| format!(r#"{{"type":"text","text":"{text}"}}"#);
    let body = |parts: Vec<String>| format!(r#"{{"messages":[{{"content":[{}]}}]}}"#, parts.join(","));
    let value = "AKIAHT5RMGN3GNRY2345";
    let mut masked = vec![part("[AWS_ACCESS_KEY_ID]")];
    masked.resize(value.len(), part(""));
    check(&body(value.chars().map(|c| part(&c.to_string())).collect()), &body(masked));
}

#[test]
fn only_the_ends_of_long_texts_take_part() {
    let long = "some words ".repeat(1000);
    let body = |left: &str, right: &str| {
        format!(
            r#"{{"messages":[{{"content":"{long}{left}"}},{{"content":"{right} {long}\n{left}"}},{{"content":"{right} x"}}]}}"#
        )
    };
    check(&body("AKIAHT5R", "MGN3GNRY2345"), &body("[AWS_ACCESS_KEY_ID]", ""));
}

#[test]
fn what_shows_nothing_keeps_no_two_texts_apart() {
    for hidden in ["\u{200b}", "\u{ad}", "\u{e0041}"] {
        for count in [1, 100, 341, 342, 700, 5000] {
            let padding = hidden.repeat(count);
            let cases = [
                [format!("x AKIAHT5R{padding}"), String::new(), "MGN3GNRY2345 y".to_owned()],
                ["x AKIAHT5R".to_owned(), String::new(), format!("{padding}MGN3GNRY2345 y")],
                ["x AKIAHT5R".to_owned(), padding.clone(), "MGN3GNRY2345 y".to_owned()],
                [format!("x AKIA{padding}HT5R"), String::new(), format!("MGN3GNRY{padding}2345 y")],
            ];
            for [head, between, tail] in cases {
                let messages =
                    [head, between, tail].map(|text| serde_json::json!({"role": "user", "content": text}));
                let body = serde_json::json!({"messages": messages}).to_string();
                assert!(!inspected(&body, Action::Block).blocked.is_empty(), "{count} of {hidden:?}");
            }
        }
    }
}

#[test]
fn a_text_that_stands_twice_is_not_read() {
    let cases = [
        (r#"{"messages":[{"content":"see AKIAHT5RM"},{"content":"x","content":"GN3GNRY2345 ok"}]}"#, true),
        (
            r#"{"messages":[{"content":[{"text":"see AKIAHT5RM"},{"text":"x","text":""},{"text":"GN3GNRY2345"}]}]}"#,
            true,
        ),
        (r#"{"messages":[{"content":"a"},{"content":"b","c\u006fntent":"c"}]}"#, true),
        (r#"{"messages":[{"role":"a","role":"b","content":"c"},{"content":"c"}]}"#, false),
        (r#"{"contents":[{"parts":[{"text":"a"}],"parts":[{"text":"b"}]}]}"#, true),
        (r#"{"contents":[{"parts":[{"text":"a"}],"parts":null}]}"#, true),
        (
            r#"{"messages":[{"content":[{"type":"document","source":{"data":"a"},"source":{"data":"b"}}]}]}"#,
            true,
        ),
        (r#"{"instructions":"see AKIAHT5RM","instructions":"x","input":"GN3GNRY2345 ok"}"#, true),
        (r#"{"prompt":"see AKIAHT5RM","suffix":"GN3GNRY2345 ok","suffix":"x"}"#, true),
        (r#"{"messages":[],"stop":["a"],"st\u006fp":"b"}"#, true),
        (r#"{"contents":[],"generationConfig":{"stopSequences":["a"],"stop_sequences":["b"]}}"#, true),
        (r#"{"generateContentRequest":{"systemInstruction":{},"system_instruction":{}}}"#, true),
        (r#"{"requests":[{"content":{}},{"content":{}}]}"#, false),
        (r#"{"prompt":{"id":"p","variables":{"a":"see AKIAHT5RM","a":"x","b":"GN3GNRY2345"}}}"#, true),
        (r#"{"prompt":{"id":"p","variables":{"a":"1"},"variables":{"b":"2"}}}"#, true),
        (r#"{"instructions":"a","input":"b","user":"x","user":"y"}"#, false),
    ];
    for (body, expected) in cases {
        assert_eq!(inspected(body, Action::Mask).incomplete, expected, "{body}");
    }
}

#[test]
fn a_key_block_goes_on_in_the_next_text() {
    let body = |left: &str, right: &str| {
        format!(r#"{{"messages":[{{"content":"{left}"}},{{"content":"{right}"}}]}}"#)
    };
    check(
        &body(r"see -----BEGIN PRIVATE KEY-----\nMIIEvQIBAD", r"ANBgkqhkiG9w0\n-----END PRIVATE KEY----- ok"),
        &body("see [PRIVATE_KEY_PEM]", " ok"),
    );
}

#[test]
fn texts_that_are_complete_stay_apart() {
    let body = |left: &str, right: &str| {
        format!(r#"{{"messages":[{{"content":"{left}"}},{{"content":"{right}"}}]}}"#)
    };
    check(&body("the address is", "jane@example.com"), &body("the address is", "[EMAIL_ADDRESS]"));
    check(&body("write to jane@example.com", "and more"), &body("write to [EMAIL_ADDRESS]", "and more"));
    check(&body("order 4111", "for 1111 people"), &body("order 4111", "for 1111 people"));
    let elsewhere = r#"{"metadata":{"a":"AKIAHT5R","b":"MGN3GNRY2345"},"messages":[]}"#;
    check(elsewhere, elsewhere);
}

#[test]
fn what_only_alerts_is_hidden_in_the_trace() {
    let body = r#"{"messages":[{"content":"a AKIAHT5R"},{"content":"MGN3GNRY2345 b"}]}"#;
    let found = inspected(body, Action::Alert);
    assert_eq!((found.findings.total, found.splices.masks.len()), (1, 0));
    let traced = found.for_trace(&Bytes::copy_from_slice(body.as_bytes()));
    assert_eq!(traced, r#"{"messages":[{"content":"[HIDDEN]"},{"content":"[HIDDEN]"}]}"#);
}

#[test]
fn a_value_is_found_wherever_in_a_long_conversation_it_is_split() {
    let turns = 40;
    let text = "what was said before, ".repeat(15);
    for split in 1..turns {
        let said = |turn: usize| match turn + 1 {
            before if before == split => format!("{text}4111 1111"),
            after if after == split + 1 => format!("1111 1111, {text}"),
            _ => text.clone(),
        };
        let messages = |said: &dyn Fn(usize) -> String| {
            let messages = (0..turns).map(|turn| format!(r#"{{"role":"user","content":"{}"}}"#, said(turn)));
            format!(r#"{{"messages":[{}]}}"#, messages.collect::<Vec<_>>().join(","))
        };
        let masked = |turn: usize| said(turn).replace("4111 1111", "[CREDIT_CARD]").replace("1111 1111", "");
        check(&messages(&said), &messages(&masked));
        assert_eq!(inspected(&messages(&said), Action::Alert).findings.total, 1, "{split}");
    }
}

#[test]
fn neighbours_that_touch_a_split_value_do_not_hide_it() {
    let body = |texts: &[&str]| {
        let messages = texts.iter().map(|text| format!(r#"{{"role":"user","content":"{text}"}}"#));
        format!(r#"{{"messages":[{}]}}"#, messages.collect::<Vec<_>>().join(","))
    };
    let cases: [(&[&str], &[&str]); 4] = [
        (&["AKIAHT5R", "MGN3GNRY2345", "please use it"], &["[AWS_ACCESS_KEY_ID]", "", "please use it"]),
        (&["x", "AKIAHT5R", "MGN3GNRY2345"], &["x", "[AWS_ACCESS_KEY_ID]", ""]),
        (&["x", "AKIAHT5R", "MGN3", "GNRY", "2345", "y"], &["x", "[AWS_ACCESS_KEY_ID]", "", "", "", "y"]),
        (&["9", "4111 1111", " 1111 1111", "8"], &["9", "[CREDIT_CARD]", "", "8"]),
    ];
    for (texts, expected) in cases {
        check(&body(texts), &body(expected));
    }
}

#[test]
fn neighbours_do_not_hide_a_value_in_many_pieces() {
    let body = |texts: &[String]| {
        let parts = texts.iter().map(|text| format!(r#"{{"type":"text","text":"{text}"}}"#));
        format!(r#"{{"messages":[{{"content":[{}]}}]}}"#, parts.collect::<Vec<_>>().join(","))
    };
    let github = ["ghp_", "Zq3xWv7Lk2Nf9Tb4Rm8Hc1Jd6Ps5Gy0aBcDe1"].concat();
    let cases: [(&str, &str, &[&str]); 3] = [
        ("AKIAHT5RMGN3GNRY2345", "[AWS_ACCESS_KEY_ID]", &["x", "9", "see xx"]),
        (&github[..40], "[GITHUB_TOKEN]", &["x", "9", "see xx"]),
        ("4111111111111111", "[CREDIT_CARD]", &["x", "see xx"]),
    ];
    for (value, expected, around) in cases {
        for size in [1, 2, 3] {
            let pieces =
                value.as_bytes().chunks(size).map(|piece| String::from_utf8_lossy(piece).into_owned());
            let pieces: Vec<String> = pieces.collect();
            let mut masked = vec![String::new(); pieces.len()];
            masked[0] = expected.to_owned();
            for text in around {
                let within = |inner: &[String]| {
                    [
                        &["a".to_owned(), (*text).to_owned()],
                        inner,
                        &[text.replace("see ", ""), "b".to_owned()],
                    ]
                    .concat()
                };
                check(&body(&within(&pieces)), &body(&within(&masked)));
            }
        }
    }
}

#[test]
fn more_pieces_than_can_be_tried_are_reported() {
    let body = |count: usize| {
        let parts = vec![r#"{"type":"text","text":"x"}"#; count];
        format!(r#"{{"messages":[{{"content":[{}]}}]}}"#, parts.join(","))
    };
    let little = |body: &str| {
        let document = Document::parse(body.as_bytes(), &Limits::REQUEST).unwrap();
        let rules = TextRules::from(Arc::new(rules(Action::Mask)));
        inspect::request(&rules, &document, &CleanTexts::new(), Effort::Little)
    };
    assert!(little(&body(10)).is_some_and(|found| !found.incomplete));
    assert!(little(&body(400)).is_none());
    assert!(!inspected(&body(400), Action::Mask).incomplete);
    assert!(inspected(&body(4000), Action::Mask).incomplete);
}

/// A tenant's own detectors and a value of each.
fn own(detectors: [(&str, CustomPattern, &str); 2]) -> Vec<(Arc<Detector>, String)> {
    let own = |(id, pattern, value): (&str, CustomPattern, &str)| {
        let spec = CustomDetector { id: id.to_owned(), pattern };
        (Arc::new(Detector::custom(&spec, &CompileLimits::default()).unwrap()), value.to_owned())
    };
    detectors.into_iter().map(own).collect()
}

/// Cuts each detector's value at several places and compares. Gives how many were found in two parts.
fn compare_near_with_all(detectors: &[(Arc<Detector>, String)]) -> usize {
    let all_rules = detectors.iter().map(|(detector, _)| Rule::new(Arc::clone(detector), Action::Mask));
    let rules = TextRules::from(Arc::new(RuleSet::new(all_rules.collect(), Vec::new())));
    let prose = |words: usize| "and so on it went ".repeat(words);
    let mut found_split = 0;
    for (index, (detector, value)) in detectors.iter().enumerate() {
        let word = detector.context().first().map(|word| format!("{word} ")).unwrap_or_default();
        let step = 1 + value.len() / 8;
        for cut in (1..value.len()).step_by(step).filter(|cut| value.is_char_boundary(*cut)) {
            let (head, tail) = value.split_at(cut);
            let (before, behind) = (prose(20 + index % 3), prose(20 - index % 3));
            let texts = [format!("{before}{word}{head}"), format!("{tail} {behind}")];
            let contents =
                texts.map(|text| format!(r#"{{"type":"text","text":{}}}"#, serde_json::json!(text)));
            let body = format!(r#"{{"messages":[{{"role":"user","content":[{}]}}]}}"#, contents.join(","));
            let document = Document::parse(body.as_bytes(), &Limits::REQUEST).unwrap();
            let by = |near: bool| {
                let clean = CleanTexts::new();
                let all = document.without(Vec::new());
                let mut inspected = whole::json(&rules, body.as_bytes(), &all, Direction::Request, None);
                let parts: Vec<_> =
                    messages(&document).flat_map(|message| request::texts(message).parts).collect();
                if near {
                    inspect(rules.rules(), body.as_bytes(), &parts, &clean, Effort::Full, &mut inspected);
                } else {
                    let all = std::iter::once(0..parts.len());
                    join(rules.rules(), body.as_bytes(), &parts, all, &clean, Effort::Full, &mut inspected);
                }
                inspected.splices
            };
            let (near, all) = (by(true), by(false));
            assert_eq!(near, all, "{}: {head:?} | {tail:?}", detector.id());
            found_split += usize::from(all.masks.len() > 1);
        }
    }
    found_split
}

/// The few characters at the ends that are looked at first must not miss what a look at all of them finds.
#[test]
fn what_is_near_the_ends_tells_whether_a_value_reaches_over_them() {
    let built_in = catalogue().iter().map(|detector| (Arc::clone(detector), detector.example().unwrap()));
    let long = "the quick brown fox of project heron".repeat(8);
    let terms = |term: &str| CustomPattern::Terms { terms: vec![term.to_owned()], ignore_case: true };
    let terms = own([("LONG", terms(&long), &long), ("SHORT", terms("blue falcon"), "Blue Falcon")]);
    let found = compare_near_with_all(&built_in.chain(terms).collect::<Vec<_>>());
    assert!(found > 1000, "{found}");
    // Patterns that no fixed text and no shape tells: by themselves, because they are looked for at every byte.
    let regex = |pattern: &str| CustomPattern::Regex(pattern.to_owned());
    let (hex, words) = (format!("ab{}!", "-0f".repeat(50)), format!("Q{}.", " word".repeat(35)));
    let patterns = [
        ("HEX", regex("[0-9a-f]{2}(?:-[0-9a-f]{2}){40,60}!"), hex.as_str()),
        ("WORDS", regex(r"Q(?: [a-z]{1,9}){30,40}\."), words.as_str()),
    ];
    let found = compare_near_with_all(&own(patterns));
    assert!(found >= 14, "{found}");
}

#[test]
fn values_by_the_ten_thousand_are_told_once_each_and_their_detectors_once() {
    // Whatever compares each with each takes minutes here.
    const PAIRS: usize = 10_000;
    let mut rules = vec![Rule::new(Arc::clone(catalogue().select("EMAIL_ADDRESS").remove(0)), Action::Mask)];
    rules.push(Rule::new(Arc::clone(catalogue().select("AWS_ACCESS_KEY_ID").remove(0)), Action::Block));
    let rules = TextRules::from(Arc::new(RuleSet::new(rules, Vec::new())));
    let pair = |number: usize| {
        format!(
            r#"{{"type":"text","text":"AKIAHT5R"}},{{"type":"text","text":"MGN3GNRY2345 to u{number}@example.com"}}"#
        )
    };
    let parts: Vec<String> = (0..PAIRS).map(pair).collect();
    let body = format!(r#"{{"messages":[{{"role":"user","content":[{}]}}]}}"#, parts.join(","));
    let document = Document::parse(body.as_bytes(), &Limits::REQUEST).unwrap();
    let found = inspect::request(&rules, &document, &CleanTexts::new(), Effort::Full).unwrap();
    assert_eq!(found.findings.total, 2 * PAIRS as u64);
    assert_eq!(found.blocked, ["AWS_ACCESS_KEY_ID".to_owned()].into());
    let kept = String::from_utf8(found.for_trace(&Bytes::from(body)).into()).unwrap();
    assert_eq!(kept.matches("[HIDDEN]").count(), 2 * PAIRS);
    assert!(!kept.contains('@') && !kept.contains("AKIA"));
}

#[test]
fn a_word_in_one_text_tells_a_value_in_the_next() {
    let body = |first: &str| {
        format!(
            r#"{{"messages":[{{"role":"user","content":"{first}"}},{{"role":"user","content":"536221234"}}]}}"#
        )
    };
    check(&body("my ssn is"), &body("my ssn is").replace("536221234", "[US_SSN]"));
    check(&body("my room is"), &body("my room is"));
}
