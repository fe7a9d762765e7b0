use super::*;
use crate::json::{Limits, splice};

fn blanked(body: &str) -> String {
    let document = Document::parse(body.as_bytes(), &Limits::RESPONSE).unwrap();
    String::from_utf8(splice(body.as_bytes(), &blank_logprobs(&document))).unwrap()
}

#[test]
fn logprobs_are_emptied_wherever_they_stand() {
    let cases = [
        (
            r#"{"logprobs":{"a":{"logprobs":["x"]},"b":1},"c":{"logprobs":["y"]}}"#,
            r#"{"logprobs":null,"c":{"logprobs":[]}}"#,
        ),
        (
            r#"[{"log\u0070robs":[{"token":"x"}]},{"logprobs":[1]}]"#,
            r#"[{"log\u0070robs":[]},{"logprobs":[]}]"#,
        ),
        (
            r#"{"logprobs":null,"a":{"logprobs":[]},"b":{"logprobs":{}},"c":{"logprobs":"text"}}"#,
            r#"{"logprobs":null,"a":{"logprobs":[]},"b":{"logprobs":{}},"c":{"logprobs":"text"}}"#,
        ),
        (r#"["logprobs",["x"]]"#, r#"["logprobs",["x"]]"#),
        (
            r#"{"candidates":[{"logprobs_result":{"chosen_candidates":[{"token":"x"}]},"avg_logprobs":-1}]}"#,
            r#"{"candidates":[{"logprobs_result":null,"avg_logprobs":-1}]}"#,
        ),
        (
            r#"{"top_logprobs":[{"x":-1}],"topLogprobs":{"x":-1}}"#,
            r#"{"top_logprobs":[],"topLogprobs":null}"#,
        ),
        (r#"{"prompt_logprobs":[null,{"1":{"decoded_token":"x"}}]}"#, r#"{"prompt_logprobs":[]}"#),
    ];
    for (body, expected) in cases {
        assert_eq!(blanked(body), expected);
    }
}
