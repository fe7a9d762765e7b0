use super::*;

#[test]
fn every_name_is_declared_once_and_rendered() {
    let metrics = Metrics::new().unwrap();
    metrics.requests.with_label_values(&["openai", "chat", "allowed", "2xx"]).inc();
    metrics.policy.revision.set(7);
    let text = String::from_utf8(metrics.render()).unwrap();
    assert!(text.contains("bulkhead_requests_total{dialect=\"openai\",operation=\"chat\",outcome=\"allowed\",status_class=\"2xx\"} 1"));
    assert!(text.contains("bulkhead_policy_revision 7"));
    assert!(text.contains("bulkhead_requests_in_flight 0"));
}
