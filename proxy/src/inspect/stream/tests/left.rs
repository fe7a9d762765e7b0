//! Texts that another one of the same choice interrupts.

use super::*;

fn reasoning(text: &str) -> String {
    let chunk = json!({"choices": [{"index": 0, "delta": {"reasoning_content": text}}]});
    format!("data: {chunk}\n\n")
}

fn finish() -> String {
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n".to_owned()
}

/// The content of a stream in which `between` interrupts a value after its first `cut` bytes.
fn interrupted(value: &str, cut: usize, between: &[String]) -> (String, Result<(), Stop>) {
    let (head, tail) = value.split_at(cut);
    let stream = [delta(0, "see "), delta(0, head), between.concat(), delta(0, tail), delta(0, " ok ")];
    let (out, result) = run(&stream.concat(), &[9], &rules(Action::Mask), OPTIONS);
    (texts(&out, 1).remove(0), result)
}

#[test]
fn a_value_over_an_interruption_is_masked_whole() {
    let key = ["AKIA", "IOSFODNN7EXAMPLE"].concat();
    let cases = [
        (key.as_str(), 4, "[AWS_ACCESS_KEY_ID]"),
        ("4111 1111 1111 1111", 6, "[CREDIT_CARD]"),
        ("jane.doe@example.com", 9, "[EMAIL_ADDRESS]"),
    ];
    for (value, from, expected) in cases {
        for cut in from..value.len() {
            for times in [1, 2, 40] {
                let (content, result) = interrupted(value, cut, &vec![reasoning("hm "); times]);
                assert_eq!((content, result), (format!("see {expected} ok "), Ok(())), "{value} {cut}");
            }
        }
    }
}

#[test]
fn a_word_does_not_make_the_rest_wait() {
    let rules = rules(Action::Mask);
    let mut inspector = StreamInspector::new(chat(), rules.into(), OPTIONS);
    let mut out = Vec::new();
    for event in [reasoning("so the answer is "), reasoning("yes"), delta(0, "All good. ")] {
        inspector.push(Bytes::from(event)).unwrap();
        inspector.step(&mut out).unwrap();
    }
    assert_eq!(out.len(), 3);
}

#[test]
fn what_may_be_half_a_value_waits_for_so_long() {
    let long = vec![reasoning("and then "); 400];
    let (content, result) = interrupted("4111 1111 1111 1111", 10, &long);
    assert_eq!((content.as_str(), result), ("see 4111 1111 [CREDIT_CARD] ok ", Ok(())));

    // It was none.
    let stream = [delta(0, "since 2024-05-17"), long.concat(), finish()].concat();
    let (out, result) = run(&stream, &[900], &rules(Action::Mask), OPTIONS);
    assert_eq!((out, result), (stream, Ok(())));
}

#[test]
fn the_beginning_of_a_secret_is_never_given_up() {
    let key = ["AKIA", "IOSFODNN7EXAMPLE"].concat();
    let long = vec![reasoning("and then "); 400];
    assert_eq!(interrupted(&key, 12, &long), ("see [AWS_ACCESS_KEY_ID] ok ".into(), Ok(())));

    let (head, _) = key.split_at(12);
    let stream = [delta(0, head), long.concat()].concat();
    let options = StreamOptions { held_bytes_max: 24 << 10, ..OPTIONS };
    assert_eq!(run(&stream, &[900], &rules(Action::Mask), options), (String::new(), Err(Stop::HoldExceeded)));

    // The end of the choice decides that it is none.
    let stream = [delta(0, head), long.concat(), finish()].concat();
    assert_eq!(run(&stream, &[900], &rules(Action::Mask), OPTIONS), (stream.clone(), Ok(())));
}

#[test]
fn a_key_block_goes_on_behind_an_interruption() {
    let block = format!("-----BEGIN {} KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASC\n-----END ", "PRIVATE");
    for cut in 8..block.len() - 12 {
        let (content, result) = interrupted(&block, cut, &[reasoning("hm ")]);
        assert_eq!(result, Ok(()), "{cut}");
        assert!(content.starts_with("see [PRIVATE_KEY_PEM]"), "{cut}: {content}");
        assert!(!content.contains("MII") && !content.contains("AASC"), "{cut}: {content}");
    }
}

/// The dialect has said that the text is whole, so nothing waits; but no client minds more of it.
#[test]
fn a_text_that_goes_on_behind_its_end_loses_the_rest_of_a_value() {
    let (out, result) = over_an_end(["4111 1111 11", "11 1111 ok "]);
    assert_eq!(result, Ok(()));
    assert_eq!(texts(&out, 1), ["4111 1111 11[CREDIT_CARD] ok "]);

    let head = format!("-----BEGIN {} KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\n", "PRIVATE");
    let (out, result) = over_an_end([&head, "AQEFAASC ok "]);
    assert_eq!(result, Err(Stop::Uninspectable));
    assert_eq!(texts(&out, 1), ["[PRIVATE_KEY_PEM]"]);
}

fn over_an_end([head, tail]: [&str; 2]) -> (String, Result<(), Stop>) {
    let stream = [delta(0, head), finish(), delta(0, tail), finish()].concat();
    run(&stream, &[stream.len()], &rules(Action::Mask), OPTIONS)
}

#[test]
fn an_interrupted_secret_is_blocked() {
    let key = ["AKIA", "IOSFODNN7EXAMPLE"].concat();
    for cut in 5..key.len() {
        let stream =
            [delta(0, &key[..cut]), reasoning("hm "), delta(0, &key[cut..]), delta(0, " ok ")].concat();
        let (out, result) = run(&stream, &[9], &rules(Action::Block), OPTIONS);
        assert_eq!((out.as_str(), result), ("", Err(Stop::Blocked(["AWS_ACCESS_KEY_ID".into()].into()))));
    }
}

#[test]
fn an_ordinary_text_that_is_taken_up_again_passes() {
    let rules = rules(Action::Mask);
    let card = "4111 1111 1111 1111";
    let stream =
        [delta(0, "mail jane"), reasoning("then "), delta(0, "t says hi, "), delta(0, card)].concat();
    let (out, result) = run(&stream, &[9], &rules, OPTIONS);
    assert_eq!(result, Ok(()));
    assert_eq!(texts(&out, 1), ["mail janet says hi, [CREDIT_CARD]"]);
}
