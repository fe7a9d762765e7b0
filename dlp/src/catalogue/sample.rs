//! Made-up values, written as templates so that no source file holds what looks like a credential.

/// Replaces every `{n:alphabet}` by n characters of that alphabet, the same for every call.
///
/// Other braces stay as they are.
pub(crate) fn expand(template: &str) -> String {
    let mut seed: u32 = 0x2545_F491;
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let filler = after.split_once('}').and_then(|(filler, after)| Some((parse(filler)?, after)));
        let Some(((count, alphabet), after)) = filler else {
            out.push('{');
            rest = after;
            continue;
        };
        for _ in 0..count {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let index = (seed >> 16) as usize % alphabet.len();
            out.extend(alphabet.as_bytes().get(index).copied().map(char::from));
        }
        rest = after;
    }
    out + rest
}

fn parse(filler: &str) -> Option<(usize, &'static str)> {
    let (count, alphabet) = filler.split_once(':')?;
    let alphabet = match alphabet {
        "alnum" => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
        "word" => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_",
        "letter" => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        "lower" => "abcdefghijklmnopqrstuvwxyz0123456789",
        "upper" => "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
        "base32" => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
        "base58" => "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz",
        "hex" => "0123456789abcdef",
        "digit" => "0123456789",
        _ => return None,
    };
    Some((count.parse().ok()?, alphabet))
}
