use ring::rand::SystemRandom;

use super::*;
use crate::crypto::MasterKey;

fn secret() -> [u8; 32] {
    std::array::from_fn(|index| u8::try_from(index).unwrap())
}

fn vector() -> ApiKey {
    ApiKey::assemble("test", "0123456789ABCDEF", &secret()).unwrap()
}

fn pepper(byte: &str) -> Pepper {
    MasterKey::parse(&byte.repeat(32)).unwrap().pepper()
}

#[test]
fn the_published_vector_holds() {
    assert_eq!(
        vector().expose(),
        "bh_test_0123456789ABCDEF003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf0PKGwz"
    );
}

#[test]
fn made_keys_are_read_back() {
    let random = SystemRandom::new();
    for env in ["a", "live", "0123456789abcdef"] {
        let made = ApiKey::generate(env, &random).unwrap();
        let read = ApiKey::parse(made.expose()).unwrap();
        assert_eq!(read.id(), made.id());
        assert!(made.expose().starts_with(&format!("bh_{env}_")));
        assert_eq!(made.expose().len(), 3 + env.len() + 1 + 16 + 43 + 6);
    }
}

#[test]
fn environments_are_checked() {
    for env in ["", "Live", "a-b", "a_b", "0123456789abcdefg", "ä"] {
        assert_eq!(ApiKey::generate(env, &SystemRandom::new()).unwrap_err(), GenerateError::Environment);
    }
}

#[test]
fn the_largest_secret_fits_its_digits() {
    assert_eq!(base62(&[0xff; 32], 43).len(), 43);
    let mut too_wide = [0xff; 32].to_vec();
    for _ in 0..43 {
        divide_by_62(&mut too_wide);
    }
    assert!(too_wide.iter().all(|byte| *byte == 0), "43 digits hold 256 bits");
    assert_eq!(base62(&[0], 3), "000");
    assert_eq!(base62(&[61], 2), "0z");
    assert_eq!(base62(&[1, 0], 2), "48");
}

#[test]
fn every_changed_character_is_noticed() {
    let text = vector().expose().to_owned();
    for index in 0..text.len() {
        let mut changed = text.clone().into_bytes();
        changed[index] = if changed[index] == b'x' { b'y' } else { b'x' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(ApiKey::parse(&changed).is_err(), "{index}");
    }
    for length in 0..text.len() {
        assert!(ApiKey::parse(&text[..length]).is_err(), "{length}");
    }
    assert!(ApiKey::parse(&format!("{text}0")).is_err());
    assert!(ApiKey::parse(&format!(" {text}")).is_err());
}

#[test]
fn junk_is_told_apart_from_a_mistyped_key() {
    for junk in ["", "bh_", "bh__", "sk-abc", "bh_test_", "Bearer x", &"é".repeat(40), &"_".repeat(80)] {
        assert_eq!(ApiKey::parse(junk).unwrap_err(), MalformedKey::Shape, "{junk}");
    }
    let mistyped = vector().expose().replace("ABCDEF", "ABCDEG");
    assert_eq!(ApiKey::parse(&mistyped).unwrap_err(), MalformedKey::Checksum);
}

#[test]
fn any_text_is_refused_without_a_panic() {
    proptest::proptest!(|(text in ".*", tail in "[0-9A-Za-zé_]{60,70}")| {
        proptest::prop_assert!(ApiKey::parse(&text).is_err());
        let shaped = format!("bh_test_{tail}");
        proptest::prop_assert!(ApiKey::parse(&shaped).is_err());
    });
}

#[test]
fn hashes_prove_one_key_under_one_pepper() {
    let (key, other) = (vector(), ApiKey::generate("test", &SystemRandom::new()).unwrap());
    let hash = key.hash(&pepper("5a"));
    assert!(hash.verify(&key, &pepper("5a")));
    assert!(!hash.verify(&other, &pepper("5a")));
    assert!(!hash.verify(&key, &pepper("5b")));
    assert!(!KeyHash::NONE.verify(&key, &pepper("5a")));
    let stored = serde_json::to_string(&hash).unwrap();
    assert_eq!(stored.len(), 66);
    assert_eq!(serde_json::from_str::<KeyHash>(&stored).unwrap(), hash);
    assert!(serde_json::from_str::<KeyHash>("\"00\"").is_err());
}

#[test]
fn secrets_are_never_shown() {
    let key = vector();
    let shown = format!("{key:?} {:?} {}", key.hash(&pepper("5a")), ApiKey::parse("bh_test_x").unwrap_err());
    assert_eq!(shown, "ApiKey(0123456789ABCDEF) KeyHash(..) api key has the wrong shape");
}
