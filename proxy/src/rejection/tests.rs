use super::*;
use bulkhead_dialect::error;

fn header(rejection: &Rejection, name: &str) -> Option<String> {
    rejection.headers().into_iter().find(|(header, _)| *header == name).map(|(_, value)| value)
}

#[test]
fn final_refusals_say_so_and_never_ask_for_a_retry() {
    let refusals = [
        Rejection::unauthorized(),
        Rejection::dlp_blocked("request", ["AWS_ACCESS_KEY_ID".into()].into()),
        Rejection::not_allowed("model_not_allowed", "no"),
        Rejection::unknown_encoding(),
        Rejection::body_too_large(1),
        Rejection::budget_exhausted(Dialect::OpenAi, "month"),
        Rejection::budget_exhausted(Dialect::Anthropic, "month"),
    ];
    for refusal in refusals {
        assert_eq!(header(&refusal, "x-should-retry").as_deref(), Some("false"), "{refusal:?}");
        assert_eq!(header(&refusal, "retry-after"), None, "{refusal:?}");
    }
}

#[test]
fn statuses_follow_what_sdks_understand() {
    let cases = [
        (Rejection::unauthorized(), 401),
        (Rejection::dlp_blocked("request", BTreeSet::new()), 400),
        (Rejection::budget_exhausted(Dialect::OpenAi, "b"), 429),
        (Rejection::budget_exhausted(Dialect::Anthropic, "b"), 402),
        (Rejection::budget_exhausted(Dialect::Gemini, "b"), 429),
        (Rejection::body_too_large(1), 413),
        (Rejection::upstream_unreachable(), 502),
        (Rejection::upstream_timeout(), 504),
        (Rejection::not_ready(), 503),
        (Rejection::unknown_path(), 404),
        (Rejection::client_gone(), 0),
    ];
    for (rejection, status) in cases {
        assert_eq!(rejection.status(), status, "{rejection:?}");
    }
    assert_eq!(header(&Rejection::not_ready(), "retry-after").as_deref(), Some("1"));
    assert_eq!(header(&Rejection::method_not_allowed("POST"), "allow").as_deref(), Some("POST"));
}

#[test]
fn of_many_detectors_only_some_are_named() {
    let detectors = |count: usize| (100..100 + count).map(|number| format!("D{number}")).collect();
    let body = |count| {
        let refusal = Rejection::dlp_blocked("request", detectors(count));
        String::from_utf8(refusal.with_info("id", |info| error::body(Dialect::OpenAi, info))).unwrap()
    };
    assert!(
        body(20).contains("by a data-loss-prevention rule (D100, D101") && body(20).contains("\"D119\"]")
    );
    assert!(body(21).contains("by 21 data-loss-prevention rules, among them these (D100, D101"));
    assert!(!body(21).contains("D120"), "{}", body(21));
}

#[test]
fn only_a_budget_turns_a_running_stream_into_a_cut() {
    assert_eq!(Rejection::budget_exhausted(Dialect::OpenAi, "b").outcome(), Outcome::Refused);
    assert_eq!(Rejection::budget_exhausted(Dialect::OpenAi, "b").while_streaming().outcome(), Outcome::Cut);
    assert_eq!(Rejection::upstream_broken().while_streaming().outcome(), Outcome::Failed);
}
