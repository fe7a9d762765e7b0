mod sealed;

use chrono::TimeDelta;
use ring::rand::SystemRandom;
use secrecy::ExposeSecret;

use super::*;
use crate::compile::CompileOptions;
use crate::crypto::{MasterKey, credential_aad};
use crate::document::UpstreamDialect;
use crate::ids::{CredentialId, DatabaseName};
use crate::ledger::{Amount, LedgerBook};
use crate::limiter::Scope;
use crate::raw::{RawAgent, RawCredential, RawKey, RawPolicy, RawScopes, RawSnapshot, RawTenant};

const BAD: &str = "{\"budgets\":7}";

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

fn master() -> MasterKey {
    MasterKey::parse(&"5a".repeat(32)).unwrap()
}

fn builder() -> Builder {
    Builder::new(&master(), Arc::new(LedgerBook::default()), CompileOptions::default()).unwrap()
}

fn tenant_id(number: u128) -> TenantId {
    TenantId::from_uuid(uuid::Uuid::from_u128(number))
}

fn agent_id(number: u128) -> AgentId {
    AgentId::from_uuid(uuid::Uuid::from_u128(number))
}

fn policy(document: &str) -> Option<RawPolicy> {
    Some(RawPolicy { revision: Revision::new(1), document: document.to_owned() })
}

fn new_key() -> ApiKey {
    ApiKey::generate("test", &SystemRandom::new()).unwrap()
}

fn raw_key(key: &ApiKey, agent: AgentId) -> RawKey {
    let hash = key.hash(&master().pepper());
    RawKey { id: key.id(), agent, hash, expires_at: None, revoked_at: None, scopes: RawScopes::default() }
}

/// A tenant with one agent of the same number and one key for it.
fn tenant(number: u128, document: &str) -> (RawTenant, ApiKey) {
    let key = new_key();
    let raw = RawTenant {
        id: tenant_id(number),
        name: format!("tenant-{number}"),
        suspended: false,
        revision: Revision::new(1),
        changed_at: now(),
        placement: DatabaseName::default(),
        agents: vec![RawAgent { id: agent_id(number), name: "agent".into(), disabled: false }],
        keys: vec![raw_key(&key, agent_id(number))],
        policy: policy(document),
        agent_policies: vec![],
        data_keys: Vec::new(),
        credentials: vec![],
    };
    (raw, key)
}

fn raw(tenants: &[&RawTenant]) -> RawSnapshot {
    RawSnapshot { platform: None, tenants: tenants.iter().map(|tenant| (*tenant).clone()).collect() }
}

fn changed(tenant: &RawTenant, change: impl FnOnce(&mut RawTenant)) -> RawTenant {
    let mut tenant = tenant.clone();
    tenant.revision = Revision::new(tenant.revision.get() + 1);
    change(&mut tenant);
    tenant
}

fn refusal(snapshot: &Snapshot, key: &ApiKey) -> Refusal {
    snapshot.resolve(key, now()).expect_err("must not resolve").refusal
}

#[test]
fn a_key_resolves_to_its_tenant_and_nothing_else() {
    let (a, key_a) = tenant(1, "{\"capture\":\"masked\"}");
    let (b, key_b) = tenant(2, "{}");
    let built = builder().build(&raw(&[&a, &b]), None, now());
    assert_eq!(built.rejected, vec![]);
    let context = built.snapshot.resolve(&key_a, now()).unwrap();
    assert_eq!((context.tenant(), context.agent(), context.key_id()), (a.id, agent_id(1), key_a.id()));
    assert_eq!((&**context.tenant_name(), &**context.agent_name()), ("tenant-1", "agent"));
    assert_eq!(built.snapshot.resolve(&key_b, now()).unwrap().tenant(), b.id);
    assert_eq!(built.snapshot.tenants().len(), 2);
}

#[test]
fn unknown_wrong_revoked_expired_and_disabled_keys_do_not_resolve() {
    let (mut own, good) = tenant(1, "{}");
    let [revoked, expired, of_disabled, of_nobody] = [new_key(), new_key(), new_key(), new_key()];
    let disabled = agent_id(9);
    own.agents.push(RawAgent { id: disabled, name: "off".into(), disabled: true });
    own.keys.push(RawKey { revoked_at: Some(now()), ..raw_key(&revoked, agent_id(1)) });
    own.keys.push(RawKey { expires_at: Some(now()), ..raw_key(&expired, agent_id(1)) });
    own.keys.push(raw_key(&of_disabled, disabled));
    own.keys.push(raw_key(&of_nobody, agent_id(77)));
    let snapshot = builder().build(&raw(&[&own]), None, now()).snapshot;
    let known = |key: &ApiKey, agent| Some((own.id, agent, key.id()));
    for (key, expected, known) in [
        (&new_key(), Refusal::Unknown, None),
        (&revoked, Refusal::Revoked, known(&revoked, agent_id(1))),
        (&expired, Refusal::Expired, known(&expired, agent_id(1))),
        (&of_disabled, Refusal::AgentDisabled, known(&of_disabled, disabled)),
        (&of_nobody, Refusal::AgentDisabled, known(&of_nobody, agent_id(77))),
    ] {
        assert_eq!(snapshot.resolve(key, now()).unwrap_err(), Unresolved { known, refusal: expected });
    }
    assert!(snapshot.resolve(&expired, now() - TimeDelta::seconds(1)).is_ok(), "until then it is good");
    assert!(snapshot.resolve(&good, now()).is_ok());
    let suspended = changed(&own, |own| own.suspended = true);
    let snapshot = builder().build(&raw(&[&suspended]), None, now()).snapshot;
    assert_eq!(refusal(&snapshot, &good), Refusal::TenantSuspended);
}

#[test]
fn the_right_id_with_a_wrong_secret_names_nobody() {
    let (mut own, key) = tenant(1, "{}");
    own.keys[0].hash = new_key().hash(&master().pepper());
    let snapshot = builder().build(&raw(&[&own]), None, now()).snapshot;
    assert_eq!(
        snapshot.resolve(&key, now()).unwrap_err(),
        Unresolved { known: None, refusal: Refusal::Unknown }
    );
}

#[test]
fn an_update_touches_one_tenant_and_reuses_the_rest() {
    let builder = builder();
    let (a, key_a) = tenant(1, "{}");
    let (b, key_b) = tenant(2, "{}");
    let first = builder.build(&raw(&[&a, &b]), None, now()).snapshot;
    let a2 = changed(&a, |a| a.policy = policy("{\"capture\":\"masked\"}"));
    for second in [
        builder.update(&first, std::slice::from_ref(&a2), &[], now()).snapshot,
        builder.build(&raw(&[&a2, &b]), Some(&first), now()).snapshot,
    ] {
        let context = |snapshot: &Snapshot, key| Arc::clone(snapshot.resolve(key, now()).unwrap());
        assert!(Arc::ptr_eq(&context(&first, &key_b), &context(&second, &key_b)), "untouched");
        assert!(!Arc::ptr_eq(context(&first, &key_a).policy(), context(&second, &key_a).policy()));
        assert_eq!(context(&second, &key_a).policy().revision(), Revision::new(2));
        assert_eq!(second.sequence(), first.sequence() + 1);
    }
    let third = builder.update(&first, &[], &[a.id], now()).snapshot;
    assert_eq!(refusal(&third, &key_a), Refusal::Unknown);
    assert!(third.tenant(a.id).is_none() && third.resolve(&key_b, now()).is_ok());
}

#[test]
fn a_bad_policy_keeps_the_last_good_one_but_not_revoked_keys() {
    let builder = builder();
    let (a, key) = tenant(1, "{\"capture\":\"masked\"}");
    let (b, _) = tenant(2, "{}");
    let second_key = new_key();
    let a = changed(&a, |a| a.keys.push(raw_key(&second_key, agent_id(1))));
    let first = builder.build(&raw(&[&a, &b]), None, now()).snapshot;
    let broken = changed(&a, |a| {
        a.policy = policy(BAD);
        a.keys[1].revoked_at = Some(now());
    });
    let b2 = changed(&b, |b| b.policy = policy("{\"capture\":\"masked\"}"));
    let built = builder.update(&first, &[broken.clone(), b2], &[], now());
    let [rejected] = built.rejected.as_slice() else { panic!("{:?}", built.rejected) };
    assert_eq!((rejected.tenant, rejected.revision), (Some(a.id), broken.revision));
    assert!(rejected.reason.starts_with("budgets:"), "{}", rejected.reason);
    let second = built.snapshot;
    let policy_of = |snapshot: &Snapshot| Arc::clone(snapshot.resolve(&key, now()).unwrap().policy());
    assert!(Arc::ptr_eq(&policy_of(&first), &policy_of(&second)), "the last good policy");
    assert_eq!(refusal(&second, &second_key), Refusal::Revoked);
    assert_eq!(second.tenant(b.id).unwrap().revision(), Revision::new(2), "others go on");
    let own = second.tenant(a.id).unwrap();
    assert!(own.rejection().is_some() && own.revision() == broken.revision && own.policy().is_some());
    let again = builder.update(&second, &[changed(&broken, |a| a.policy = policy("{}"))], &[], now());
    assert_eq!(again.rejected, vec![]);
    assert_eq!(again.snapshot.tenant(a.id).unwrap().rejection(), None);
}

#[test]
fn a_tenant_that_never_had_a_good_policy_is_not_served() {
    let (a, key) = tenant(1, BAD);
    let built = builder().build(&raw(&[&a]), None, now());
    assert_eq!(built.rejected.len(), 1);
    assert_eq!(refusal(&built.snapshot, &key), Refusal::NoPolicy);
}

#[test]
fn a_new_agent_is_not_served_by_a_policy_wider_than_meant() {
    let builder = builder();
    let (a, key) = tenant(1, "{}");
    let first = builder.build(&raw(&[&a]), None, now()).snapshot;
    let (new_agent, agent_key) = (agent_id(5), new_key());
    let broken = changed(&a, |a| {
        a.agents.push(RawAgent { id: new_agent, name: "new".into(), disabled: false });
        a.keys.push(raw_key(&agent_key, new_agent));
        a.agent_policies.push((new_agent, policy(BAD).unwrap()));
    });
    let built = builder.update(&first, &[broken], &[], now());
    assert!(
        built.rejected[0].reason.starts_with(&format!("agent {new_agent}: budgets:")),
        "{:?}",
        built.rejected
    );
    assert_eq!(refusal(&built.snapshot, &agent_key), Refusal::NoPolicy);
    assert!(built.snapshot.resolve(&key, now()).is_ok());
}

#[test]
fn a_revision_never_goes_back() {
    let builder = builder();
    let (a, key) = tenant(1, "{}");
    let newer = changed(&a, |a| a.suspended = true);
    let first = builder.build(&raw(&[&newer]), None, now()).snapshot;
    let built = builder.update(&first, std::slice::from_ref(&a), &[], now());
    assert_eq!(built.rejected[0].reason, "revision goes back from 2");
    assert_eq!(refusal(&built.snapshot, &key), Refusal::TenantSuspended);
}

#[test]
fn the_platforms_policy_lies_under_every_tenant() {
    let builder = builder();
    let (a, key) = tenant(1, "{\"capture\":\"masked\"}");
    let (b, _) = tenant(2, "{}");
    let with = |revision, document: &str| {
        let platform = Some(RawPolicy { revision: Revision::new(revision), document: document.to_owned() });
        RawSnapshot { platform, ..raw(&[&a, &b]) }
    };
    let rate = |snapshot: &Snapshot| {
        snapshot
            .tenant(b.id)
            .unwrap()
            .policy()
            .unwrap()
            .limits()
            .requests_per_minute
            .map(std::num::NonZeroU32::get)
    };
    let first = builder.build(&with(1, "{\"limits\":{\"requests_per_minute\":5}}"), None, now()).snapshot;
    assert_eq!(rate(&first), Some(5));
    let second =
        builder.build(&with(2, "{\"limits\":{\"requests_per_minute\":9}}"), Some(&first), now()).snapshot;
    assert_eq!((rate(&second), second.platform_revision()), (Some(9), Some(Revision::new(2))));
    let built = builder.build(&with(3, BAD), Some(&second), now());
    assert_eq!((built.rejected.len(), built.rejected[0].tenant), (1, None));
    assert_eq!(rate(&built.snapshot), Some(9), "the last good floor");
    // Where no version of it ever compiled there is a floor, but nobody knows which.
    let built = builder.build(&with(3, BAD), None, now());
    assert_eq!(refusal(&built.snapshot, &key), Refusal::NoPolicy);
    let built = builder.build(&raw(&[&a, &b]), Some(&built.snapshot), now());
    assert!(built.snapshot.resolve(&key, now()).is_ok(), "and it was taken away");
}

#[test]
fn credentials_are_opened_only_in_their_place() {
    let sealer = master().credential_sealer().unwrap();
    let document = r#"{"upstreams":{"openai":{"base_url":"https://api.openai.com","dialect":"openai","credential":"prod"}}}"#;
    let (mut a, key) = tenant(1, document);
    let id = CredentialId::fresh(now());
    let sealed = sealer.seal(&credential_aad(a.id, id, 4), b"sk-upstream", &SystemRandom::new()).unwrap();
    a.credentials.push(RawCredential { id, name: "prod".into(), version: 4, sealed });
    let snapshot = builder().build(&raw(&[&a]), None, now()).snapshot;
    let upstreams: Vec<_> = snapshot
        .resolve(&key, now())
        .unwrap()
        .policy()
        .upstreams_for("x", UpstreamDialect::OpenAi)
        .cloned()
        .collect();
    assert_eq!(upstreams[0].credential.as_ref().unwrap().secret.expose_secret(), "sk-upstream");
    assert!(!format!("{snapshot:?}").contains("sk-upstream"));
    // The same row under another tenant.
    let (mut b, key) = tenant(2, document);
    b.credentials = a.credentials.clone();
    let built = builder().build(&raw(&[&b]), None, now());
    assert!(built.rejected[0].reason.contains("cannot be opened"), "{:?}", built.rejected);
    assert_eq!(refusal(&built.snapshot, &key), Refusal::NoPolicy);
}

#[test]
fn budgets_and_running_requests_survive_an_update() {
    let builder = builder();
    let document = |limit| {
        format!(
            r#"{{"budgets":[{{"id":"t","scope":"tenant","unit":"tokens","limit":{limit},"window":"total","at_limit":"refuse"}},
            {{"id":"k","scope":"key","unit":"tokens","limit":{limit},"window":"total","at_limit":"refuse"}}],
            "limits":{{"concurrent_requests":1}}}}"#
        )
    };
    let (a, key) = tenant(1, &document(100));
    let other_key = new_key();
    let a = changed(&a, |a| a.keys.push(raw_key(&other_key, agent_id(1))));
    let first = builder.build(&raw(&[&a]), None, now()).snapshot;
    let context = first.resolve(&key, now()).unwrap();
    let amount = Amount { tokens: 60, ..Amount::default() };
    let _not_stored =
        crate::ledger::Reservation::take(context.ledgers(), amount, now()).unwrap().settle(amount);
    let admission = context.limits().admit(std::num::NonZeroU32::MAX, now()).unwrap();
    let second =
        builder.update(&first, &[changed(&a, |a| a.policy = policy(&document(70)))], &[], now()).snapshot;
    let settled = |key| {
        let ledgers = second.resolve(key, now()).unwrap().ledgers();
        ledgers
            .iter()
            .map(|ledger| (ledger.state(now()).settled, ledger.state(now()).limit))
            .collect::<Vec<_>>()
    };
    assert_eq!(settled(&key), [(60, 70), (60, 70)]);
    assert_eq!(settled(&other_key), [(60, 70), (0, 70)], "one count per tenant, one per key");
    assert!(
        second.resolve(&other_key, now()).unwrap().limits().admit(std::num::NonZeroU32::MAX, now()).is_err(),
        "one is running"
    );
    drop(admission);
    assert!(
        second.resolve(&other_key, now()).unwrap().limits().admit(std::num::NonZeroU32::MAX, now()).is_ok()
    );
}

#[test]
fn a_request_draws_on_the_budgets_of_its_model() {
    let budget = |id, models| {
        format!(
            r#"{{"id":"{id}","scope":"tenant","unit":"tokens","limit":9,"window":"day","at_limit":"cut"{models}}}"#
        )
    };
    let all = budget("all", "");
    let some = [budget("gpt", r#","models":["gpt-4*","o3"]"#), budget("mini", r#","models":["*-mini"]"#)];
    let document = format!("{{\"budgets\":[{all},{}]}}", some.join(","));
    let (tenant, key) = tenant(1, &document);
    let snapshot = builder().build(&raw(&[&tenant]), None, now()).snapshot;
    let context = snapshot.resolve(&key, now()).unwrap();
    for (model, expected) in [
        (None, vec!["all"]),
        (Some("claude-opus-5"), vec!["all"]),
        (Some("gpt-4.1"), vec!["all", "gpt"]),
        (Some("gpt-4.1-mini"), vec!["all", "gpt", "mini"]),
        (Some("o3"), vec!["all", "gpt"]),
        (Some("o3-mini"), vec!["all", "mini"]),
    ] {
        let ledgers = context.ledgers_for(model);
        let ids: Vec<&str> = ledgers.iter().map(|ledger| ledger.spec().id.as_str()).collect();
        assert_eq!(ids, expected, "{model:?}");
    }
}

#[test]
fn agents_have_their_own_policy_and_limits() {
    let (a, key) = tenant(1, "{\"allow\":{\"models\":[\"gpt-*\"]}}");
    let (narrow, narrow_key) = (agent_id(5), new_key());
    let a = changed(&a, |a| {
        a.agents.push(RawAgent { id: narrow, name: "narrow".into(), disabled: false });
        a.keys.push(raw_key(&narrow_key, narrow));
        let document = "{\"allow\":{\"models\":[\"*-mini\"]},\"limits\":{\"concurrent_requests\":1}}";
        a.agent_policies.push((narrow, policy(document).unwrap()));
    });
    let snapshot = builder().build(&raw(&[&a]), None, now()).snapshot;
    let (wide, narrow) =
        (snapshot.resolve(&key, now()).unwrap(), snapshot.resolve(&narrow_key, now()).unwrap());
    assert_eq!(
        (wide.allows("chat", Some("gpt-5")), narrow.allows("chat", Some("gpt-5"))),
        (Ok(()), Err(NotAllowed::Model))
    );
    assert_eq!(
        (narrow.allows("chat", Some("gpt-5-mini")), narrow.allows("chat", Some("o3-mini"))),
        (Ok(()), Err(NotAllowed::Model))
    );
    let _running = narrow.limits().admit(std::num::NonZeroU32::MAX, now()).unwrap();
    assert!(
        narrow.limits().admit(std::num::NonZeroU32::MAX, now()).is_err()
            && wide.limits().admit(std::num::NonZeroU32::MAX, now()).is_ok()
    );
}

#[test]
fn each_agent_and_each_key_is_held_to_its_own_limits() {
    let document = r#"{"limits":{"concurrent_requests":4,"per_agent":{"concurrent_requests":2},"per_key":{"concurrent_requests":1}}}"#;
    let (a, first) = tenant(1, document);
    let (other, keys) = (agent_id(5), [new_key(), new_key(), new_key()]);
    let a = changed(&a, |a| {
        a.agents.push(RawAgent { id: other, name: "other".into(), disabled: false });
        a.keys.extend(keys.iter().map(|key| raw_key(key, other)));
    });
    let builder = builder();
    let snapshot = builder.build(&raw(&[&a]), None, now()).snapshot;
    let admit = |snapshot: &Snapshot, key: &ApiKey| {
        let limits = snapshot.resolve(key, now()).unwrap().limits().admit(std::num::NonZeroU32::MAX, now());
        limits.map_err(|throttled| throttled.scope)
    };
    let _first = admit(&snapshot, &first).unwrap();
    assert_eq!(admit(&snapshot, &first).unwrap_err(), Scope::Key);
    let _one = admit(&snapshot, &keys[0]).unwrap();
    let _two = admit(&snapshot, &keys[1]).unwrap();
    assert_eq!(admit(&snapshot, &keys[2]).unwrap_err(), Scope::Agent);
    // What runs counts under the next policy too.
    let narrower =
        r#"{"limits":{"per_agent":{"concurrent_requests":9},"per_key":{"concurrent_requests":1}}}"#;
    let next =
        builder.update(&snapshot, &[changed(&a, |a| a.policy = policy(narrower))], &[], now()).snapshot;
    assert_eq!(admit(&next, &keys[1]).unwrap_err(), Scope::Key);
    assert!(admit(&next, &keys[2]).is_ok());
}

#[test]
fn detectors_that_were_prepared_are_there_while_somebody_has_them() {
    let builder = builder();
    let document = r#"{"dlp":{"detectors":[{"id":"OWN","regex":"own-[0-9]{6}"}],"rules":[{"detect":["OWN"],"on":"both","action":"mask"}]}}"#;
    let (a, _) = tenant(1, document);
    let (plain, _) = tenant(2, r#"{"dlp":{"rules":[{"detect":["*"],"on":"both","action":"mask"}]}}"#);
    assert!(builder.is_prepared(&plain) && !builder.is_prepared(&a));
    let prepared = builder.prepare(&a);
    assert!(builder.is_prepared(&a));
    let snapshot = builder.build(&raw(&[&a]), None, now()).snapshot;
    drop(prepared);
    assert!(builder.is_prepared(&a), "its policy has them");
    drop(snapshot);
    assert!(!builder.is_prepared(&a));
    let (broken, _) = tenant(3, BAD);
    assert!(builder.is_prepared(&broken), "what cannot be read is refused at once");
}

#[test]
fn scopes_narrow_a_key_and_unreadable_ones_close_it() {
    let (mut a, key) = tenant(1, "{}");
    a.keys[0].scopes =
        RawScopes { operations: Some(vec!["chat".into()]), models: Some(vec!["gpt-*".into()]) };
    let broken = new_key();
    let scopes = RawScopes { operations: None, models: Some(vec!["[bad".into()]) };
    a.keys.push(RawKey { scopes, ..raw_key(&broken, agent_id(1)) });
    let snapshot = builder().build(&raw(&[&a]), None, now()).snapshot;
    let context = snapshot.resolve(&key, now()).unwrap();
    assert_eq!(context.allows("chat", Some("gpt-5")), Ok(()));
    assert_eq!(context.allows("embeddings", Some("gpt-5")), Err(NotAllowed::Operation));
    assert_eq!(context.allows("chat", Some("o3")), Err(NotAllowed::Model));
    assert_eq!(refusal(&snapshot, &broken), Refusal::NoPolicy);
}

#[test]
fn a_copied_key_stays_with_its_first_owner() {
    let builder = builder();
    let (a, _) = tenant(1, "{}");
    let (b, key) = tenant(2, "{}");
    let thief = changed(&a, |a| a.keys.push(raw_key(&key, agent_id(1))));
    let first = builder.build(&raw(&[&a, &b]), None, now()).snapshot;
    let built = builder.update(&first, std::slice::from_ref(&thief), &[], now());
    assert_eq!(built.snapshot.resolve(&key, now()).unwrap().tenant(), b.id);
    assert_eq!(built.rejected[0].tenant, Some(a.id));
    let fresh: Vec<_> = (0..8).map(|_| builder.build(&raw(&[&thief, &b]), None, now()).snapshot).collect();
    assert!(
        fresh.iter().all(|snapshot| snapshot.resolve(&key, now()).unwrap().tenant() == a.id),
        "one answer, always"
    );
}

#[test]
fn rows_survive_the_snapshot_file() {
    let (mut a, _) = tenant(1, "{}");
    a.credentials.push(RawCredential {
        id: CredentialId::fresh(now()),
        name: "c".into(),
        version: 1,
        sealed: vec![0, 255, 7],
    });
    let snapshot = RawSnapshot { platform: policy("{}"), ..raw(&[&a]) };
    let bytes = serde_json::to_vec(&snapshot).unwrap();
    assert_eq!(serde_json::from_slice::<RawSnapshot>(&bytes).unwrap(), snapshot);
}

#[test]
fn a_handle_shows_the_newest_snapshot_to_all_its_copies() {
    let handle = SnapshotHandle::default();
    let copy = handle.clone();
    assert!(copy.load().is_none());
    let first = builder().build(&RawSnapshot::default(), None, now()).snapshot;
    handle.publish(Arc::new(first));
    let held = copy.load().unwrap();
    let second = builder().build(&RawSnapshot::default(), Some(&held), now()).snapshot;
    handle.publish(Arc::new(second));
    assert_eq!((held.sequence(), copy.load().unwrap().sequence()), (1, 2));
}
