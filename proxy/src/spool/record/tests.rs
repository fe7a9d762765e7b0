use super::*;
use bulkhead_policy::crypto::MasterKey;
use bulkhead_policy::ids::BudgetId;
use bulkhead_policy::ledger::{AlertLines, BudgetUnit, LedgerKey, Subject};
use bulkhead_policy::trace::{SealedBodies, SealedBody, TraceBodies};
use chrono::DateTime;

fn keys(text: &str) -> SpoolKeys {
    MasterKey::parse(&text.repeat(32)).unwrap().spool_keys()
}

fn trace(bodies: Option<TraceBodies>) -> TraceRecord {
    let text = r#"{"id":"018f3a52-7c00-7000-8000-000000000002","at":"2026-01-02T03:04:05.000006Z",
        "tenant":"018f3a52-7c00-7000-8000-000000000001","agent":null,"key":"0aZ9bcdefghijklm","policy_revision":3,
        "dialect":"openai","operation":"chat","model_asked":"m\u0000","model_served":null,"upstream":"u","status":200,
        "outcome":"masked","reason":null,"streamed":true,
        "tokens":{"input":1,"cached_input":0,"output":2,"reasoning":0,"estimated":false},"cost":5,
        "timings":{"overhead_micros":1,"first_byte_micros":2,"total_micros":3},"attempts":1,"request_bytes":9,
        "response_bytes":8,"findings":[{"detector":"D","category":"pii","direction":"request","channel":"c","start":0,
        "end":4,"action":"mask"}],"findings_total":1,"uninspected":false,"bodies":null}"#;
    let record: TraceRecord = serde_json::from_str(text).unwrap();
    TraceRecord {
        at: DateTime::from_timestamp_micros(record.at.timestamp_micros()).unwrap(),
        bodies,
        ..record
    }
}

fn spooled(bodies: Option<TraceBodies>, amounts: &[u64]) -> SpooledTrace {
    let trace = trace(bodies);
    let key = LedgerKey { tenant: trace.tenant, budget: BudgetId::new("month"), subject: Subject::Tenant };
    let charge = |amount: &u64| LedgerDelta {
        key: key.clone(),
        window_start: trace.at,
        unit: BudgetUnit::Usd,
        amount: *amount,
        alerts: AlertLines { at: vec![5, 9], limit: 10 },
    };
    SpooledTrace { charges: amounts.iter().map(charge).collect(), trace, term: Some(3) }
}

fn with_bodies() -> SpooledTrace {
    let request = Some("what a body says".to_owned());
    spooled(
        Some(TraceBodies { request, response: Some("\u{0}".to_owned()), truncated: true }),
        &[1, u64::MAX],
    )
}

#[test]
fn a_trace_comes_back_as_it_was() {
    let encoder = Encoder::new(&keys("5a")).unwrap();
    let mut sealed = with_bodies();
    let body = Some(SealedBody(vec![0, 255]));
    let bodies = SealedBodies { key_version: 2, request: body, response: None, truncated: true };
    sealed.trace.sealed = Some(bodies);
    for spooled in [spooled(None, &[]), spooled(None, &[7]), with_bodies(), sealed] {
        let record = encoder.encode(&spooled).unwrap();
        assert_eq!(read_spooled(&record, &keys("5a")).unwrap(), spooled);
        assert_eq!(spooled_id(&record), Some(spooled.trace.id));
        assert_eq!(record.owner.0, spooled.trace.tenant.as_uuid().into_bytes());
    }
}

#[test]
fn bodies_are_not_on_the_disk_in_clear() {
    let record = Encoder::new(&keys("5a")).unwrap().encode(&with_bodies()).unwrap();
    let says = b"what a body says";
    assert!(!record.payload.windows(says.len()).any(|window| window == says));
}

#[test]
fn another_key_another_tenant_and_another_id_open_nothing() {
    let record = Encoder::new(&keys("5a")).unwrap().encode(&with_bodies()).unwrap();
    assert!(matches!(read_spooled(&record, &keys("5b")), Err(Unreadable::Sealed(_))));
    let moved = Record { owner: Owner([9; 16]), ..record.clone() };
    assert!(matches!(read_spooled(&moved, &keys("5a")), Err(Unreadable::Sealed(_))));
    for place in 0..record.payload.len() {
        let mut payload = record.payload.clone();
        payload[place] ^= 1;
        let changed = Record { payload, ..record.clone() };
        assert!(read_spooled(&changed, &keys("5a")).is_err(), "byte {place}");
    }
}

#[test]
fn what_is_no_trace_is_said_to_be_none() {
    let record = |kind, payload: &[u8]| Record {
        owner: Owner([1; 16]),
        at_millis: 0,
        kind,
        payload: payload.to_vec(),
    };
    for (record, part) in [
        (record(9, b"{}"), "unknown kind of record 9"),
        (record(KIND_CLEAR, b"{}"), "not a trace"),
        (record(KIND_SEALED, b"short"), "does not open"),
    ] {
        let error = read_spooled(&record, &keys("5a")).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}
