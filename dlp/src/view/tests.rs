//! The table against the Unicode data it was made from, and the way back.

use std::collections::HashMap;

use unicode_normalization::char::decompose_compatible;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use super::Fold::{From, Same};
use super::*;
use crate::engine::Window;

/// Invisible by property (`Default_Ignorable_Code_Point`) beside the format characters.
const IGNORABLE: [(u32, u32); 13] = [
    (0x34f, 0x34f),
    (0x115f, 0x1160),
    (0x17b4, 0x17b5),
    (0x180b, 0x180f),
    (0x2060, 0x206f),
    (0x3164, 0x3164),
    (0xfe00, 0xfe0f),
    (0xfeff, 0xfeff),
    (0xffa0, 0xffa0),
    (0xfff0, 0xfff8),
    (0x1bca0, 0x1bca3),
    (0x1d173, 0x1d17a),
    (0xe0000, 0xe0fff),
];

/// Without a shape of their own for a reader, though Unicode does not say so: control characters, a placeholder, a
/// filler, an empty note head; and lines through and under characters.
const UNSEEN: [(u32, u32); 10] = [
    (0x80, 0x84),
    (0x86, 0x9f),
    (0x305, 0x305),
    (0x332, 0x333),
    (0x335, 0x338),
    (0x33f, 0x33f),
    (0xfdd0, 0xfdef),
    (0xfffc, 0xfffc),
    (0x16fe4, 0x16fe4),
    (0x1d159, 0x1d159),
];

/// An ASCII character and what is taken for it: Unicode's list of confusables (UTS 39), of scripts whose letters
/// hardly stand in prose, and others chosen by eye.
const LOOK_ALIKES: [(char, &str); 72] = [
    ('a', "аαɑᴀⲁꭤꭺ𝽚"),
    ('b', "ЬᏏʙƄߕᏼᑲᖯⲃꮟ𐌜𖺶"),
    ('c', "сϲᴄᲃⲥꮯ𐐽"),
    ('d', "ԁᏧᴅᑯꓒꭰꮷ"),
    ('e', "еᴇҽꬲꭼ"),
    ('f', "ꜰƒʄքꞙꬵ"),
    ('g', "ɡցɢƍᶃꮐ"),
    ('h', "һհᏂʜҺⲏꮋꮒ"),
    ('i', "іιıɩᎥɪւⲓꙇꭵ𑣃"),
    ('j', "јϳȷյᴊꭻ"),
    ('k', "κᴋкⲕꮶ"),
    ('l', "ӏʟƖǀꞁꮮ𖵣"),
    ('m', "ᴍмⲙꮇ"),
    ('n', "ոɴռⲛ"),
    ('o', "оοօᴏϭߋᲂᴑⲟꬽ𐐬𐓪𐤬𑣈𑣗"),
    ('p', "рρᴘƿⲣⳏꮲ"),
    ('q', "ԛզգ"),
    ('r', "ʀгᴦⲅꭇꭈꭱꮁ𖨙"),
    ('s', "ѕꜱƽꮪ𐑈𑣁"),
    ('t', "ᴛтⲧꭲ"),
    ('u', "սυᴜʋꞟꭎꭒ𐓶𑣘"),
    ('v', "ѵνᴠꮩ𑣀"),
    ('w', "ԝᴡաɯѡⲽꟺꮃꮤ𝽽"),
    ('x', "хχᕁᕽⲭ"),
    ('y', "уүγᎩʏɣᶌⲩꭚꭹꮍ𑣄𑣜"),
    ('z', "ᴢⱬⲍꮓ"),
    ('A', "АΑᎪᗅⲀꓮ𐊠𖽀𝽪"),
    ('B', "ВΒᏴᗷⲂꓐꕗꞴ𐊂𐊡𐌁"),
    ('C', "СϹᏟⲤꓚ𐊢𐌂𐐕𐔛𑣲"),
    ('D', "Ꭰᗞᗪꓓ"),
    ('E', "ЕΕᎬⴹꓰꗋ𐊆𑢦𑢮𝾁"),
    ('G', "ԌᏀᏳꓖ"),
    ('H', "НΗᎻᕼⲎꓧ𐋏"),
    ('I', "ІΙӀߊᛁᛐⲒⵊⵏꓲꕯꞮꟾ𐊊𐌉𐌠𐔎𐤦𐰾𖺪𖼨"),
    ('J', "ЈͿᎫᒍꓙꞲ"),
    ('K', "КΚᏦᛕⲔꓗ𐔘"),
    ('L', "ԼᏞᒪⳐꓡ𐐛𐔦𑢣𑢲𖼖"),
    ('M', "МΜᎷϺᗰᛖⲘꓟ𐊰𐌑𐰡"),
    ('N', "ΝⲚꓠ𐔓"),
    ('O', "ОΟՕⲞⵔꓳ𐊒𐊫𐌏𐐄𐓂𐔖𐰗𑢵𖫩"),
    ('P', "РΡᏢᑭⲢⳎꓑ𐊕"),
    ('Q', "Ԛⵕ"),
    ('R', "ᎡƦɌᏒᖇꓣ𐒴𖼵"),
    ('S', "ЅՏᏚᏕꓢꕶ𐊖𐐠𖫖𖼺"),
    ('T', "ТΤᎢߠⲦꓔꔋ𐊗𐊱𐌕𑢼𖼊"),
    ('U', "Սᑌꓴ𐓎𑢸𖽂"),
    ('V', "ѴᏙᐯⴸꓦꛟ𐔝𐰟𑢠𖼈"),
    ('W', "ԜᎳᏔꓪ𑣯"),
    ('X', "ХΧᚷⲬⵝꓫꞳ𐊐𐊴𐌗𐌢𐔧𐰓𑣬"),
    ('Y', "УΥҮᎽߌⲨꓬ𐊲𐰠𑢤𖽃"),
    ('Z', "ΖᏃⱫⲌꓜꛉ𐋵𐔇𑢩"),
    ('3', "ЗƷȜӠՅⲜⳄⳌꝪꞫ𑣊𖼻"),
    ('.', "·‧∙⋅・。۔܁܂ꓸ꘎"),
    ('-', "−˗⁃➖Ⲻⲻ"),
    ('/', "⁄∕⧸Ⳇⳇ"),
    (':', "∶꞉׃᎓᛬ꓽ"),
    ('+', "➕"),
    ('_', "ˍ"),
    ('@', "\u{fe6b}"),
    (' ', "\u{1680}\u{2800}"),
    ('\n', "\u{85}\u{2028}\u{2029}"),
    ('0', "⓿"),
    (',', "ꓹ𖽓"),
    ('2', "ƧϨᒿᘖꙄꛯꝚ"),
    ('4', "Ꮞꮞ𑢯𖺂"),
    ('5', "Ƽ𑢻"),
    ('6', "ϬᏮⳒⳓⳜꕃꮾ𑣕"),
    ('7', "ᲄ𐓒𑣆𖺊"),
    ('8', "Ȣȣꖉ𐌚"),
    ('9', "ⳊⳋꝮꝯ𑢬𑣌𑣖"),
    ('=', "꓿ꘌ꞊"),
    ('F', "ϜߓᖴꓝꞘ𐊇𐊥𐔥𑢢𑣂"),
];

static LOOKS_LIKE: LazyLock<HashMap<char, char>> = LazyLock::new(|| {
    LOOK_ALIKES.iter().flat_map(|(view, alike)| alike.chars().map(|character| (character, *view))).collect()
});

/// Characters with a number or letter in them that have no decomposition, or one with brackets, a full stop or a comma,
/// which are no more than a shape: the first, how many, and the first's view.
const IN_SHAPES: [(u32, u32, u8); 15] = [
    (0x2474, 9, b'1'),
    (0x2488, 9, b'1'),
    (0x249c, 26, b'a'),
    (0x1f100, 1, b'0'),
    (0x1f101, 10, b'0'),
    (0x1f110, 26, b'A'),
    (0x2776, 9, b'1'),
    (0x2780, 9, b'1'),
    (0x278a, 9, b'1'),
    (0x24f5, 9, b'1'),
    (0x1f150, 26, b'A'),
    (0x1f170, 26, b'A'),
    (0x1f1e6, 26, b'A'),
    (0x1f10b, 1, b'0'),
    (0x1f10c, 1, b'0'),
];

fn is_digit(code: u32) -> bool {
    char::from_u32(code).is_some_and(|c| c.general_category() == GeneralCategory::DecimalNumber)
}

/// What a character that is no ASCII becomes by itself, compatibility forms aside.
fn own_view(character: char) -> Option<String> {
    let code = character as u32;
    // The last two of each plane are no characters.
    let is_unseen = code & 0xfffe == 0xfffe;
    if is_unseen || IGNORABLE.iter().chain(&UNSEEN).any(|&(first, last)| first <= code && code <= last) {
        return Some(String::new());
    }
    if let Some(view) = LOOKS_LIKE.get(&character) {
        return Some(view.to_string());
    }
    if let Some((first, _, view)) =
        IN_SHAPES.iter().find(|(first, count, _)| (*first..first + count).contains(&code))
    {
        return char::from_u32(code - first + u32::from(*view)).map(String::from);
    }
    match character.general_category() {
        GeneralCategory::Format | GeneralCategory::EnclosingMark => Some(String::new()),
        GeneralCategory::DashPunctuation => Some("-".to_owned()),
        // Digits stand in tens, in order (Unicode, section 4.6).
        GeneralCategory::DecimalNumber => {
            let first = (0..code).rev().take_while(|&code| is_digit(code)).last().unwrap_or(code);
            char::from_digit((code - first) % 10, 10).map(String::from)
        }
        _ => None,
    }
}

fn expected(character: char) -> Option<String> {
    if character.is_ascii() {
        return None;
    }
    let mut view = String::new();
    decompose_compatible(character, |part| match own_view(part) {
        Some(own) if !part.is_ascii() => view.push_str(&own),
        _ => view.push(part),
    });
    let view = own_view(character).or_else(|| Some(view).filter(|view| view.is_ascii()));
    view.filter(|view| view.len() <= character.len_utf8())
}

/// The rows that the Unicode data gives. To move to new data, put what the failure shows into the table.
fn rows() -> Vec<(u32, u32, String)> {
    let mut rows: Vec<(u32, u32, String, u8)> = Vec::new();
    for character in '\u{80}'..=char::MAX {
        let Some(view) = expected(character) else { continue };
        let code = character as u32;
        if let Some((first, last, text, step)) = rows.last_mut()
            && *last + 1 == code
        {
            if *text == view && (*step == 0 || first == last) {
                (*last, *step) = (code, 0);
                continue;
            }
            if let ([from], [to]) = (text.as_bytes(), view.as_bytes())
                && (*step == 1 || first == last)
                && u32::from(*to) == u32::from(*from) + (code - *first)
            {
                (*last, *step) = (code, 1);
                continue;
            }
        }
        rows.push((code, code, view, 2));
    }
    let row = |(first, last, text, step): (u32, u32, String, u8)| {
        let fold = if step == 1 {
            format!("From({:?})", char::from(text.as_bytes()[0])).replace("From('", "From(b'")
        } else {
            format!("Same({text:?})")
        };
        (first, last, fold)
    };
    rows.into_iter().map(row).collect()
}

#[test]
fn the_table_is_what_unicode_gives() {
    let shown = |&(first, last, fold): &Row| {
        let fold = match fold {
            From(byte) => format!("From(b{:?})", char::from(byte)),
            Same(text) => format!("Same({text:?})"),
        };
        (first, last, fold)
    };
    let table: Vec<_> = FOLDS.iter().map(shown).collect();
    let expected = rows();
    assert_eq!(table, expected, "the right side is what belongs into the table");
}

fn view_of(text: &[u8]) -> Vec<u8> {
    of(text).map_or_else(|| text.to_vec(), |(view, _)| view)
}

#[test]
fn what_a_reader_takes_for_ascii_is_ascii() {
    let cases = [
        ("plain text", "plain text"),
        ("größer, café, ñ, 日本語, 日本語: ö", "größer, café, ñ, 日本語, 日本語: ö"),
        ("хорошо", "xopoшo"),
        ("４１１１　ＡＢ", "4111 AB"),
        ("٤١ ۴۱ ४१ 𝟜𝟙 ④① ⁴₁ 🄃🄂", "41 41 41 41 41 41 21"),
        ("a\u{200b}b\u{ad}c\u{202e}d\u{feff}e\u{e0041}f\u{fe0f}g\u{2060}h\u{3164}i\u{34f}j", "abcdefghij"),
        ("4\u{fe0f}\u{20e3}1\u{20e3}", "41"),
        ("a\u{2010}b\u{2013}c\u{2212}d\u{fe63}e", "a-b-c-d-e"),
        ("a\u{2024}b\u{3002}c\u{ff61}d\u{b7}e", "a.b.c.d.e"),
        ("ＡＫＩＡ АКІА ΑΚΙΑ ᎪᏦ \u{1d400}\u{1f1e6}\u{1f170}", "AKIA AKIA AKIA AK AAA"),
        ("⑷⒈ ⒋⑴ 🄅🄂 🄐⒜⒵🄩 ⑿⒓", "41 41 41 AazZ ⑿12."),
        ("ﬁne ㎏ ⑫ ½ ℀ …", "fine kg 12 ½ a/c ..."),
        ("\u{212a}elvin", "Kelvin"),
        ("\u{a4ee}\u{a4d7}\u{a4f2}\u{a4ee} j\u{2c9f}e \u{abaa}\u{ab83}\u{abaa}", "AKIA joe sws"),
        ("4\u{fdd0}1\u{fffc}1\u{ffff}1\u{10fffe}2\u{83}3\u{2800}4", "411123 4"),
        ("a\u{115f}b\u{1160}c\u{3164}d\u{ffa0}e\u{16fe4}f", "abcdef"),
        ("4\u{336}1\u{336} j\u{332}o\u{332}e", "41 joe"),
    ];
    for (text, view) in cases {
        assert_eq!(String::from_utf8(view_of(text.as_bytes())).unwrap(), view, "{text}");
        assert_eq!(fold(text), view);
        assert_eq!(fold(view), view, "a view is its own view");
    }
}

#[test]
fn broken_characters_stay_as_their_bytes() {
    let cases: [(&[u8], &[u8]); 6] = [
        (b"a\xffb\xef\xbc\x91", b"a\xffb1"),
        (b"\xef\xbc\xef\xbc\x91", b"\xef\xbc1"),
        (b"\xc0\xb1\xe0\x80\xb1\xf4\x90\x80\x80", b"\xc0\xb1\xe0\x80\xb1\xf4\x90\x80\x80"),
        (b"\xed\xa0\x80\xed\xb0\x80", b"\xed\xa0\x80\xed\xb0\x80"),
        (b"\xef\xbc", b"\xef\xbc"),
        (b"\xef\xbc\x91\xef\xbc", b"1\xef\xbc"),
    ];
    for (text, view) in cases {
        assert_eq!(view_of(text), view, "{text:x?}");
    }
}

/// The way back of every byte, and the same when the text comes in parts.
#[test]
fn offsets_lead_back_to_whole_characters() {
    let text = "a\u{200b}ﬀ\u{200b}\u{200b}é１".as_bytes();
    let (view, offsets) = of(text).unwrap();
    assert_eq!(view, "affé1".as_bytes());
    let places: Vec<(u64, u64)> = (0..6).map(|at| (offsets.start(at), offsets.end(at + 1))).collect();
    assert_eq!(places, [(0, 1), (4, 7), (4, 7), (13, 14), (14, 15), (15, 18)]);
    let window = Window { base: 0, text: &view };
    let floors: Vec<u64> = (0..=6).map(|at| offsets.floor(at, window)).collect();
    assert_eq!(floors, [0, 1, 1, 3, 3, 5, 6]);
    for cut in 0..=text.len() {
        let (mut in_parts, mut offsets_in_parts) = (Vec::new(), Offsets::default());
        let taken = fold_onto(&text[..cut], &mut in_parts, &mut offsets_in_parts);
        assert!(cut - taken < 4);
        fold_onto(&text[taken..], &mut in_parts, &mut offsets_in_parts);
        assert_eq!(in_parts, view, "cut at {cut}");
        assert!((0..6).all(|at| offsets_in_parts.start(at) == offsets.start(at)));
    }
}
