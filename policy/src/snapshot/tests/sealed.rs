//! Originals are sealed with the tenant's data key or not kept at all.

use ring::rand::SystemRandom;

use super::*;
use crate::compile::TenantPolicy;
use crate::data_key::DataKey;
use crate::raw::RawDataKey;

const SEALED: &str = "{\"capture\":\"sealed\"}";

fn wrapped(tenant: TenantId, version: u32, master: &str) -> RawDataKey {
    let provider = MasterKey::parse(&master.repeat(32)).unwrap().local_keys().unwrap();
    let random = SystemRandom::new();
    DataKey::generate(version, &random).unwrap().wrap(tenant, &provider, &random).unwrap()
}

fn body_key_version(policy: &TenantPolicy) -> Option<u32> {
    policy.body_key().map(|key| key.version())
}

/// Builds one tenant alone and says which key seals, or why its policy is refused.
fn built(raw_tenant: &RawTenant) -> Result<Option<u32>, String> {
    let built = builder().build(&raw(&[raw_tenant]), None, now());
    match built.rejected.first() {
        Some(rejected) => Err(rejected.reason.clone()),
        None => Ok(body_key_version(built.snapshot.tenant(raw_tenant.id).unwrap().policy().unwrap())),
    }
}

#[test]
fn the_newest_data_key_seals_where_the_policy_says_so() {
    let (mut tenant, _) = tenant(1, SEALED);
    tenant.data_keys = vec![wrapped(tenant.id, 1, "5a"), wrapped(tenant.id, 2, "5a")];
    assert_eq!(built(&tenant), Ok(Some(2)));
    for document in ["{}", "{\"capture\":\"none\"}", "{\"capture\":\"masked\"}"] {
        tenant.policy = policy(document);
        assert_eq!(built(&tenant), Ok(None), "{document}");
    }
}

#[test]
fn without_a_usable_data_key_a_sealed_policy_is_refused() {
    let (tenant, _) = tenant(1, SEALED);
    let with = |key: Option<RawDataKey>| RawTenant { data_keys: key.into_iter().collect(), ..tenant.clone() };
    let damaged = RawDataKey { wrapped: vec![1; 60], ..wrapped(tenant.id, 1, "5a") };
    for (key, reason) in [
        (None, "capture: sealed: the tenant has no data key"),
        (Some(wrapped(tenant.id, 1, "5b")), "cannot be unwrapped"),
        (Some(wrapped(tenant_id(2), 1, "5a")), "cannot be unwrapped"),
        (Some(damaged), "cannot be unwrapped"),
    ] {
        let refused = built(&with(key)).expect_err(reason);
        assert!(refused.contains(reason), "{refused}");
    }
    // Nobody else's business.
    let masked =
        RawTenant { policy: policy("{\"capture\":\"masked\"}"), ..with(Some(wrapped(tenant.id, 1, "5b"))) };
    assert_eq!(built(&masked), Ok(None));
}

#[test]
fn a_destroyed_data_key_is_dropped_with_the_policy_that_seals_with_it() {
    let builder = builder();
    let (mut sealed, key) = tenant(1, SEALED);
    sealed.data_keys = vec![wrapped(sealed.id, 1, "5a")];
    let first = builder.build(&raw(&[&sealed]), None, now()).snapshot;
    let sealer =
        |snapshot: &Snapshot| snapshot.tenant(sealed.id).unwrap().policy().unwrap().body_key().cloned();
    let renamed = changed(&sealed, |tenant| tenant.name = "renamed".into());
    let second = builder.update(&first, std::slice::from_ref(&renamed), &[], now()).snapshot;
    assert!(Arc::ptr_eq(&sealer(&first).unwrap(), &sealer(&second).unwrap()), "unwrapped once");

    let bad = changed(&renamed, |tenant| tenant.policy = policy(BAD));
    let third = builder.update(&second, std::slice::from_ref(&bad), &[], now()).snapshot;
    assert!(third.resolve(&key, now()).is_ok(), "the last good policy goes on");
    let destroyed = changed(&bad, |tenant| tenant.data_keys.clear());
    let last = builder.update(&third, std::slice::from_ref(&destroyed), &[], now()).snapshot;
    assert_eq!(refusal(&last, &key), Refusal::NoPolicy);
    assert!(last.tenant(sealed.id).unwrap().policy().is_none());
}
