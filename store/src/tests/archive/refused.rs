//! What is not taken, and leaves nothing behind.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;

/// Fails unless the archive is refused with these words, and the database is as it was.
async fn check(to: &World, archive: &[u8], options: &ImportOptions, words: &str) {
    let before = everything(to).await;
    let refused = import(to, archive, options).await.expect_err(words);
    let mut said = refused.to_string();
    if let Some(source) = std::error::Error::source(&refused) {
        said.push_str(&format!(": {source}"));
    }
    assert!(said.contains(words), "{said:?} does not say {words:?}");
    assert_eq!(everything(to).await, before, "{words}");
}

#[tokio::test]
async fn what_is_no_archive_of_this_tenant_is_refused_with_its_line() {
    let (from, to) = (World::new().await, World::new().await);
    let (tenant, _) = full_tenant(&from, "acme", "canary").await;
    let theirs = full_tenant(&to, "theirs", "other").await.0.to_string();
    let archive = lines(&export(&from, tenant).await);
    let ours = &*tenant.to_string();
    let line_of = |table: &str| archive.iter().position(|line| line.starts_with(table)).unwrap();
    let disabled = archive.iter().position(|line| line.contains(r#""disabled":true"#)).unwrap();
    // The second line is an agent's.
    let usage = line_of(r#"{"table":"budget_usage""#);
    let policy = line_of(r#"{"table":"policies""#) + 1;
    let doubled = format!(r#","tenant_id":"{theirs}"}}"#);
    let put_first = format!(r#""agents","tenant_id":"{theirs}","#);
    for (line, from, to_text, words) in [
        (0, &*archive[0], "{}", "line 1: not the header"),
        (0, r#""version":1"#, r#""version":2"#, "line 1: not the header"),
        (0, r#""schema":"#, r#""schema":9"#, "import it with that version"),
        (0, ours, &theirs, "line 2: a row of another tenant"),
        (0, r#""acme""#, r#""Not a name""#, "tenant is not allowed"),
        (0, r#""acme""#, r#""theirs""#, "tenant exists"),
        (1, ours, &theirs, "line 2: a row of another tenant"),
        (1, ours, &ours.to_uppercase(), "line 2: a row of another tenant"),
        (1, r#""agents","#, &put_first, "line 2: a row of another tenant"),
        (1, "}", &doubled, "line 2: column tenant_id stands there twice"),
        (1, r#""table":"agents","#, "", "line 2: not a row"),
        (1, r#""agents""#, r#""tenants""#, "line 2: no table \"tenants\""),
        (1, r#""agents""#, r#""audit_heads""#, "line 2: no table \"audit_heads\""),
        (1, r#""disabled""#, r#""enabled""#, "line 2: agents has no column \"enabled\""),
        (disabled, r#","disabled":true"#, "", ": agents has a column disabled"),
        (1, r#""tenant_id""#, r#""tenant\u005fid""#, "line 2: not a JSON object"),
        (1, &archive[1], "[1]", "line 2: not a JSON object"),
        (1, &archive[1], &archive[2], "insert into agents: "),
        (policy, r#""agent_id":""#, r#""agent_id":"0"#, "insert into policies: "),
        (usage, r#""unit":"usd""#, r#""unit":"eur""#, "insert into budget_usage: "),
    ] {
        let mut forged = archive.clone();
        forged[line] = forged[line].replace(from, to_text);
        assert_ne!(forged, archive, "{words}");
        check(&to, &ended(&forged), &options(), words).await;
    }
    let whole = ended(&archive);
    check(&to, &[&*whole, b"\n"].concat(), &options(), "something behind the last line").await;
    check(&to, b"", &options(), "cut off after line 0").await;
    check(&to, &whole[..whole.len() - 1], &options(), "cut off").await;
    check(&to, &[&whole[..3], &[0xFF][..], &whole[3..]].concat(), &options(), "not a JSON object in UTF-8")
        .await;
    import(&to, &whole, &options()).await.unwrap();
}

#[tokio::test]
async fn a_tenant_that_is_there_is_not_written_over() {
    let world = World::new().await;
    let (tenant, _) = full_tenant(&world, "acme", "canary").await;
    let archive = export(&world, tenant).await;
    let renamed = ImportOptions { name: Some("acme-again".to_owned()), ..options() };
    for options in [options(), renamed.clone()] {
        check(&world, &archive, &options, "tenant exists").await;
    }
    let other = World::new().await;
    other.tenant("acme").await;
    check(&other, &archive, &options(), "tenant exists").await;
    assert_eq!(import(&other, &archive, &renamed).await.unwrap().name, "acme-again");
    assert_eq!(system::tenant_by_name(&other.migrator, "acme-again").await.unwrap().id, tenant);
}

#[tokio::test]
async fn under_another_master_key_credentials_are_left_out_if_that_is_said() {
    let (from, to) = (World::new().await, World::new().await);
    let (tenant, _) = full_tenant(&from, "acme", "canary").await;
    let archive = export(&from, tenant).await;
    let other_key = ImportOptions { master_key: master_key("5b"), ..options() };
    check(&to, &archive, &other_key, "another master key").await;
    let without = ImportOptions { other_master_key: true, ..other_key };
    let imported = import(&to, &archive, &without).await.unwrap();
    assert_eq!(imported.left_out, ["credentials"]);
    let mut tx = to.api.tenant(tenant).await.unwrap();
    assert_eq!(tx.credentials().await.unwrap(), []);
    assert_eq!(tx.keys(None).await.unwrap().len(), 2);
    assert!(String::from_utf8(archive).unwrap().contains("\"master_key\""));
}

/// How a file comes to harm.
#[derive(Debug, Clone)]
enum Harm {
    Cut,
    Flipped(u8),
    Removed(usize),
    Inserted(Vec<u8>),
    LineRemoved,
    LineDoubled,
    LinesSwapped,
}

impl Harm {
    fn done_to(&self, archive: &[u8], place: prop::sample::Index) -> Vec<u8> {
        let at = place.index(archive.len());
        let (before, behind) = archive.split_at(at);
        let mut lines: Vec<&[u8]> = archive.split_inclusive(|byte| *byte == b'\n').collect();
        let line = place.index(lines.len());
        match self {
            Self::Cut => before.to_vec(),
            Self::Flipped(bits) => [before, &[behind[0] ^ bits], &behind[1..]].concat(),
            Self::Removed(count) => [before, &behind[(*count).min(behind.len())..]].concat(),
            Self::Inserted(bytes) => [before, bytes, behind].concat(),
            Self::LineRemoved => {
                lines.remove(line);
                lines.concat()
            }
            Self::LineDoubled => {
                lines.insert(line, lines[line]);
                lines.concat()
            }
            Self::LinesSwapped => {
                let next = (line + 1) % lines.len();
                lines.swap(line, next);
                lines.concat()
            }
        }
    }
}

#[test]
fn no_archive_that_came_to_harm_is_taken() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (world, archive, before) = runtime.block_on(async {
        let (from, to) = (World::new().await, World::new().await);
        let (tenant, _) = full_tenant(&from, "acme", "canary").await;
        let before = everything(&to).await;
        (to, export(&from, tenant).await, before)
    });
    let harm = prop_oneof![
        Just(Harm::Cut),
        (1..=255_u8).prop_map(Harm::Flipped),
        (1..200_usize).prop_map(Harm::Removed),
        vec(any::<u8>(), 1..20).prop_map(Harm::Inserted),
        Just(Harm::LineRemoved),
        Just(Harm::LineDoubled),
        Just(Harm::LinesSwapped),
    ];
    let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    let cases = (harm, any::<prop::sample::Index>());
    runner
        .run(&cases, |(harm, place)| {
            let harmed = harm.done_to(&archive, place);
            prop_assume!(harmed != archive);
            runtime.block_on(async {
                prop_assert!(import(&world, &harmed, &options()).await.is_err());
                prop_assert_eq!(everything(&world).await, before.clone());
                Ok(())
            })
        })
        .unwrap();
    runtime.block_on(async { import(&world, &archive, &options()).await.unwrap() });
}
