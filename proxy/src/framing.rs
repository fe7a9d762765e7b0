//! Step 1: a request head is unambiguous or it is refused.
//!
//! 1. The check reads the raw bytes of the head. The parser has already dropped `Content-Length` where
//!    `Transfer-Encoding` stood beside it, so parsed headers cannot show that both were sent.
//! 2. Two readers of one head must never disagree about where the body ends, who is asking, or which host
//!    is meant. Whatever could be read in two ways is refused, never repaired.
//! 3. The upstream request is written from scratch with its own framing, so nothing here is forwarded.

use http::{HeaderMap, Method, StatusCode, Version, header};
use pingora::protocols::http::ServerSession;

/// Header names that decide framing or identity: a twin spelled with underscores is refused as well.
const GUARDED: &[&str] = &[
    "content-length",
    "transfer-encoding",
    "host",
    "connection",
    "authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
];

/// Why a request head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("the request head ends a line with something other than CR LF")]
    LineEnd,
    #[error("the request line is not `METHOD target HTTP/1.x`")]
    RequestLine,
    #[error("the request target must be a path; absolute URLs are for forward proxies")]
    Target,
    #[error("a header line is malformed")]
    HeaderLine,
    #[error("a header name imitates a framing or credential header")]
    ImitatedHeader,
    #[error("Content-Length must stand once, as plain digits")]
    ContentLength,
    #[error("Transfer-Encoding must be `chunked`, once, on HTTP/1.1, without Content-Length")]
    TransferEncoding,
    #[error("exactly one Host header is needed")]
    Host,
    #[error("Connection must not name a credential or framing header")]
    ConnectionNominates,
    #[error("Expect may only be `100-continue`")]
    Expect,
    #[error("the request head is longer than {max} bytes")]
    HeadTooLarge { max: usize },
    #[error("method {0} is not served")]
    Method(&'static str),
}

impl Violation {
    /// The status that names this violation best.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Expect => StatusCode::EXPECTATION_FAILED,
            Self::HeadTooLarge { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// Checks the head of a request that the server has parsed.
pub(crate) fn check(session: &ServerSession, head_bytes_max: usize) -> Result<(), Violation> {
    let head = session.req_header();
    match head.method {
        Method::TRACE => return Err(Violation::Method("TRACE")),
        Method::CONNECT => return Err(Violation::Method("CONNECT")),
        _ => {}
    }
    if let Some(h1) = session.as_http1() {
        let raw = h1.get_headers_raw_bytes();
        if raw.len() > head_bytes_max {
            return Err(Violation::HeadTooLarge { max: head_bytes_max });
        }
        check_raw(&raw)?;
    }
    check_parsed(&head.headers, head.version)
}

/// Rules that hold for every protocol version.
fn check_parsed(headers: &HeaderMap, version: Version) -> Result<(), Violation> {
    for name in headers.keys() {
        let name = name.as_str();
        if name.contains('_') && GUARDED.contains(&name.replace('_', "-").as_str()) {
            return Err(Violation::ImitatedHeader);
        }
    }
    let mut expect = headers.get_all(header::EXPECT).iter();
    if expect.any(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Err(Violation::Expect);
    }
    if headers.get_all(header::CONTENT_LENGTH).iter().count() > 1 {
        return Err(Violation::ContentLength);
    }
    for value in headers.get_all(header::CONNECTION) {
        let nominated = value.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii);
        for token in nominated {
            if token.eq_ignore_ascii_case(b"connection") {
                continue;
            }
            if GUARDED.iter().any(|guarded| token.eq_ignore_ascii_case(guarded.as_bytes())) {
                return Err(Violation::ConnectionNominates);
            }
        }
    }
    let hosts = headers.get_all(header::HOST).iter().count();
    match version {
        Version::HTTP_2 if hosts > 1 => Err(Violation::Host),
        Version::HTTP_2 => Ok(()),
        _ if hosts != 1 => Err(Violation::Host),
        _ => Ok(()),
    }
}

/// Rules on the bytes of an HTTP/1 head, from the request line to the empty line.
fn check_raw(raw: &[u8]) -> Result<(), Violation> {
    let text = raw.strip_suffix(b"\r\n\r\n").ok_or(Violation::LineEnd)?;
    let mut lines = Lines { rest: Some(text) };
    let version = check_request_line(lines.next().ok_or(Violation::RequestLine)??)?;

    let mut content_length = 0_usize;
    let mut transfer_encoding = 0_usize;
    for line in lines {
        let line = line?;
        let colon = line.iter().position(|b| *b == b':').ok_or(Violation::HeaderLine)?;
        let (name, value) = line.split_at(colon);
        if name.is_empty() || !name.iter().all(|b| is_token(*b)) {
            return Err(Violation::HeaderLine);
        }
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            content_length += 1;
            check_content_length(value)?;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            transfer_encoding += 1;
            if version == HttpVersion::One || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Violation::TransferEncoding);
            }
        }
    }
    if content_length > 1 {
        return Err(Violation::ContentLength);
    }
    if transfer_encoding > 1 || (transfer_encoding == 1 && content_length == 1) {
        return Err(Violation::TransferEncoding);
    }
    Ok(())
}

#[derive(PartialEq, Eq)]
enum HttpVersion {
    One,
    OneOne,
}

fn check_request_line(line: &[u8]) -> Result<HttpVersion, Violation> {
    let mut parts = line.split(|b| *b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Violation::RequestLine);
    };
    if method.is_empty() || !method.iter().all(|b| is_token(*b)) {
        return Err(Violation::RequestLine);
    }
    if !target.starts_with(b"/") && target != b"*" {
        return Err(Violation::Target);
    }
    if target.iter().any(|b| !b.is_ascii_graphic()) {
        return Err(Violation::Target);
    }
    match version {
        b"HTTP/1.1" => Ok(HttpVersion::OneOne),
        b"HTTP/1.0" => Ok(HttpVersion::One),
        _ => Err(Violation::RequestLine),
    }
}

fn check_content_length(value: &[u8]) -> Result<(), Violation> {
    let digits = !value.is_empty() && value.len() <= 18 && value.iter().all(u8::is_ascii_digit);
    let leading_zero = value.len() > 1 && value.starts_with(b"0");
    if digits && !leading_zero { Ok(()) } else { Err(Violation::ContentLength) }
}

/// `token` of RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The lines of a head; a line end other than CR LF, or a control character, is an error.
struct Lines<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Result<&'a [u8], Violation>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest?;
        let end = rest.windows(2).position(|pair| pair == b"\r\n");
        let line = match end {
            Some(end) => {
                self.rest = rest.get(end + 2..);
                rest.get(..end).unwrap_or_default()
            }
            None => {
                self.rest = None;
                rest
            }
        };
        if line.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
            return Some(Err(Violation::LineEnd));
        }
        // A line that starts with white space continues the one before it (obs-fold): two readings.
        if line.first().is_some_and(|b| matches!(b, b' ' | b'\t')) {
            return Some(Err(Violation::HeaderLine));
        }
        Some(Ok(line))
    }
}

#[cfg(test)]
mod tests;
