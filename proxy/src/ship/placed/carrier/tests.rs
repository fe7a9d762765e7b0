//! A carrier whose database takes nothing for a while.

use super::super::open;
use super::*;
use crate::metrics::Metrics;
use crate::ship::tests::{DATABASE, MASTER_KEY, World, dead_letters, mixed, traces};
use bulkhead_policy::crypto::MasterKey;
use bulkhead_store::Role;

#[tokio::test]
async fn what_is_set_aside_is_set_aside_once_however_often_its_batch_is_tried() {
    let world = World::new("carrier").await;
    let tenant = world.clients[1].tenant;
    let (records, [refused, good]) = mixed(tenant);
    let (mut writer, reader) = open(&world.folder.join("placed")).unwrap();
    let (_node, node) = open(&world.folder.join("node")).unwrap();
    records.iter().for_each(|record| writer.push(record).unwrap());
    writer.commit().unwrap();
    let (metrics, node) = (Arc::new(Metrics::new().unwrap()), SharedReader::new(node));
    let (_open, closing) = watch::channel(false);
    // Whoever may not append is let in perhaps later.
    let [shut, there] = [Role::Sync, Role::Writer].map(|role| Store::connect(&world.own, role, 1));
    let (shut, there) = (shut.await.unwrap(), there.await.unwrap());
    let placements = |store: &Store| {
        let placed = [(DATABASE.parse().unwrap(), store.clone())].into();
        Arc::new(Placements::new(world.snapshot.clone(), store.clone(), placed))
    };
    let mut carrier = Carrier {
        tenant,
        reader: SharedReader::new(reader),
        arrived: Arc::default(),
        closing,
        node: node.clone(),
        keys: MasterKey::parse(MASTER_KEY).unwrap().spool_keys(),
        placements: placements(&shut),
        dead_letters: DeadLetters { reader: node, metrics: Arc::clone(&metrics) },
        tried: Default::default(),
        waits_for: None,
    };
    let folder = world.folder.join("node");
    for _ in 0..3 {
        assert!(matches!(carrier.carry_next().await, Attempt::NotNow));
        assert_eq!(dead_letters(&folder), [None, Some(refused)]);
    }
    // More comes to the same batch meanwhile, and another batch after it.
    let (more, [more_refused, more_good]) = mixed(tenant);
    more.iter().for_each(|record| writer.push(record).unwrap());
    writer.commit().unwrap();
    carrier.placements = placements(&there);
    assert!(matches!(carrier.carry_next().await, Attempt::Carried));
    let (last, [last_refused, last_good]) = mixed(tenant);
    last.iter().for_each(|record| writer.push(record).unwrap());
    writer.commit().unwrap();
    assert!(matches!(carrier.carry_next().await, Attempt::Carried));
    assert!(matches!(carrier.carry_next().await, Attempt::Nothing));
    let all = [None, Some(refused), None, Some(more_refused), None, Some(last_refused)];
    assert_eq!(dead_letters(&folder), all);
    assert_eq!((metrics.spool.dead_letters.get(), metrics.traces_written.get()), (6, 3));
    let mut stored = [good, more_good, last_good];
    stored.sort_unstable();
    assert_eq!(traces(&world.own, tenant).await, stored);
}
