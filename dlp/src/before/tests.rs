//! What stands before a position, read forwards and backwards.

use super::*;

/// Every text of `len` bytes over an alphabet that has each kind of byte.
fn texts(len: u32) -> impl Iterator<Item = Vec<u8>> {
    const ALPHABET: &[u8] = b"\\nufz ";
    let radix = ALPHABET.len();
    (0..radix.pow(len)).map(move |number| {
        (0..len).map(|place| ALPHABET[number / radix.pow(place) % radix]).collect::<Vec<u8>>()
    })
}

#[test]
fn reading_backwards_gives_what_stepping_gives() {
    // Seven bytes reach from a backslash to the byte after `\uXXXX`; the front is what comes before.
    for front in ["", "\\", "\\\\", "\\u", "\\ufff", "x", "\\\\\\"] {
        for tail in texts(7) {
            let text = [front.as_bytes(), &tail].concat();
            let stepped = text.iter().fold(Before::Text, |state, &byte| state.then(byte));
            assert_eq!(Before::at(&text, text.len()), stepped, "{:?}", String::from_utf8_lossy(&text));
        }
    }
}

#[test]
fn a_run_of_backslashes_of_any_length_escapes() {
    for count in 0..40 {
        for prefix in ["", "a"] {
            let text = format!("{prefix}{}n", "\\".repeat(count));
            let expected = if count > 0 { Before::NonWord } else { Before::Word };
            assert_eq!(Before::at(text.as_bytes(), text.len()), expected, "{text}");
        }
    }
}
