use super::*;
use std::io::Write;

const TEXT: &[u8] = b"{\"model\":\"gpt-5.2\",\"messages\":[]}";

fn encode(encoding: Encoding, plain: &[u8]) -> Vec<u8> {
    match encoding {
        Encoding::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        Encoding::Deflate => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        Encoding::Brotli => {
            let mut encoded = Vec::new();
            brotli::CompressorWriter::new(&mut encoded, 4096, 5, 20).write_all(plain).unwrap();
            encoded
        }
        Encoding::Zstd => zstd::encode_all(plain, 3).unwrap(),
    }
}

const ALL: [Encoding; 4] = [Encoding::Gzip, Encoding::Deflate, Encoding::Brotli, Encoding::Zstd];

#[test]
fn every_encoding_is_undone() {
    for encoding in ALL {
        let decoded = decode(encoding, &encode(encoding, TEXT), 1024).unwrap();
        assert_eq!(decoded, TEXT, "{encoding:?}");
    }
}

#[test]
fn a_bomb_is_refused_by_size_and_by_ratio() {
    let zeroes = vec![b'0'; 8 << 20];
    for encoding in ALL {
        let bomb = encode(encoding, &zeroes);
        let by_size = decode(encoding, &bomb, 4096).unwrap_err();
        assert_eq!(by_size.status(), 413, "{encoding:?}");
        let by_ratio = decode(encoding, &bomb, 64 << 20).unwrap_err();
        assert_eq!(by_ratio.status(), 413, "{encoding:?}");
    }
}

#[test]
fn damaged_bodies_are_refused() {
    for encoding in ALL {
        let encoded = encode(encoding, TEXT);
        let truncated = &encoded[..encoded.len() / 2];
        assert_eq!(decode(encoding, truncated, 1024).unwrap_err().status(), 400, "{encoding:?}");
        assert_eq!(decode(encoding, b"not encoded at all", 1024).unwrap_err().status(), 400, "{encoding:?}");
    }
}
