//! Step 6, reading: the whole request body, decoded, within its limits.
//!
//! The body is read before an upstream is chosen, because the model inside it chooses the upstream and
//! because nothing leaves before it was judged.

use crate::rejection::Rejection;
use crate::rewrite::names_other_charset;
use crate::room::Held;
use bulkhead_dialect::encoding::{ContentEncoding, DecodeError};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use pingora::protocols::http::ServerSession;
use std::time::Duration;

/// Bodies above this size are decoded off the event loop; they may unpack to a hundred times as much.
const INLINE_DECODE_BYTES: usize = 4 << 10;

/// Limits on reading one request body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadLimits {
    pub(crate) body_bytes_max: usize,
    pub(crate) deadline: Duration,
}

/// Reads the request body to its end and undoes its content encoding.
///
/// # Errors
/// A [`Rejection`] when the body is said to be no JSON in UTF-8, is too large (before or after decoding), too slow,
/// truncated, or in an encoding that cannot be read.
pub(crate) async fn read(
    session: &mut ServerSession,
    limits: ReadLimits,
    held: &mut Held<'_>,
) -> Result<Bytes, Rejection> {
    check_content_type(&session.req_header().headers)?;
    let encoding = content_encoding(session)?;
    if let Some(declared) = declared_length(session)
        && declared > limits.body_bytes_max
    {
        return Err(Rejection::body_too_large(limits.body_bytes_max));
    }
    if session.req_header().headers.contains_key(header::EXPECT) {
        session.write_continue_response().await.map_err(|_| Rejection::client_gone())?;
    }
    let encoded = tokio::time::timeout(limits.deadline, read_all(session, limits.body_bytes_max, held))
        .await
        .map_err(|_| Rejection::body_too_slow(limits.deadline))??;
    let Some(encoding) = encoding else { return Ok(encoded) };
    let max = limits.body_bytes_max;
    // The worst case first: many that unpack at once must not find out afterwards that there is no room.
    held.keep(ContentEncoding::decoded_bytes_max(encoded.len(), max))?;
    let decoded = if encoded.len() <= INLINE_DECODE_BYTES {
        decode(encoding, &encoded, max)
    } else {
        tokio::task::spawn_blocking(move || decode(encoding, &encoded, max))
            .await
            .unwrap_or_else(|_| Err(Rejection::internal("decoding the request body")))
    }?;
    held.keep_only(decoded.len());
    Ok(decoded)
}

async fn read_all(session: &mut ServerSession, max: usize, held: &mut Held<'_>) -> Result<Bytes, Rejection> {
    let Some(first) = next_chunk(session, held).await? else { return Ok(Bytes::new()) };
    let Some(second) = next_chunk(session, held).await? else {
        return if first.len() > max { Err(Rejection::body_too_large(max)) } else { Ok(first) };
    };
    let expected = declared_length(session).unwrap_or(first.len() + second.len());
    let mut body = BytesMut::with_capacity(expected.min(max));
    body.extend_from_slice(&first);
    let mut next = Some(second);
    while let Some(chunk) = next {
        if body.len() + chunk.len() > max {
            return Err(Rejection::body_too_large(max));
        }
        body.extend_from_slice(&chunk);
        next = next_chunk(session, held).await?;
    }
    Ok(body.freeze())
}

async fn next_chunk(session: &mut ServerSession, held: &mut Held<'_>) -> Result<Option<Bytes>, Rejection> {
    let chunk = session.read_request_body().await.map_err(|error| Rejection::body_unreadable(&error))?;
    held.keep(chunk.as_ref().map_or(0, Bytes::len))?;
    Ok(chunk)
}

fn declared_length(session: &ServerSession) -> Option<usize> {
    session.get_header(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The content type goes upstream with the body, so it must not make another text of it: a form, or other characters.
///
/// Types that only name no JSON pass; callers forget to set it.
fn check_content_type(headers: &HeaderMap) -> Result<(), Rejection> {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let Some(first) = types.next() else { return Ok(()) };
    let named = first.as_bytes().to_ascii_lowercase();
    let mut parts = named.split(|byte| matches!(byte, b';' | b',')).map(<[u8]>::trim_ascii);
    let is_multipart = parts.any(|part| part.starts_with(b"multipart/"));
    if is_multipart || names_other_charset(&named) || types.next().is_some() {
        Err(Rejection::not_json())
    } else {
        Ok(())
    }
}

/// `None` for the identity encoding.
fn content_encoding(session: &ServerSession) -> Result<Option<ContentEncoding>, Rejection> {
    let mut values = session.req_header().headers.get_all(header::CONTENT_ENCODING).iter();
    let Some(value) = values.next() else { return Ok(None) };
    // Stacked encodings are legal and nobody uses them: refuse rather than guess at their depth.
    if values.next().is_some() {
        return Err(Rejection::unknown_encoding());
    }
    match value.as_bytes().trim_ascii() {
        b"" => Ok(None),
        name if name.eq_ignore_ascii_case(b"identity") => Ok(None),
        name => ContentEncoding::named(name).map(Some).ok_or_else(Rejection::unknown_encoding),
    }
}

fn decode(encoding: ContentEncoding, encoded: &[u8], max: usize) -> Result<Bytes, Rejection> {
    encoding.decode(encoded, max).map(Bytes::from).map_err(|error| match error {
        DecodeError::TooLarge { max } => Rejection::body_too_large(max),
        DecodeError::Damaged => Rejection::undecodable(),
    })
}

#[cfg(test)]
mod tests;
