use super::*;
use bulkhead_dialect::classify;
use bulkhead_dlp::{Action, Rule, RuleSet, apply_edits, catalogue};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

mod aside;
mod left;
mod restore;

const OPTIONS: StreamOptions = StreamOptions {
    event_bytes_max: 1 << 20,
    held_bytes_max: 1 << 20,
    drop_usage_chunk: false,
    allow_uninspectable: false,
};

fn rules(action: Action) -> Arc<RuleSet> {
    let detectors = catalogue().select("*").into_iter();
    let rules = detectors.map(|detector| Rule::new(Arc::clone(detector), action)).collect();
    Arc::new(RuleSet::new(rules, Vec::new()))
}

fn chat() -> Endpoint {
    classify("POST", "/v1/chat/completions", None).unwrap()
}

fn delta(choice: usize, content: &str) -> String {
    let chunk =
        json!({"id": "c1", "model": "m", "choices": [{"index": choice, "delta": {"content": content}}]});
    format!("data: {chunk}\n\n")
}

/// Runs a whole stream in chunks of the given sizes (the last one repeats) and returns what left.
fn run(
    stream: &str,
    cuts: &[usize],
    rules: &Arc<RuleSet>,
    options: StreamOptions,
) -> (String, Result<(), Stop>) {
    let mut inspector = StreamInspector::new(chat(), Arc::clone(rules).into(), options);
    let (mut out, mut rest) = (Vec::new(), stream.as_bytes());
    let mut sizes = cuts.iter().copied().chain(std::iter::repeat(*cuts.last().unwrap()));
    let mut result = Ok(());
    while !rest.is_empty() && result.is_ok() {
        let (chunk, tail) = rest.split_at(sizes.next().unwrap().clamp(1, rest.len()));
        rest = tail;
        result = inspector.push(Bytes::copy_from_slice(chunk));
        while result.is_ok() {
            match inspector.step(&mut out) {
                Ok(true) => {}
                Ok(false) => break,
                Err(stop) => result = Err(stop),
            }
        }
    }
    let result = result.and_then(|()| inspector.finish(&mut out));
    (out.iter().map(|piece| std::str::from_utf8(&piece.sent).unwrap()).collect(), result)
}

/// The text of every choice, put together as a client does.
fn texts(stream: &str, choices: usize) -> Vec<String> {
    let mut texts = vec![String::new(); choices];
    for data in
        stream.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).filter(|data| *data != "[DONE]")
    {
        let event: Value = serde_json::from_str(data).unwrap();
        for choice in event["choices"].as_array().unwrap() {
            let index = usize::try_from(choice["index"].as_u64().unwrap()).unwrap();
            texts[index].push_str(choice["delta"]["content"].as_str().unwrap_or(""));
        }
    }
    texts
}

fn masked(rules: &RuleSet, text: &str) -> String {
    String::from_utf8(apply_edits(text.as_bytes(), &rules.scan(text.as_bytes()).edits)).unwrap()
}

#[test]
fn a_card_split_at_every_place_never_arrives() {
    let rules = rules(Action::Mask);
    let text = "pay with 4111 1111 1111 1111 now";
    for first in 1..text.len() {
        for second in first..text.len() {
            let parts = [&text[..first], &text[first..second], &text[second..]];
            let stream: String =
                parts.iter().map(|part| delta(0, part)).chain(["data: [DONE]\n\n".into()]).collect();
            let (out, result) = run(&stream, &[stream.len()], &rules, OPTIONS);
            assert_eq!(result, Ok(()));
            assert_eq!(texts(&out, 1), ["pay with [CREDIT_CARD] now"], "{first} {second}");
            assert_eq!(out.matches("\n\n").count(), 4, "no event is lost or made");
        }
    }
}

#[test]
fn clean_events_leave_as_the_bytes_that_came() {
    let rules = rules(Action::Mask);
    let stream = "data:{\"choices\" : [ {\"index\":0,\"delta\":{\"content\":\"h\\u0069 \\n there \"}} ]}\r\n\r\n: note\n\ndata: [DONE]\n\n";
    for size in 1..stream.len() {
        let (out, result) = run(stream, &[size], &rules, OPTIONS);
        assert_eq!((out.as_str(), result), (stream, Ok(())));
    }
}

#[test]
fn text_that_cannot_be_part_of_a_match_leaves_at_once() {
    let rules = rules(Action::Mask);
    let mut inspector = StreamInspector::new(chat(), rules.into(), OPTIONS);
    let mut out = Vec::new();
    for text in ["All good. ", "Nothing, here! ", "Ok? "] {
        let event = delta(0, text);
        inspector.push(Bytes::from(event.clone())).unwrap();
        inspector.step(&mut out).unwrap();
        assert_eq!(out.pop().map(|piece| piece.sent.to_vec()), Some(event.into_bytes()), "{text}");
    }
}

#[test]
fn a_blocked_stream_releases_nothing_of_the_value() {
    let rules = rules(Action::Block);
    let key = ["AKIA", "IOSFODNN7EXAMPLE"].concat();
    for cut in 1..key.len() {
        let stream =
            [delta(0, "the key is "), delta(0, &key[..cut]), delta(0, &key[cut..]), delta(0, " ok")].concat();
        let (out, result) = run(&stream, &[7], &rules, OPTIONS);
        assert_eq!(result, Err(Stop::Blocked(["AWS_ACCESS_KEY_ID".into()].into())));
        assert_eq!(texts(&out, 1), ["the key is "], "{cut}");
    }
}

#[test]
fn a_clean_stream_keeps_its_last_byte_however_it_is_cut() {
    let stream = "data: {\"choices\":[]}\r\n\r\ndata: [DONE]\r\n\r\n";
    for first in 1..stream.len() {
        assert_eq!(
            run(stream, &[first, stream.len()], &rules(Action::Mask), OPTIONS),
            (stream.into(), Ok(()))
        );
    }
}

#[test]
fn texts_that_events_repeat_are_masked_wherever_they_differ() {
    let event =
        |id: &str, comment: &str| format!(": {comment}\ndata: {{\"id\":\"{id}\",\"choices\":[]}}\n\n");
    let clean = event("chatcmpl-0123456789abcdef", "on");
    let stream = [&clean, &clean, &event("4111 1111 1111 1111", "on"), &clean].map(String::as_str).concat();
    let (out, result) = run(&stream, &[40], &rules(Action::Mask), OPTIONS);
    let expected = [&clean, &clean, &event("[CREDIT_CARD]", "on"), &clean].map(String::as_str).concat();
    assert_eq!((out, result), (expected, Ok(())));

    // An edit outside of the data is not possible, so the stream stops.
    let stream = [&clean, &clean, &event("chatcmpl-0123456789abcdef", "4111 1111 1111 1111")];
    let (out, result) = run(&stream.map(String::as_str).concat(), &[40], &rules(Action::Mask), OPTIONS);
    assert_eq!(out, [clean.as_str(), &clean].concat());
    assert_eq!(result, Err(Stop::Blocked(["CREDIT_CARD".into()].into())));

    // The same bytes are another text where escapes count.
    let escaped = event(r"AKIAIOSFODNN7EXAMPL\u0045", "on");
    let (out, result) = run(&[escaped.as_str(), &escaped].concat(), &[40], &rules(Action::Mask), OPTIONS);
    assert_eq!((out.matches("AKIA").count(), result), (0, Ok(())));
}

#[test]
fn a_full_queue_blocks() {
    let rules = rules(Action::Mask);
    let options = StreamOptions { held_bytes_max: 400, ..OPTIONS };
    // Choice 0 holds a word that may become an address; choice 1 goes on behind it.
    let stream =
        [delta(0, "jane.doe"), delta(1, "a "), delta(1, "b "), delta(1, "c "), delta(1, "d ")].concat();
    let (out, result) = run(&stream, &[stream.len()], &rules, options);
    assert_eq!((out.as_str(), result), ("", Err(Stop::HoldExceeded)));
}

#[test]
fn an_answer_is_whole_when_all_its_choices_are() {
    let finish = |choice: usize| {
        let chunk = json!({"choices": [{"index": choice, "delta": {}, "finish_reason": "stop"}]});
        format!("data: {chunk}\n\n")
    };
    let finished = |events: &[String]| {
        let mut inspector = StreamInspector::new(chat(), rules(Action::Mask).into(), OPTIONS);
        inspector.push(Bytes::from(events.concat())).unwrap();
        let mut out = Vec::new();
        while inspector.step(&mut out).unwrap() {}
        inspector.finish(&mut out).unwrap();
        inspector.is_finished()
    };
    assert!(!finished(&[delta(0, "a ")]));
    assert!(finished(&[delta(0, "a "), finish(0)]));
    assert!(!finished(&[delta(0, "a "), delta(1, "b "), finish(0)]));
    assert!(finished(&[delta(0, "a "), delta(1, "b "), finish(0), finish(1)]));
    assert!(finished(&["data: [DONE]\n\n".to_owned()]));
    assert!(finished(&[delta(0, "a "), "data: [DONE]".to_owned()]));
}

#[test]
fn half_an_event_at_the_end_is_no_event() {
    let stream = [delta(0, "a "), "data: {\"choices\":[{\"index\":0,\"del".to_owned()].concat();
    let (out, result) = run(&stream, &[11], &rules(Action::Mask), OPTIONS);
    assert_eq!((out, result), (delta(0, "a "), Ok(())));
}

#[test]
fn logprobs_and_repeated_texts_do_not_leak() {
    let rules = rules(Action::Mask);
    let chunk = json!({"choices": [{"index": 0, "delta": {"content": "4111 "},
        "logprobs": {"content": [{"token": "4111 ", "logprob": -0.1, "bytes": null}]}}], "note": "jane@example.com"});
    let stream = format!("data: {chunk}\n\n");
    let (out, result) = run(&stream, &[stream.len()], &rules, OPTIONS);
    assert_eq!(result, Ok(()));
    assert!(out.contains("\"logprobs\":null") && out.contains("[EMAIL_ADDRESS]"), "{out}");
}

#[test]
fn a_card_written_as_a_number_becomes_a_placeholder() {
    let rules = rules(Action::Mask);
    let stream =
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"card\":4111111111111111,\"at\":1700000000}}]}\n\n";
    let (out, result) = run(stream, &[stream.len()], &rules, OPTIONS);
    assert_eq!(result, Ok(()));
    assert_eq!(out, stream.replace("4111111111111111", "\"[CREDIT_CARD]\""));
    let exponent = stream.replace("4111111111111111", "4.111111111111111E+15");
    assert_eq!(run(&exponent, &[7], &rules, OPTIONS), (out, Ok(())));
}

#[test]
fn data_that_is_no_json_event_follows_the_policy() {
    let rules = rules(Action::Mask);
    let stream = "data: plain words\n\n";
    assert_eq!(run(stream, &[5], &rules, OPTIONS).1, Err(Stop::Uninspectable));
    let allowed = StreamOptions { allow_uninspectable: true, ..OPTIONS };
    assert_eq!(run(stream, &[5], &rules, allowed), (stream.to_owned(), Ok(())));
}

#[test]
fn choices_with_and_without_a_number_follow_the_policy() {
    let bare = |content: &str| format!("data: {}\n\n", json!({"choices": [{"delta": {"content": content}}]}));
    let rules = rules(Action::Mask);
    let stream = [delta(0, "see 4111 1111 "), bare("x "), delta(0, "1111 1111 ")].concat();
    let (out, result) = run(&stream, &[9], &rules, OPTIONS);
    assert_eq!((texts(&out, 1), result), (vec![String::new()], Err(Stop::Uninspectable)));

    let stream =
        [bare("see 4111 1111 "), bare("1111 1111 "), delta(1, "jane@"), delta(1, "example.com ")].concat();
    let (out, result) = run(&stream, &[9], &rules, OPTIONS);
    assert_eq!(result, Ok(()));
    assert!(
        out.contains("[CREDIT_CARD]") && out.contains("[EMAIL_ADDRESS]") && !out.contains("1111"),
        "{out}"
    );
}

#[test]
fn our_own_usage_chunk_is_taken_out_and_read() {
    let rules = rules(Action::Mask);
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}\n\n";
    let stream = [delta(0, "hi "), usage.to_owned(), "data: [DONE]\n\n".into()].concat();
    let options = StreamOptions { drop_usage_chunk: true, ..OPTIONS };
    let mut inspector = StreamInspector::new(chat(), rules.into(), options);
    let mut out = Vec::new();
    inspector.push(Bytes::from(stream)).unwrap();
    while inspector.step(&mut out).unwrap() {}
    assert_eq!(inspector.usage().map(|usage| (usage.input, usage.output)), Some((3, 4)));
    assert!(out.iter().all(|piece| !piece.sent.windows(5).any(|window| window == b"usage")));
    assert_eq!(out.len(), 2);
}

fn pieces() -> impl Strategy<Value = String> {
    let samples = prop::sample::select(vec![
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "jane.doe@example.com",
        "078-05-1120",
        "AKIAHT5RMGN3GNRY9452",
        "DE89 3704 0044 0532 0130 00",
        "192.0.2.17",
        "+49 151 23456789",
        "eyJ",
        "sk-ant-",
        " to river a of fox ",
        "\"\\\n\u{e9}\u{1F600}",
        "12 34 56",
        "x@",
    ]);
    prop::collection::vec((samples, 0..30_usize, "[ .,;:@/-]{0,2}"), 1..6).prop_map(|parts| {
        let cut = |(sample, keep, glue): (&str, usize, String)| {
            let keep =
                (0..=keep.min(sample.len())).rev().find(|at| sample.is_char_boundary(*at)).unwrap_or(0);
            format!("{}{glue}", &sample[..keep])
        };
        parts.into_iter().map(cut).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    /// The law, over events: what a client puts together is the masked whole text, however it was cut.
    #[test]
    fn the_stream_equals_the_whole(
        first in pieces(), second in pieces(),
        cuts in prop::collection::vec(1..12_usize, 1..40), reads in prop::collection::vec(1..90_usize, 1..9),
    ) {
        let rules = rules(Action::Mask);
        let mut stream = String::new();
        let mut rests = [first.as_str(), second.as_str()];
        for (turn, cut) in cuts.iter().cycle().enumerate() {
            if rests.iter().all(|rest| rest.is_empty()) {
                break;
            }
            let rest = &mut rests[turn % 2];
            let at = (0..=(*cut).min(rest.len())).rev().find(|at| rest.is_char_boundary(*at)).unwrap_or(0);
            let at = if at == 0 { rest.chars().next().map_or(0, char::len_utf8) } else { at };
            stream.push_str(&delta(turn % 2, &rest[..at]));
            *rest = &rest[at..];
        }
        stream.push_str("data: [DONE]\n\n");
        let (out, result) = run(&stream, &reads, &rules, OPTIONS);
        prop_assert_eq!(result, Ok(()));
        let seen = texts(&out, 2);
        prop_assert_eq!(&seen[0], &masked(&rules, &first));
        prop_assert_eq!(&seen[1], &masked(&rules, &second));
        prop_assert_eq!(out.matches("\n\n").count(), stream.matches("\n\n").count());
    }
}
