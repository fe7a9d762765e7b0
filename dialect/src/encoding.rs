//! The content encodings of bodies (RFC 9110 section 8.4), undone within limits.

use std::io::Read;

/// Decoded bytes per encoded byte beyond which a body counts as a decompression bomb. Text that people
/// send compresses 3-20 times; deflate's ceiling is about 1,030.
const RATIO_MAX: usize = 100;
/// Below this size the ratio says nothing: ten kilobytes of one letter are no attack.
const RATIO_FLOOR_BYTES: usize = 1 << 20;

/// A content encoding that can be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentEncoding {
    /// RFC 1952.
    Gzip,
    /// The zlib format of RFC 1950; "deflate" means no other (RFC 9110 section 8.4.1.2).
    Deflate,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
}

/// Why a body was not decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It has more bytes than are allowed.
    #[error("more than {max} bytes")]
    TooLarge {
        /// The limit: the caller's, or that of what so few encoded bytes may become.
        max: usize,
    },
    /// It is not in its encoding, or ends too early.
    #[error("not in the stated encoding")]
    Damaged,
}

impl ContentEncoding {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Gzip, Self::Deflate, Self::Brotli, Self::Zstd];

    /// The encoding that a `Content-Encoding` header names, in any case.
    ///
    /// ```
    /// use bulkhead_dialect::encoding::ContentEncoding;
    ///
    /// assert_eq!(ContentEncoding::named(b"GZIP"), Some(ContentEncoding::Gzip));
    /// assert_eq!(ContentEncoding::named(b"compress"), None);
    /// ```
    #[must_use]
    pub fn named(name: &[u8]) -> Option<Self> {
        match name.to_ascii_lowercase().as_slice() {
            b"gzip" | b"x-gzip" => Some(Self::Gzip),
            b"deflate" => Some(Self::Deflate),
            b"br" => Some(Self::Brotli),
            b"zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// How many bytes `encoded` ones may become at most, where no more than `max` are allowed.
    #[must_use]
    pub fn decoded_bytes_max(encoded: usize, max: usize) -> usize {
        max.min(encoded.saturating_mul(RATIO_MAX).max(RATIO_FLOOR_BYTES))
    }

    /// The decoded body: at most `max` bytes, and at most a hundred times as many as the encoded one has, or a megabyte.
    ///
    /// # Errors
    /// If it has more, or cannot be decoded.
    pub fn decode(self, encoded: &[u8], max: usize) -> Result<Vec<u8>, DecodeError> {
        let max = Self::decoded_bytes_max(encoded.len(), max);
        let decoded = match self {
            Self::Gzip => read_capped(flate2::read::MultiGzDecoder::new(encoded), max),
            Self::Deflate => read_capped(flate2::read::ZlibDecoder::new(encoded), max),
            Self::Brotli => read_capped(brotli::Decompressor::new(encoded, 4096), max),
            Self::Zstd => {
                zstd::stream::read::Decoder::new(encoded).and_then(|decoder| read_capped(decoder, max))
            }
        };
        match decoded {
            Ok(bytes) if bytes.len() > max => Err(DecodeError::TooLarge { max }),
            Ok(bytes) => Ok(bytes),
            Err(_) => Err(DecodeError::Damaged),
        }
    }
}

/// Reads at most one byte more than `max`, so that the caller can tell "full" from "too much".
fn read_capped(source: impl Read, max: usize) -> std::io::Result<Vec<u8>> {
    let mut decoded = Vec::new();
    source.take(max as u64 + 1).read_to_end(&mut decoded)?;
    Ok(decoded)
}
