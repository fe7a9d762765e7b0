use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(*name, value.parse().unwrap());
    }
    map
}

fn status(pairs: &[(&'static str, &str)]) -> u16 {
    api_key(&headers(pairs), None).err().map_or(200, |rejection| rejection.status())
}

#[test]
fn a_key_is_found_in_every_header_that_sdks_use() {
    let random = ring::rand::SystemRandom::new();
    let (key, other) =
        (ApiKey::generate("test", &random).unwrap(), ApiKey::generate("test", &random).unwrap());
    let (key, other) = (key.expose().to_owned(), other.expose().to_owned());
    let bearer = format!("Bearer {key}");
    assert_eq!(status(&[("authorization", &bearer)]), 200);
    assert_eq!(status(&[("authorization", &format!("bearer  {key} "))]), 200);
    for name in ["x-api-key", "api-key", "x-goog-api-key"] {
        assert_eq!(status(&[(name, &key)]), 200, "{name}");
    }
    assert_eq!(status(&[("authorization", &bearer), ("x-api-key", &key)]), 200);
    assert_eq!(status(&[("authorization", &bearer), ("x-api-key", &other)]), 400);
    assert_eq!(status(&[("x-api-key", &key), ("x-api-key", &other)]), 400);
    assert_eq!(status(&[("authorization", &bearer), ("x-api-key", "")]), 400);
}

#[test]
fn anything_else_is_no_key() {
    let cases: &[&[(&'static str, &str)]] = &[
        &[],
        &[("authorization", "Basic dXNlcjpwYXNz")],
        &[("authorization", "Bearer ")],
        &[("authorization", "Bearer sk-something-else")],
        &[("x-api-key", "bh_test_short")],
    ];
    for case in cases {
        assert_eq!(status(case), 401, "{case:?}");
    }
}

#[test]
fn a_key_in_the_query_counts_like_one_in_a_header() {
    let random = ring::rand::SystemRandom::new();
    let (key, other) =
        (ApiKey::generate("test", &random).unwrap(), ApiKey::generate("test", &random).unwrap());
    let (key, other) = (key.expose(), other.expose());
    let cases = [
        (format!("key={key}"), "", 200),
        (format!("alt=sse&key={key}"), key, 200),
        (format!("key={key}&key={key}"), "", 200),
        (format!("key={key}&key={other}"), "", 400),
        (format!("key={key}"), other, 400),
        (format!("KEY={key}"), "", 401),
        (format!("k%65y={key}"), "", 401),
        ("key".to_owned(), "", 401),
        (String::new(), key, 200),
    ];
    for (query, header, status) in cases {
        let shown = headers(&[("x-goog-api-key", header)][..usize::from(!header.is_empty())]);
        let found = api_key(&shown, Some(&query)).err().map_or(200, |rejection| rejection.status());
        assert_eq!(found, status, "{query} {header}");
    }
}
