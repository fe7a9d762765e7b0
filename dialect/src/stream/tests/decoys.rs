//! Texts that one client puts together and another leaves out, so that a value could hide between them.

use super::*;

/// Whether the last of the frames is ambiguous.
fn is_ambiguous(path: &str, frames: &[&str]) -> bool {
    let (mut reader, mut decoder) = (reader(path), Decoder::new(1 << 24));
    decoder.push(Bytes::from(frames.concat())).unwrap();
    std::iter::from_fn(|| decoder.next()).map(|frame| reader.read(&frame).is_ambiguous).last().unwrap()
}

/// The channel of each text of an event.
fn items(path: &str, data: &str) -> Vec<(u32, ChannelKind)> {
    let told = reader(path).read(&frame(data.as_bytes()));
    channels(&told).iter().map(|channel| (channel.item, channel.kind)).collect()
}

#[test]
fn a_choice_stands_once_in_an_event() {
    let chat = |choices: &str| format!("data: {{\"choices\":[{choices}]}}\n\n");
    let text = r#"{"index":1,"delta":{"content":"x"}}"#;
    let cases = [
        (false, chat(text)),
        (true, chat(&[text, text].join(","))),
        (true, chat(&[text, r#"{"index":1.0,"text":"x"}"#].join(","))),
        (true, chat(r#"{"delta":{"content":"x"}},{"delta":{"content":"x"}}"#)),
        (false, chat(&[text, r#"{"index":2,"delta":{"content":"x"}}"#].join(","))),
        (false, chat(&[text, r#"{"index":1,"delta":{},"finish_reason":"stop"}"#].join(","))),
    ];
    for (expected, event) in cases {
        assert_eq!(is_ambiguous("/v1/chat/completions", &[&event]), expected, "{event}");
    }
    let candidate = r#"{"content":{"parts":[{"text":"x"},{"text":"y"}]}}"#;
    let gemini = |candidates: &[&str]| format!("data: {{\"candidates\":[{}]}}\n\n", candidates.join(","));
    assert!(!is_ambiguous(GEMINI, &[&gemini(&[candidate])]));
    assert!(is_ambiguous(GEMINI, &[&gemini(&[candidate, candidate])]));
}

#[test]
fn texts_of_which_a_client_reads_one_are_two() {
    let both = r#"{"choices":[{"index":0,"text":"x","delta":{"content":"x"}}]}"#;
    let content = ChannelKind::Content;
    assert_eq!(items("/v1/chat/completions", both), [(1, content), (0, content)]);
    assert_eq!(items("/v1/completions", both), [(0, content), (1, content)]);
    let delta = r#"{"type":"content_block_delta","index":0,"delta":{"text":"x","content":"x"}}"#;
    assert_eq!(items("/v1/messages", delta), [(0, content), (1, content)]);
}

#[test]
fn a_thought_is_one_or_none() {
    for (expected, thought) in
        [(false, "true"), (false, "false"), (false, "null"), (true, "1"), (true, "\"true\""), (true, "[]")]
    {
        let part = format!(r#"{{"text":"x","thought":{thought}}}"#);
        let event = format!("data: {{\"candidates\":[{{\"content\":{{\"parts\":[{part}]}}}}]}}\n\n");
        assert_eq!(is_ambiguous(GEMINI, &[&event]), expected, "{thought}");
    }
}

#[test]
fn events_of_gemini_stand_in_their_data() {
    let event = r#"{"candidates":[{"content":{"parts":[{"text":"x"}]}}]}"#;
    let cases = [
        (false, format!("data: {event}\n\n")),
        (false, format!("id: 1\nevent: message\n: a note\nretry: 9\ndata:{event}\n\n")),
        (false, ": keep-alive\n\n".to_owned()),
        (true, format!("{event}\n\n")),
        (true, format!("[{event}]\n\n")),
        (true, format!("Data: {event}\n\n")),
        (true, format!(": x\u{2028}data: {event}\n\n")),
        (true, format!("data: {event}\nid: x\u{2028}{event}\n\n")),
        (true, format!("data: {{\ndata: }}\nid: {event}\n\n")),
        // What the provider itself sends without a name when it fails on the way.
        (false, "{\n\"error\": {\"code\": 503, \"message\": \"overloaded\"}\n}\n\n".to_owned()),
        (true, "{\"error\": {\"message\": \"\\u0041\"}}\n\n".to_owned()),
        (true, format!("{{\"error\":{{}},{}\n\n", &event[1..])),
    ];
    for (expected, frame) in cases {
        assert_eq!(is_ambiguous(GEMINI, &[&frame]), expected, "{frame}");
    }
}

#[test]
fn the_name_in_front_of_an_event_is_that_of_its_data() {
    let delta = r#"data: {"type":"content_block_delta","index":0,"delta":{"text":"x"}}"#;
    let named = format!("event: content_block_delta\n{delta}\n\n");
    let bare = format!("{delta}\n\n");
    let ping = "data: {\"type\":\"ping\"}\n\n".to_owned();
    let cases: [(bool, &[&str]); 6] = [
        (false, &[&named, &ping, &named]),
        (false, &[&bare, &bare]),
        (true, &[&named, &bare]),
        (true, &[&bare, &named]),
        (true, &[&format!("event: ping\n{delta}\n\n")]),
        (false, &["event: error\ndata: {\"error\":{\"message\":\"x\"}}\n\n"]),
    ];
    for (expected, frames) in cases {
        assert_eq!(is_ambiguous("/v1/messages", frames), expected, "{frames:?}");
    }
    let chat = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n";
    for (expected, name) in [(true, "thread.x"), (false, "message"), (false, "chat.completion.chunk")] {
        assert_eq!(is_ambiguous("/v1/chat/completions", &[&format!("event: {name}\n{chat}")]), expected);
    }
}
