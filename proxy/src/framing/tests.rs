use super::*;

fn check_lines(lines: &[&str]) -> Result<(), Violation> {
    let raw = format!("{}\r\n\r\n", lines.join("\r\n"));
    check_raw(raw.as_bytes())
}

#[test]
fn an_ordinary_head_passes() {
    let head = ["POST /v1/chat/completions?beta=true HTTP/1.1", "Host: a", "Content-Length: 12", "X-Empty:"];
    assert_eq!(check_lines(&head), Ok(()));
    assert_eq!(check_lines(&["GET / HTTP/1.0", "Host: a"]), Ok(()));
    assert_eq!(check_lines(&["POST / HTTP/1.1", "Host: a", "transfer-encoding: Chunked"]), Ok(()));
}

#[test]
fn every_ambiguous_head_is_refused() {
    use Violation::*;
    let cases: &[(&[&str], Violation)] = &[
        (&["POST / HTTP/1.1", "Content-Length: 5", "Transfer-Encoding: chunked"], TransferEncoding),
        (&["POST / HTTP/1.1", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], TransferEncoding),
        (&["POST / HTTP/1.1", "Transfer-Encoding: gzip, chunked"], TransferEncoding),
        (&["POST / HTTP/1.1", "Transfer-Encoding: identity"], TransferEncoding),
        (&["POST / HTTP/1.0", "Transfer-Encoding: chunked"], TransferEncoding),
        (&["POST / HTTP/1.1", "Content-Length: 5", "Content-Length: 5"], ContentLength),
        (&["POST / HTTP/1.1", "Content-Length: 5, 5"], ContentLength),
        (&["POST / HTTP/1.1", "Content-Length: +5"], ContentLength),
        (&["POST / HTTP/1.1", "Content-Length: 005"], ContentLength),
        (&["POST / HTTP/1.1", "Content-Length: 0x5"], ContentLength),
        (&["POST / HTTP/1.1", "Content-Length: 5_0"], ContentLength),
        (&["POST / HTTP/1.1", "Content-Length:"], ContentLength),
        (&["POST / HTTP/1.1", "Content-Length: 99999999999999999999"], ContentLength),
        (&["POST / HTTP/1.1", "Content-Length : 5"], HeaderLine),
        (&["POST / HTTP/1.1", "X: a", " folded"], HeaderLine),
        (&["POST / HTTP/1.1", "no colon"], HeaderLine),
        (&["POST / HTTP/1.1", ": no name"], HeaderLine),
        (&["POST / HTTP/1.1", "X: a\nY: b"], LineEnd),
        (&["POST / HTTP/1.1", "X: a\rb"], LineEnd),
        (&["POST / HTTP/1.1", "X: a\0b"], LineEnd),
        (&["POST http://b/ HTTP/1.1", "Host: a"], Target),
        (&["POST /a b HTTP/1.1", "Host: a"], RequestLine),
        (&["POST / HTTP/1.2", "Host: a"], RequestLine),
        (&["POST / HTTP/2.0", "Host: a"], RequestLine),
        (&["PO ST / HTTP/1.1", "Host: a"], RequestLine),
    ];
    for (lines, expected) in cases {
        assert_eq!(check_lines(lines), Err(*expected), "{lines:?}");
    }
    assert_eq!(check_raw(b"GET / HTTP/1.1\nHost: a\n\n"), Err(LineEnd));
}

#[test]
fn parsed_headers_are_checked_for_twins_and_nominations() {
    let headers = |pairs: &[(&'static str, &'static str)]| {
        let mut map = HeaderMap::new();
        map.append("host", "a".parse().unwrap());
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    };
    let check = |pairs: &[(&'static str, &'static str)]| check_parsed(&headers(pairs), Version::HTTP_11);
    assert_eq!(check(&[("x_api_key", "k")]), Err(Violation::ImitatedHeader));
    assert_eq!(check(&[("transfer_encoding", "chunked")]), Err(Violation::ImitatedHeader));
    assert_eq!(check(&[("connection", "close, Authorization")]), Err(Violation::ConnectionNominates));
    assert_eq!(check(&[("expect", "200-ok")]), Err(Violation::Expect));
    assert_eq!(check(&[("host", "b")]), Err(Violation::Host));
    assert_eq!(check(&[("connection", "keep-alive"), ("expect", "100-continue")]), Ok(()));
    assert_eq!(check_parsed(&HeaderMap::new(), Version::HTTP_11), Err(Violation::Host));
    assert_eq!(check_parsed(&HeaderMap::new(), Version::HTTP_2), Ok(()));
}
