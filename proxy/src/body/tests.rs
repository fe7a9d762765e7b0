use super::*;
use std::io::Write;

const TEXT: &[u8] = b"{\"model\":\"gpt-5.2\",\"messages\":[]}";

fn encode(encoding: ContentEncoding, plain: &[u8]) -> Vec<u8> {
    match encoding {
        ContentEncoding::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        ContentEncoding::Deflate => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        ContentEncoding::Brotli => {
            let mut encoded = Vec::new();
            brotli::CompressorWriter::new(&mut encoded, 4096, 5, 20).write_all(plain).unwrap();
            encoded
        }
        ContentEncoding::Zstd => zstd::encode_all(plain, 3).unwrap(),
    }
}

#[test]
fn every_encoding_is_undone() {
    for encoding in ContentEncoding::ALL {
        let decoded = decode(encoding, &encode(encoding, TEXT), 1024).unwrap();
        assert_eq!(decoded, TEXT, "{encoding:?}");
    }
}

#[test]
fn a_bomb_is_refused_by_size_and_by_ratio() {
    let zeroes = vec![b'0'; 8 << 20];
    for encoding in ContentEncoding::ALL {
        let bomb = encode(encoding, &zeroes);
        let by_size = decode(encoding, &bomb, 4096).unwrap_err();
        assert_eq!(by_size.status(), 413, "{encoding:?}");
        let by_ratio = decode(encoding, &bomb, 64 << 20).unwrap_err();
        assert_eq!(by_ratio.status(), 413, "{encoding:?}");
    }
}

#[test]
fn damaged_bodies_are_refused() {
    for encoding in ContentEncoding::ALL {
        let encoded = encode(encoding, TEXT);
        let truncated = &encoded[..encoded.len() / 2];
        assert_eq!(decode(encoding, truncated, 1024).unwrap_err().status(), 400, "{encoding:?}");
        assert_eq!(decode(encoding, b"not encoded at all", 1024).unwrap_err().status(), 400, "{encoding:?}");
    }
}

#[test]
fn several_members_are_one_body() {
    // RFC 1952 section 2.2 and RFC 8878 section 3: readers join them, so all of them are read.
    for encoding in [ContentEncoding::Gzip, ContentEncoding::Zstd] {
        let (head, tail) = TEXT.split_at(10);
        let encoded = [encode(encoding, head), encode(encoding, tail)].concat();
        assert_eq!(decode(encoding, &encoded, 1024).unwrap(), TEXT, "{encoding:?}");
    }
}

#[test]
fn bytes_behind_the_end_reach_nobody() {
    for encoding in ContentEncoding::ALL {
        let encoded = [encode(encoding, TEXT), b"and what is not encoded".to_vec()].concat();
        // What goes upstream is the decoded body, so leaving them out is as good as refusing them.
        match decode(encoding, &encoded, 1024) {
            Ok(decoded) => assert_eq!(decoded, TEXT, "{encoding:?}"),
            Err(refusal) => assert_eq!(refusal.status(), 400, "{encoding:?}"),
        }
    }
}

#[test]
fn only_json_in_utf_8_is_read() {
    let check = |types: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for value in types {
            headers.append(header::CONTENT_TYPE, http::HeaderValue::from_static(value));
        }
        check_content_type(&headers).is_ok()
    };
    let taken: [&[&str]; 7] = [
        &[],
        &["application/json"],
        &["application/json; charset=utf-8"],
        &["Application/JSON;Charset=\"UTF-8\""],
        &["application/x-www-form-urlencoded"],
        &["text/plain; charset = utf8"],
        &[""],
    ];
    let refused: [&[&str]; 8] = [
        &["multipart/form-data; boundary=x"],
        &["Multipart/Mixed"],
        &["application/json; charset=utf-16"],
        &["application/json; charset=\"utf-7\""],
        &["application/json;x=y; CHARSET = ebcdic"],
        &["application/json; charset=utf-8; charset=utf-7"],
        &["application/json", "multipart/form-data; boundary=x"],
        &["application/json, multipart/form-data; boundary=x"],
    ];
    assert!(taken.iter().all(|types| check(types)));
    for types in refused {
        assert!(!check(types), "{types:?}");
    }
}
