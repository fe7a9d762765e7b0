//! Texts in members that nobody knows, where no text is expected.

use super::*;

fn event(members: &Value) -> String {
    format!("data: {members}\n\n")
}

/// What of a member of the events arrives, put together.
fn member(stream: &str, pointer: &str) -> String {
    let data = stream.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    let events =
        data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str::<Value>(data).unwrap());
    events.filter_map(|event| Some(event.pointer(pointer)?.as_str()?.to_owned())).collect()
}

/// An event with a text in it.
type Shape = fn(&str) -> Value;

#[test]
fn a_value_in_single_characters_beside_the_choices_never_arrives() {
    let shapes: [(&str, Shape); 3] = [
        ("/said", |text| json!({"choices": [{"index": 0}], "said": text})),
        ("/choices/0/said", |text| json!({"choices": [{"index": 0, "said": text}]})),
        (
            "/choices/0/message/content",
            |text| json!({"choices": [{"index": 0, "message": {"content": text}}]}),
        ),
    ];
    for (pointer, shape) in shapes {
        for content in [None, Some("and so on, ")] {
            let text = "the number is 4111 1111 1111 1111, the key AKIAHT5RMGN3GNRY2345, yes";
            let with_content = |text: &str| {
                let mut members = shape(text);
                if let Some(content) = content {
                    members["choices"][0]["delta"]["content"] = content.into();
                }
                event(&members)
            };
            let stream: String = text.chars().map(|c| with_content(&c.to_string())).collect();
            let (out, result) = run(&(stream + "data: [DONE]\n\n"), &[50], &rules(Action::Mask), OPTIONS);
            assert_eq!(result, Ok(()));
            let expected = "the number is [CREDIT_CARD], the key [AWS_ACCESS_KEY_ID], yes";
            assert_eq!(member(&out, pointer), expected, "{content:?}");
        }
    }
}

#[test]
fn names_that_events_repeat_hold_nothing_back() {
    let mut inspector = StreamInspector::new(chat(), rules(Action::Mask).into(), OPTIONS);
    let mut out = Vec::new();
    for (turn, content) in ["One, ", "two, ", "three, ", "four. "].iter().enumerate() {
        let choice = json!({"index": 0, "lane": "left-hand", "delta": {"content": content}});
        let step_id = format!("step-{turn}");
        let members =
            json!({"node": "worker-0123456789.example.com", "step_id": step_id, "choices": [choice]});
        inspector.push(Bytes::from(event(&members))).unwrap();
        inspector.step(&mut out).unwrap();
        // The first may have been a piece of a text, until the second shows that it was not.
        assert_eq!(out.len(), if turn == 0 { 0 } else { turn + 1 }, "{turn}");
    }
}

#[test]
fn a_whole_message_behind_its_pieces_is_a_text_of_its_own() {
    let whole = json!({"choices": [{"index": 0, "message": {"content": "4111 1111 1111 1111"}, "finish_reason": "stop"}]});
    let stream = [delta(0, "the number"), event(&whole)].concat();
    let (out, result) = run(&stream, &[50], &rules(Action::Mask), OPTIONS);
    assert_eq!(result, Ok(()));
    assert_eq!(member(&out, "/choices/0/message/content"), "[CREDIT_CARD]");
}

#[test]
fn a_text_beside_the_choices_ends_no_text_within() {
    let stream =
        [delta(0, "see 41"), event(&json!({"choices": [], "said": "hm"})), delta(0, "11 1111 1111 1111 ok ")];
    let (out, result) = run(&stream.concat(), &[50], &rules(Action::Mask), OPTIONS);
    assert_eq!(result, Ok(()));
    assert_eq!(texts(&out, 1), ["see [CREDIT_CARD] ok "]);
}
