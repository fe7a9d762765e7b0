use ring::rand::SystemRandom;

use super::*;

fn sealer(byte: &str) -> Sealer {
    MasterKey::parse(&byte.repeat(32)).unwrap().credential_sealer().unwrap()
}

#[test]
fn master_keys_are_read_in_both_forms() {
    let hex = "00".repeat(31) + "ff";
    let base64 = STANDARD.encode([vec![0; 31], vec![255]].concat());
    let tag = |text: &str| MasterKey::parse(text).unwrap().snapshot_authenticator().tag(b"x");
    assert_eq!(tag(&hex), tag(&base64));
    assert_eq!(tag(&hex), tag(&format!("  {}\n", hex.to_uppercase())));
}

#[test]
fn other_texts_are_refused_without_being_shown() {
    for text in
        ["", "secret", &"g".repeat(64), &"é".repeat(32), &"=".repeat(44), &"A".repeat(44), &"5a".repeat(33)]
    {
        let error = MasterKey::parse(text).unwrap_err().to_string();
        assert!(error.contains("openssl rand -hex 32"), "{error}");
        assert!(text.is_empty() || !error.contains(text), "{error}");
    }
}

#[test]
fn a_tenants_values_have_a_key_that_follows_from_its_id() {
    let [one, two] = [1, 2].map(|id| TenantId::from_uuid(uuid::Uuid::from_u128(id)));
    let fingerprint = |master: &str, tenant| {
        let key = MasterKey::parse(&master.repeat(32)).unwrap().value_keys().of(tenant);
        let detector = bulkhead_dlp::catalogue().select("US_SSN").remove(0).clone();
        let rules = vec![bulkhead_dlp::Rule::new(detector, bulkhead_dlp::Action::Alert)];
        let rules = bulkhead_dlp::RuleSet::new(rules, Vec::new()).with_value_key(key);
        rules.scan(b"SSN 078-05-1120").matches[0].fingerprint.unwrap()
    };
    assert_eq!(fingerprint("5a", one), fingerprint("5a", one));
    assert_ne!(fingerprint("5a", one), fingerprint("5a", two));
    assert_ne!(fingerprint("5a", one), fingerprint("5b", one));
}

#[test]
fn purposes_and_masters_have_different_keys() {
    let master = MasterKey::parse(&"5a".repeat(32)).unwrap();
    let other = MasterKey::parse(&"5b".repeat(32)).unwrap();
    let tags = [
        hmac::sign(master.pepper().key(), b"x").as_ref().to_vec(),
        master.snapshot_authenticator().tag(b"x"),
        other.snapshot_authenticator().tag(b"x"),
    ];
    assert!(tags[0] != tags[1] && tags[1] != tags[2]);
}

#[test]
fn sealed_bytes_open_only_unchanged_in_their_place_under_their_key() {
    let random = SystemRandom::new();
    let sealer_a = sealer("5a");
    let sealed = sealer_a.seal(b"place", b"sk-secret", &random).unwrap();
    assert_eq!(sealer_a.open(b"place", &sealed).unwrap().expose_secret(), "sk-secret");
    assert_ne!(sealed, sealer_a.seal(b"place", b"sk-secret", &random).unwrap(), "nonces differ");
    assert!(!sealed.windows(9).any(|window| window == b"sk-secret"));
    assert!(sealer_a.open(b"other place", &sealed).is_err());
    assert!(sealer("5b").open(b"place", &sealed).is_err());
    for index in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[index] ^= 1;
        assert!(sealer_a.open(b"place", &changed).is_err(), "byte {index}");
    }
    for length in 0..sealed.len() {
        assert!(sealer_a.open(b"place", &sealed[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn any_bytes_are_refused_without_a_panic() {
    let sealer = sealer("5a");
    proptest::proptest!(|(bytes: Vec<u8>)| {
        proptest::prop_assert!(sealer.open(b"", &bytes).is_err());
    });
}

#[test]
fn what_is_not_text_does_not_open() {
    let sealer = sealer("5a");
    let sealed = sealer.seal(b"", &[0xff, 0xfe], &SystemRandom::new()).unwrap();
    assert!(sealer.open(b"", &sealed).is_err());
}

#[test]
fn tags_are_checked_whole() {
    let authenticator = MasterKey::parse(&"5a".repeat(32)).unwrap().snapshot_authenticator();
    let tag = authenticator.tag(b"bytes");
    assert_eq!(tag.len(), Authenticator::TAG_LENGTH);
    assert!(authenticator.verify(b"bytes", &tag).is_ok());
    assert!(authenticator.verify(b"other", &tag).is_err());
    assert!(authenticator.verify(b"bytes", &tag[..31]).is_err());
    assert!(authenticator.verify(b"bytes", b"").is_err());
}

#[test]
fn nothing_secret_is_shown() {
    let master = MasterKey::parse(&"5a".repeat(32)).unwrap();
    let sealer = master.credential_sealer().unwrap();
    let shown = format!("{master:?} {:?} {sealer:?} {:?}", master.pepper(), master.snapshot_authenticator());
    assert_eq!(shown, "MasterKey(..) Pepper(..) Sealer(..) Authenticator(..)");
}
