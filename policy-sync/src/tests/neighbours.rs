//! A tenant whose policies take long to compile, and one beside it.

use super::*;

/// A policy with detectors that nobody has compiled yet.
fn large(number: u32) -> String {
    let detectors = (0..20).map(|index| {
        let terms =
            (0..400).map(|term| format!("\"term {number} {index} {term} with more words behind it\""));
        let terms = terms.collect::<Vec<_>>().join(",");
        format!("{{\"id\":\"OWN_{index}\",\"ignore_case\":true,\"terms\":[{terms}]}}")
    });
    let detectors = detectors.collect::<Vec<_>>().join(",");
    format!(
        "{{\"dlp\":{{\"detectors\":[{detectors}],\"rules\":[{{\"detect\":[\"custom.*\"],\"on\":\"both\",\"action\":\"mask\"}}]}}}}"
    )
}

async fn second(office: &Office) -> Office {
    let tenant = system::create_tenant(&office.migrator, &by(), "beside").await.unwrap().id;
    Office { api: office.api.clone(), migrator: office.migrator.clone(), tenant }
}

#[tokio::test]
async fn a_large_policy_does_not_hold_up_another_tenants() {
    let url = database().await.unwrap();
    let noisy = Office::new(&url).await;
    let quiet = second(&noisy).await;
    let mut node = Node::ready(&url, "node", NEVER, None).await;
    for number in 0..3 {
        let large = noisy.publish(&large(number)).await;
        let small = quiet.limit(number + 1).await;
        let before = node.until(&Event::Applied(quiet.tenant, small)).await;
        let overtaken = !before.contains(&Event::Applied(noisy.tenant, large));
        assert!(overtaken, "the small one waited for the large one");
        node.until(&Event::Applied(noisy.tenant, large)).await;
    }
    node.stop().await;
}

#[tokio::test]
async fn of_many_large_policies_the_last_is_in_force_and_few_are_compiled() {
    let url = database().await.unwrap();
    let noisy = Office::new(&url).await;
    let mut node = Node::ready(&url, "node", NEVER, None).await;
    let mut last = noisy.publish(&large(0)).await;
    for number in 1..20 {
        last = noisy.publish(&large(number)).await;
    }
    let before = node.until(&Event::Applied(noisy.tenant, last)).await;
    let compiled = before.iter().filter(|event| matches!(event, Event::Applied(..))).count();
    assert!(compiled < 10, "{compiled} of 20 were compiled");
    noisy.status_until(|status| status.live_revision == Some(last)).await;
    node.stop().await;
}

#[tokio::test]
async fn a_key_is_revoked_while_its_tenants_large_policy_waits() {
    let url = database().await.unwrap();
    let noisy = Office::new(&url).await;
    let mut node = Node::ready(&url, "node", NEVER, None).await;
    let (key, revision) = noisy.key().await;
    node.until(&Event::Applied(noisy.tenant, revision)).await;
    noisy.publish(&large(0)).await;
    noisy.publish(&large(1)).await;
    let mut tx = noisy.api.tenant(noisy.tenant).await.unwrap();
    tx.revoke_key(&by(), key.id()).await.unwrap();
    let revoked = tx.revision().await.unwrap();
    tx.commit().await.unwrap();
    node.until(&Event::Applied(noisy.tenant, revoked)).await;
    let snapshot = node.handle.load().unwrap();
    assert_eq!(snapshot.resolve(&key, Utc::now()).unwrap_err().refusal, Refusal::Revoked);
    node.stop().await;
}

#[tokio::test]
async fn a_large_policy_that_is_refused_keeps_the_good_one() {
    let url = database().await.unwrap();
    let noisy = Office::new(&url).await;
    noisy.limit(7).await;
    let mut node = Node::ready(&url, "node", NEVER, None).await;
    let bad = large(0).replace("\"mask\"", "\"tokenize\"");
    let bad = noisy.publish(&bad).await;
    node.until(&Event::Rejected(Some(noisy.tenant), bad)).await;
    assert_eq!(node.requests_per_minute(noisy.tenant), Some(7));
    let good = noisy.publish(&large(0)).await;
    node.until(&Event::Applied(noisy.tenant, good)).await;
    node.stop().await;
}
