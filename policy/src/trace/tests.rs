use super::*;

#[test]
fn names_are_read_back() {
    for outcome in Outcome::ALL {
        assert_eq!(outcome.as_str().parse(), Ok(outcome));
        assert_eq!(serde_json::to_string(&outcome).unwrap(), format!("\"{outcome}\""));
    }
    assert_eq!("fine".parse::<Outcome>(), Err(UnknownName("outcome")));
}

#[test]
fn records_survive_the_spool() {
    let at = DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap();
    let record = TraceRecord {
        id: TraceId::fresh(at),
        at,
        tenant: TenantId::fresh(at),
        agent: Some(AgentId::fresh(at)),
        key: "0123456789abcdef".parse().ok(),
        policy_revision: Revision::new(7),
        dialect: "openai".into(),
        operation: "chat".into(),
        model_asked: Some("gpt-5".into()),
        model_served: None,
        upstream: Some("openai".into()),
        status: 200,
        outcome: Outcome::Masked,
        reason: Some("client_disconnected".into()),
        streamed: true,
        tokens: TraceTokens { input: 10, cached_input: 3, output: 5, reasoning: 1, estimated: true },
        cost: NanoUsd::new(42),
        timings: Timings { overhead_micros: 310, first_byte_micros: Some(900), total_micros: 5_000 },
        attempts: 1,
        request_bytes: 100,
        response_bytes: 200,
        findings: vec![FindingRecord {
            detector: "EMAIL_ADDRESS".into(),
            category: "pii".into(),
            direction: Direction::Response,
            channel: "choice 0 content".into(),
            start: 3,
            end: 9,
            action: Action::Mask,
            fingerprint: Some("0123456789abcdef01234567".into()),
        }],
        findings_total: 1,
        uninspected: false,
        budgets: vec![BudgetRecord {
            budget: BudgetId::new("month"),
            subject: Subject::Tenant,
            unit: BudgetUnit::Usd,
            window_start: at,
            limit: 1_000,
            used_before: 7,
            used_after: 49,
            unreachable: true,
        }],
        sealed: None,
        bodies: Some(TraceBodies { request: Some("a\u{0}b".into()), response: None, truncated: false }),
    };
    let bytes = serde_json::to_vec(&record).unwrap();
    assert_eq!(serde_json::from_slice::<TraceRecord>(&bytes).unwrap(), record);
    assert!(String::from_utf8(bytes).unwrap().contains("\"action\":\"mask\""));
}
