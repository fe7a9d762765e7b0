//! What the proxy itself writes to callers: refusals, probes, and the headers that every response carries.

use crate::rejection::Rejection;
use crate::rewrite::{POLICY_REVISION, REQUEST_ID, X_REQUEST_ID};
use bulkhead_dialect::{Dialect, error};
use bulkhead_policy::ids::{Revision, TraceId};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use std::time::Duration;

/// Bounds a write to the caller: pingora bounds body writes only, and a caller that stops reading must not
/// hold its connection, its room and a drain for ever.
pub(crate) async fn in_time<T>(
    limit: Duration,
    write: impl Future<Output = pingora::Result<T>>,
) -> Result<T, Rejection> {
    match tokio::time::timeout(limit, write).await {
        Ok(Ok(done)) => Ok(done),
        _ => Err(Rejection::client_gone()),
    }
}

/// The headers that tell a caller, and later its operator, which request and which policy this was.
pub(crate) fn identity(id: TraceId, revision: Option<Revision>) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::with_capacity(3);
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        headers.push((HeaderName::from_static(X_REQUEST_ID), value.clone()));
        headers.push((HeaderName::from_static(REQUEST_ID), value));
    }
    if let Some(revision) = revision {
        headers.push((HeaderName::from_static(POLICY_REVISION), HeaderValue::from(revision.get())));
    }
    headers
}

/// Makes a refusal in the caller's dialect.
pub(crate) fn refusal(
    dialect: Dialect,
    rejection: &Rejection,
    id: TraceId,
    revision: Option<Revision>,
) -> pingora::Result<(ResponseHeader, Bytes)> {
    let request_id = id.to_string();
    let body: Bytes = rejection.with_info(&request_id, |info| error::body(dialect, info)).into();
    let mut head = ResponseHeader::build(rejection.status(), Some(8))?;
    head.insert_header(header::CONTENT_TYPE, "application/json")?;
    for (name, value) in identity(id, revision) {
        head.insert_header(name, value)?;
    }
    for (name, value) in rejection.headers() {
        head.insert_header(name, value)?;
    }
    Ok((head, body))
}

/// Answers `GET /` and `HEAD /`, with which some clients look whether anybody is there.
pub(crate) async fn root(session: &mut ServerSession) -> pingora::Result<()> {
    let mut head = ResponseHeader::build(StatusCode::OK, Some(2))?;
    head.insert_header(header::CONTENT_TYPE, "application/json")?;
    write_whole(session, head, Bytes::from_static(b"{\"service\":\"bulkhead\"}\n")).await
}

/// Answers a head that could not be parsed; nobody knows its dialect, so OpenAI's, the most common one.
pub(crate) async fn malformed(session: &mut ServerSession) -> pingora::Result<()> {
    let rejection = Rejection::unparsable_head();
    let body: Bytes = rejection.with_info("", |info| error::body(Dialect::OpenAi, info)).into();
    let mut head = ResponseHeader::build(rejection.status(), Some(4))?;
    head.insert_header(header::CONTENT_TYPE, "application/json")?;
    head.insert_header(header::CONTENT_LENGTH, body.len())?;
    session.write_error_response(head, body).await
}

/// Writes a response whose body is complete.
pub(crate) async fn write_whole(
    session: &mut ServerSession,
    mut head: ResponseHeader,
    body: Bytes,
) -> pingora::Result<()> {
    let has_no_body = session.req_header().method == Method::HEAD
        || head.status == StatusCode::NO_CONTENT
        || head.status == StatusCode::NOT_MODIFIED;
    if head.status != StatusCode::NO_CONTENT {
        head.insert_header(header::CONTENT_LENGTH, body.len())?;
    }
    session.write_response_header(Box::new(head)).await?;
    if !has_no_body {
        session.write_response_body(body, true).await?;
    }
    Ok(())
}
