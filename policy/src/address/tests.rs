use super::*;

#[test]
fn base_urls_are_taken_apart() {
    for (text, tls, host, port, prefix) in [
        ("https://api.openai.com", true, "api.openai.com", 443, ""),
        ("https://api.openai.com/v1/", true, "api.openai.com", 443, ""),
        ("https://API.Groq.com:8443/openai/v1", true, "api.groq.com", 8443, "/openai"),
        ("https://example.com/a/b/", true, "example.com", 443, "/a/b"),
        ("http://127.0.0.1:9000", false, "127.0.0.1", 9000, ""),
        ("http://[::1]:9000/x", false, "::1", 9000, "/x"),
        ("http://localhost", false, "localhost", 80, ""),
    ] {
        let base = BaseUrl::parse(text, &Reach::Anywhere).unwrap();
        assert_eq!(
            (base.tls, base.host.as_str(), base.port, base.path_prefix.as_str()),
            (tls, host, port, prefix)
        );
    }
    assert_eq!(
        BaseUrl::parse("http://[::1]:9000/x", &Reach::Anywhere).unwrap().to_string(),
        "http://[::1]:9000/x"
    );
}

#[test]
fn what_could_reach_inside_or_carry_secrets_is_refused() {
    use InvalidBaseUrl::{Private, Query, Scheme, Syntax, UserInfo};
    for (text, expected) in [
        ("", Syntax),
        ("api.openai.com", Syntax),
        ("https://", Syntax),
        ("https://exa mple.com", Syntax),
        ("http://api.openai.com", Scheme),
        ("ftp://api.openai.com", Scheme),
        ("file:///etc/passwd", Scheme),
        ("https://user:pw@api.openai.com", UserInfo),
        ("https://user@api.openai.com", UserInfo),
        ("https://api.openai.com/?key=1", Query),
        ("https://api.openai.com/#x", Query),
        ("https://localhost", Private),
        ("https://LOCALHOST.", Private),
        ("https://a.localhost", Private),
        ("https://metadata.google.internal", Private),
        ("https://printer.local", Private),
        ("https://127.0.0.1", Private),
        ("https://127.1", Private),
        ("https://2130706433", Private),
        ("https://0x7f.1", Private),
        ("https://0177.0.0.1", Private),
        ("https://169.254.169.254", Private),
        ("https://10.1.2.3", Private),
        ("https://[::1]", Private),
        ("https://[::ffff:127.0.0.1]", Private),
        ("https://[fd00::1]", Private),
        ("https://[fe80::1]", Private),
        ("https://[64:ff9b::10.0.0.1]", Private),
    ] {
        assert_eq!(BaseUrl::parse(text, &Reach::Public), Err(expected), "{text}");
    }
    assert_eq!(BaseUrl::parse(&format!("https://{}.com", "a".repeat(600)), &Reach::Anywhere), Err(Syntax));
    assert!(BaseUrl::parse("https://notlocalhost.com", &Reach::Public).is_ok());
}

#[test]
fn special_ranges_are_not_public() {
    let inside = "0.1.2.3 10.0.0.1 100.64.0.1 100.127.255.255 127.8.8.8 169.254.0.1 172.16.0.1 172.31.255.255 192.0.0.1 \
        192.0.2.1 192.168.0.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 240.0.0.1 255.255.255.255 \
        :: ::1 ::ffff:10.0.0.1 64:ff9b::192.168.0.1 100:: 2001:db8::1 2001::1 2002:a00:1:: 3fff:fff::1 fc00::1 \
        fdff::1 fe80::1 febf::1 ff02::1";
    for address in inside.split_whitespace() {
        assert!(!is_public(address.parse().unwrap()), "{address}");
    }
    let outside = "1.1.1.1 8.8.8.8 100.63.0.1 100.128.0.1 172.15.0.1 172.32.0.1 192.1.0.1 198.17.0.1 198.20.0.1 223.255.255.1 \
        2606:4700::1111 2a00:1450::1 ::ffff:1.1.1.1 64:ff9b::808:808 2001:4860:4860::8888 2002:808:808::1";
    for address in outside.split_whitespace() {
        assert!(is_public(address.parse().unwrap()), "{address}");
    }
}
