//! The audit trail comes back as it was, or goes on where it is.

use super::*;

#[tokio::test]
async fn a_tenant_comes_back_to_where_its_trail_is() {
    let world = World::new().await;
    let (tenant, _) = full_tenant(&world, "acme", "canary").await;
    let archive = export(&world, tenant).await;
    let length = trail_length(&world, tenant).await;
    let before = stored(&world, tenant, length).await;
    system::delete_tenant(&world.migrator, &actor(), tenant).await.unwrap();
    import(&world, &archive, &options()).await.unwrap();
    assert_eq!(stored(&world, tenant, length).await, before);
    assert_eq!(trail_length(&world, tenant).await, length + 2, "deleted and imported");
}

#[tokio::test]
async fn a_tenant_that_changed_elsewhere_comes_back_without_that_trail() {
    let (home, away) = (World::new().await, World::new().await);
    let (tenant, _) = full_tenant(&home, "acme", "canary").await;
    let there = export(&home, tenant).await;
    import(&away, &there, &options()).await.unwrap();
    away.agent(tenant, "made away", "CCCCCCCCCCCCCCCC").await;
    let back = export(&away, tenant).await;
    system::delete_tenant(&home.migrator, &actor(), tenant).await.unwrap();
    let (before, length) = (everything(&home).await, trail_length(&home, tenant).await);
    let refused = import(&home, &back, &options()).await.unwrap_err();
    assert!(matches!(refused, ArchiveError::OtherTrail { .. }), "{refused:?}");
    assert_eq!(everything(&home).await, before);

    let imported = import(&home, &back, &ImportOptions { keep_trail: true, ..options() }).await.unwrap();
    assert_eq!(imported.left_out, ["audit"]);
    assert_eq!(trail_length(&home, tenant).await, length + 1);
    assert!(home.api.tenant(tenant).await.unwrap().agent_by_name("made away").await.is_ok());
    // Where there is none to keep, it comes back.
    let third = World::new().await;
    let imported = import(&third, &back, &ImportOptions { keep_trail: true, ..options() }).await.unwrap();
    assert_eq!(imported.left_out, [] as [&str; 0]);
}

#[tokio::test]
async fn a_trail_that_is_not_whole_does_not_come_back() {
    let (from, to) = (World::new().await, World::new().await);
    let (tenant, _) = full_tenant(&from, "acme", "canary").await;
    let lines = lines(&export(&from, tenant).await);
    let fourth = lines.iter().position(|line| line.contains(r#""seq":4,"#)).unwrap();
    let last = lines.len() - 1;
    let replaced = |at: usize, from: &str, to: &str| {
        let mut lines = lines.clone();
        assert!(lines[at].contains(from), "{}", lines[at]);
        lines[at] = lines[at].replace(from, to);
        lines
    };
    let without = |at: usize| {
        let mut lines = lines.clone();
        lines.remove(at);
        lines
    };
    let hash_of = |line: &str| line.split(r#""hash":"#).nth(1).unwrap().trim_end_matches('}').to_owned();
    let doubled = [&lines[..=fourth], &lines[fourth..]].concat();
    let before = everything(&to).await;
    for (how, forged) in [
        ("changed", replaced(fourth, "tester", "eve")),
        ("made earlier", replaced(fourth, r#""at":"20"#, r#""at":"19"#)),
        ("renumbered", replaced(fourth, r#""seq":4,"#, r#""seq":40,"#)),
        ("with the hash of another", replaced(fourth, &hash_of(&lines[fourth]), &hash_of(&lines[last]))),
        ("the last without a hash", replaced(last, &hash_of(&lines[last]), "null")),
        ("left out", without(fourth)),
        ("twice", doubled),
    ] {
        let refused = import(&to, &ended(&forged), &options()).await.unwrap_err();
        assert!(matches!(refused, ArchiveError::Rows { table: "audit", .. }), "{how}: {refused:?}");
        assert_eq!(everything(&to).await, before, "{how}");
    }
    import(&to, &ended(&lines), &options()).await.unwrap();
}
