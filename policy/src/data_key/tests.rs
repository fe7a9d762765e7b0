use proptest::prelude::*;
use ring::rand::SystemRandom;
use uuid::Uuid;

use super::*;
use crate::crypto::MasterKey;

fn tenant(id: u128) -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(id))
}

fn place(tenant_id: u128, trace: u128, direction: Direction) -> BodyPlace {
    BodyPlace { tenant: tenant(tenant_id), trace: TraceId::from_uuid(Uuid::from_u128(trace)), direction }
}

fn key(version: u32) -> DataKey {
    DataKey::generate(version, &SystemRandom::new()).unwrap()
}

fn provider(bytes: &str) -> LocalKeys {
    MasterKey::parse(&bytes.repeat(32)).unwrap().local_keys().unwrap()
}

/// The same secret under another number.
fn renumbered(key: &DataKey, version: u32) -> DataKey {
    DataKey { version, secret: SecretBox::new(Box::new(*key.secret.expose_secret())) }
}

#[test]
fn a_body_opens_nowhere_but_in_its_place_and_under_its_key() {
    let (ours, random) = (key(1), SystemRandom::new());
    let here = place(1, 1, Direction::Request);
    let sealed = ours.seal(here, b"an original", true, &random).unwrap();
    let opened = ours.open(here, &sealed).unwrap();
    assert_eq!((opened.bytes.as_slice(), opened.truncated), (b"an original".as_slice(), true));
    for elsewhere in
        [place(2, 1, Direction::Request), place(1, 2, Direction::Request), place(1, 1, Direction::Response)]
    {
        assert!(ours.open(elsewhere, &sealed).is_err(), "{elsewhere:?}");
    }
    assert!(renumbered(&ours, 2).open(here, &sealed).is_err(), "another version");
    assert!(key(1).open(here, &sealed).is_err(), "another key");
}

#[test]
fn no_two_sealings_of_one_body_are_alike() {
    let (key, random) = (key(1), SystemRandom::new());
    let here = place(1, 1, Direction::Request);
    let [one, two] = [(); 2].map(|()| key.seal(here, &[b'x'; 64], false, &random).unwrap());
    assert!(one.windows(8).all(|part| !two.windows(8).any(|other| other == part)));
}

#[test]
fn a_wrapped_key_belongs_to_one_tenant_one_version_and_one_master_key() {
    let (original, random) = (key(3), SystemRandom::new());
    let stored = original.wrap(tenant(1), &provider("5a"), &random).unwrap();
    let unwrapped = DataKey::unwrap(&stored, tenant(1), &provider("5a")).unwrap();
    assert_eq!(unwrapped.secret.expose_secret(), original.secret.expose_secret());
    assert_eq!(unwrapped.version(), 3);
    assert!(DataKey::unwrap(&stored, tenant(2), &provider("5a")).is_err());
    assert!(
        DataKey::unwrap(&RawDataKey { version: 4, ..stored.clone() }, tenant(1), &provider("5a")).is_err()
    );
    assert!(DataKey::unwrap(&stored, tenant(1), &provider("5b")).is_err());
    // A wrong name for the right key, and the right name for a wrong one.
    let other = provider("5b");
    let renamed = RawDataKey { key_id: other.key_id().to_owned(), ..stored.clone() };
    assert!(DataKey::unwrap(&renamed, tenant(1), &provider("5a")).is_err());
    assert!(DataKey::unwrap(&renamed, tenant(1), &other).is_err());
    for at in 0..stored.wrapped.len() {
        let mut damaged = stored.clone();
        damaged.wrapped[at] ^= 1;
        assert!(DataKey::unwrap(&damaged, tenant(1), &provider("5a")).is_err(), "byte {at}");
    }
}

#[test]
fn while_keys_are_rotated_the_old_one_opens_and_the_new_one_seals() {
    let random = SystemRandom::new();
    let master = |byte: &str| MasterKey::parse(&byte.repeat(32)).unwrap();
    let stored = key(1).wrap(tenant(1), &provider("5a"), &random).unwrap();
    let credential = master("5a").credential_sealer().unwrap().seal(b"row", b"sk", &random).unwrap();

    let both = master("5a").rotating_to(master("6b"));
    let keys = both.local_keys().unwrap();
    let rewrapped =
        DataKey::unwrap(&stored, tenant(1), &keys).unwrap().wrap(tenant(1), &keys, &random).unwrap();
    let sealer = both.credential_sealer().unwrap();
    assert_eq!(sealer.open(b"row", &credential).unwrap().expose_secret(), "sk");
    let resealed = sealer.seal(b"row", b"sk", &random).unwrap();
    assert!(sealer.is_newest(b"row", &resealed) && !sealer.is_newest(b"row", &credential));

    let after = master("5a").sealing_with(vec![master("6b")]);
    let keys = after.local_keys().unwrap();
    assert!(DataKey::unwrap(&rewrapped, tenant(1), &keys).is_ok());
    assert!(DataKey::unwrap(&stored, tenant(1), &keys).is_err());
    let sealer = after.credential_sealer().unwrap();
    assert!(sealer.open(b"row", &resealed).is_ok() && sealer.open(b"row", &credential).is_err());
    // What cannot be sealed anew stays as it was.
    let tag = |master: &MasterKey| master.snapshot_authenticator().tag(b"x");
    assert_eq!(tag(&after), tag(&master("5a")));
}

#[test]
fn nothing_secret_is_shown() {
    let key = key(7);
    let opened = OpenedBody { bytes: Zeroizing::new(b"private".to_vec()), truncated: false };
    assert_eq!(format!("{key:?} {opened:?}"), "DataKey { version: 7, .. } OpenedBody(..)");
}

proptest! {
    #[test]
    fn what_is_sealed_opens_as_it_was(body: Vec<u8>, truncated: bool) {
        let (key, here) = (key(1), place(1, 1, Direction::Response));
        let sealed = key.seal(here, &body, truncated, &SystemRandom::new()).unwrap();
        let opened = key.open(here, &sealed).unwrap();
        prop_assert_eq!((opened.bytes.as_slice(), opened.truncated), (body.as_slice(), truncated));
    }

    #[test]
    fn no_flipped_bit_and_no_cut_opens(body in prop::collection::vec(any::<u8>(), 0..40)) {
        let (key, here) = (key(1), place(1, 1, Direction::Request));
        let sealed = key.seal(here, &body, false, &SystemRandom::new()).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(key.open(here, &damaged).is_err(), "bit {}", bit);
        }
        for length in 0..sealed.len() {
            prop_assert!(key.open(here, &sealed[..length]).is_err(), "{} bytes", length);
        }
    }
}
