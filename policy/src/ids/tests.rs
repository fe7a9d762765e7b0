use super::*;

#[test]
fn key_ids_take_sixteen_base62_characters_and_nothing_else() {
    for good in ["0aZ9bcdefghijklm", "AAAAAAAAAAAAAAAA", "0123456789abcdef"] {
        assert_eq!(good.parse::<KeyId>().unwrap().to_string(), good);
    }
    for bad in ["", "0123456789abcde", "0123456789abcdef0", "0123456789abcde-", "0123456789abcdé"] {
        assert!(bad.parse::<KeyId>().is_err(), "{bad}");
    }
}

#[test]
fn key_ids_survive_serde_and_refuse_junk_there_too() {
    let id: KeyId = "0aZ9bcdefghijklm".parse().unwrap();
    let text = serde_json::to_string(&id).unwrap();
    assert_eq!(text, "\"0aZ9bcdefghijklm\"");
    assert_eq!(serde_json::from_str::<KeyId>(&text).unwrap(), id);
    assert!(serde_json::from_str::<KeyId>("\"junk\"").is_err());
}

#[test]
fn trace_ids_are_version_seven_and_carry_the_time() {
    let at = DateTime::from_timestamp(1_700_000_000, 123_000_000).unwrap();
    let (first, second) = (TraceId::fresh(at), TraceId::fresh(at));
    assert_ne!(first, second);
    assert_eq!(first.as_uuid().get_version_num(), 7);
    let (seconds, _) = first.as_uuid().get_timestamp().unwrap().to_unix();
    assert_eq!(seconds, 1_700_000_000);
}

#[test]
fn ids_name_what_was_expected() {
    let error = "x".parse::<TenantId>().unwrap_err();
    assert_eq!(error.to_string(), "not a valid tenant id: expected a UUID");
}

#[test]
fn database_names_are_safe_in_paths_and_variables() {
    let longest = "a".repeat(63);
    for good in ["a", "acme-eu", "7", "shared", &longest] {
        assert_eq!(good.parse::<DatabaseName>().unwrap().as_str(), good);
    }
    for bad in ["", "-a", "a-", "A", "a_b", "a/b", "..", "a b", &format!("{longest}a")] {
        assert!(bad.parse::<DatabaseName>().is_err(), "{bad}");
        assert!(serde_json::from_value::<DatabaseName>(bad.into()).is_err(), "{bad}");
    }
}
