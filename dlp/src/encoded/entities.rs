//! Names of characters (HTML, named character references): those of letters, and of all that a view takes for ASCII or
//! for nothing.
//!
//! Letters of mathematical alphabets are not in the table: their names are the letter and the alphabet's.

/// The longest name.
const NAME_BYTES_MAX: usize = 24;

/// The alphabets whose letters look like ASCII.
const ALPHABETS: [&str; 3] = ["fr", "opf", "scr"];

/// Names that browsers take without a semicolon. There are more, but names in code begin with those: `&params`.
const WITHOUT_SEMICOLON: [&str; 10] = ["AMP", "GT", "LT", "QUOT", "amp", "gt", "lt", "nbsp", "quot", "shy"];

/// The character that a reference such as `&commat;` stands for, and the reference's length.
pub(super) fn named(text: &[u8]) -> Option<(char, usize)> {
    let rest = text.strip_prefix(b"&")?;
    let len = rest.iter().take(NAME_BYTES_MAX).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let name = str::from_utf8(rest.get(..len)?).ok()?;
    if rest.get(len) == Some(&b';')
        && let Some(character) = look_up(name).or_else(|| letter(name))
    {
        return Some((character, len + 2));
    }
    let begun = WITHOUT_SEMICOLON.into_iter().find(|begun| name.starts_with(begun))?;
    Some((look_up(begun)?, begun.len() + 1))
}

fn look_up(name: &str) -> Option<char> {
    let index = NAMES.binary_search_by_key(&name, |(name, _)| name).ok()?;
    NAMES.get(index).map(|(_, character)| *character)
}

/// The letter of a mathematical alphabet.
fn letter(name: &str) -> Option<char> {
    let (letter, alphabet) = name.split_at_checked(1)?;
    letter.chars().next().filter(|letter| letter.is_ascii_alphabetic() && ALPHABETS.contains(&alphabet))
}

/// By name.
#[rustfmt::skip]
pub(super) const NAMES: &[(&str, char)] = &[
    ("AElig", 'Æ'), ("AMP", '&'), ("Aacute", 'Á'), ("Abreve", 'Ă'), ("Acirc", 'Â'), ("Acy", 'А'), ("Agrave", 'À'),
    ("Alpha", 'Α'), ("Amacr", 'Ā'), ("Aogon", 'Ą'), ("ApplyFunction", '\u{2061}'), ("Aring", 'Å'), ("Atilde", 'Ã'),
    ("Auml", 'Ä'), ("Bcy", 'Б'), ("Bernoullis", 'ℬ'), ("Beta", 'Β'), ("CHcy", 'Ч'), ("Cacute", 'Ć'),
    ("CapitalDifferentialD", 'ⅅ'), ("Cayleys", 'ℭ'), ("Ccaron", 'Č'), ("Ccedil", 'Ç'), ("Ccirc", 'Ĉ'), ("Cdot", 'Ċ'),
    ("CenterDot", '·'), ("Chi", 'Χ'), ("Colone", '⩴'), ("DD", 'ⅅ'), ("DJcy", 'Ђ'), ("DScy", 'Ѕ'), ("DZcy", 'Џ'),
    ("Dcaron", 'Ď'), ("Dcy", 'Д'), ("Delta", 'Δ'), ("DiacriticalGrave", '`'), ("DifferentialD", 'ⅆ'), ("Dstrok", 'Đ'),
    ("ENG", 'Ŋ'), ("ETH", 'Ð'), ("Eacute", 'É'), ("Ecaron", 'Ě'), ("Ecirc", 'Ê'), ("Ecy", 'Э'), ("Edot", 'Ė'),
    ("Egrave", 'È'), ("Emacr", 'Ē'), ("Eogon", 'Ę'), ("Epsilon", 'Ε'), ("Equal", '⩵'), ("Eta", 'Η'), ("Euml", 'Ë'),
    ("ExponentialE", 'ⅇ'), ("Fcy", 'Ф'), ("Fouriertrf", 'ℱ'), ("GJcy", 'Ѓ'), ("GT", '>'), ("Gamma", 'Γ'),
    ("Gammad", 'Ϝ'), ("Gbreve", 'Ğ'), ("Gcedil", 'Ģ'), ("Gcirc", 'Ĝ'), ("Gcy", 'Г'), ("Gdot", 'Ġ'), ("HARDcy", 'Ъ'),
    ("Hacek", 'ˇ'), ("Hat", '^'), ("Hcirc", 'Ĥ'), ("HilbertSpace", 'ℋ'), ("Hstrok", 'Ħ'), ("IEcy", 'Е'),
    ("IJlig", 'Ĳ'), ("IOcy", 'Ё'), ("Iacute", 'Í'), ("Icirc", 'Î'), ("Icy", 'И'), ("Idot", 'İ'), ("Igrave", 'Ì'),
    ("Im", 'ℑ'), ("Imacr", 'Ī'), ("ImaginaryI", 'ⅈ'), ("InvisibleComma", '\u{2063}'), ("InvisibleTimes", '\u{2062}'),
    ("Iogon", 'Į'), ("Iota", 'Ι'), ("Itilde", 'Ĩ'), ("Iukcy", 'І'), ("Iuml", 'Ï'), ("Jcirc", 'Ĵ'), ("Jcy", 'Й'),
    ("Jsercy", 'Ј'), ("Jukcy", 'Є'), ("KHcy", 'Х'), ("KJcy", 'Ќ'), ("Kappa", 'Κ'), ("Kcedil", 'Ķ'), ("Kcy", 'К'),
    ("LJcy", 'Љ'), ("LT", '<'), ("Lacute", 'Ĺ'), ("Lambda", 'Λ'), ("Laplacetrf", 'ℒ'), ("Lcaron", 'Ľ'),
    ("Lcedil", 'Ļ'), ("Lcy", 'Л'), ("Lmidot", 'Ŀ'), ("Lstrok", 'Ł'), ("Mcy", 'М'), ("MediumSpace", '\u{205f}'),
    ("Mellintrf", 'ℳ'), ("Mu", 'Μ'), ("NJcy", 'Њ'), ("Nacute", 'Ń'), ("Ncaron", 'Ň'), ("Ncedil", 'Ņ'), ("Ncy", 'Н'),
    ("NegativeMediumSpace", '\u{200b}'), ("NegativeThickSpace", '\u{200b}'), ("NegativeThinSpace", '\u{200b}'),
    ("NegativeVeryThinSpace", '\u{200b}'), ("NewLine", '\n'), ("NoBreak", '\u{2060}'), ("NonBreakingSpace", '\u{a0}'),
    ("NotEqual", '≠'), ("NotGreater", '≯'), ("NotLess", '≮'), ("Ntilde", 'Ñ'), ("Nu", 'Ν'), ("OElig", 'Œ'),
    ("Oacute", 'Ó'), ("Ocirc", 'Ô'), ("Ocy", 'О'), ("Odblac", 'Ő'), ("Ograve", 'Ò'), ("Omacr", 'Ō'), ("Omega", 'Ω'),
    ("Omicron", 'Ο'), ("Oslash", 'Ø'), ("Otilde", 'Õ'), ("Ouml", 'Ö'), ("OverBar", '‾'), ("Pcy", 'П'), ("Phi", 'Φ'),
    ("Pi", 'Π'), ("Poincareplane", 'ℌ'), ("Psi", 'Ψ'), ("QUOT", '"'), ("Racute", 'Ŕ'), ("Rcaron", 'Ř'),
    ("Rcedil", 'Ŗ'), ("Rcy", 'Р'), ("Re", 'ℜ'), ("Rho", 'Ρ'), ("SHCHcy", 'Щ'), ("SHcy", 'Ш'), ("SOFTcy", 'Ь'),
    ("Sacute", 'Ś'), ("Scaron", 'Š'), ("Scedil", 'Ş'), ("Scirc", 'Ŝ'), ("Scy", 'С'), ("Sigma", 'Σ'), ("THORN", 'Þ'),
    ("TRADE", '™'), ("TSHcy", 'Ћ'), ("TScy", 'Ц'), ("Tab", '\t'), ("Tau", 'Τ'), ("Tcaron", 'Ť'), ("Tcedil", 'Ţ'),
    ("Tcy", 'Т'), ("Theta", 'Θ'), ("ThinSpace", '\u{2009}'), ("Tstrok", 'Ŧ'), ("Uacute", 'Ú'), ("Ubrcy", 'Ў'),
    ("Ubreve", 'Ŭ'), ("Ucirc", 'Û'), ("Ucy", 'У'), ("Udblac", 'Ű'), ("Ugrave", 'Ù'), ("Umacr", 'Ū'), ("UnderBar", '_'),
    ("Uogon", 'Ų'), ("Upsi", 'ϒ'), ("Upsilon", 'Υ'), ("Uring", 'Ů'), ("Utilde", 'Ũ'), ("Uuml", 'Ü'), ("Vcy", 'В'),
    ("VerticalLine", '|'), ("VeryThinSpace", '\u{200a}'), ("Wcirc", 'Ŵ'), ("Xi", 'Ξ'), ("YAcy", 'Я'), ("YIcy", 'Ї'),
    ("YUcy", 'Ю'), ("Yacute", 'Ý'), ("Ycirc", 'Ŷ'), ("Ycy", 'Ы'), ("Yuml", 'Ÿ'), ("ZHcy", 'Ж'), ("Zacute", 'Ź'),
    ("Zcaron", 'Ž'), ("Zcy", 'З'), ("Zdot", 'Ż'), ("ZeroWidthSpace", '\u{200b}'), ("Zeta", 'Ζ'), ("aacute", 'á'),
    ("abreve", 'ă'), ("acirc", 'â'), ("acy", 'а'), ("aelig", 'æ'), ("af", '\u{2061}'), ("agrave", 'à'), ("alpha", 'α'),
    ("amacr", 'ā'), ("amp", '&'), ("angst", 'Å'), ("aogon", 'ą'), ("apos", '\''), ("aring", 'å'), ("ast", '*'),
    ("atilde", 'ã'), ("auml", 'ä'), ("bcy", 'б'), ("bernou", 'ℬ'), ("beta", 'β'), ("bsol", '\\'), ("cacute", 'ć'),
    ("caron", 'ˇ'), ("ccaron", 'č'), ("ccedil", 'ç'), ("ccirc", 'ĉ'), ("cdot", 'ċ'), ("centerdot", '·'), ("chcy", 'ч'),
    ("chi", 'χ'), ("circ", 'ˆ'), ("circledS", 'Ⓢ'), ("colon", ':'), ("comma", ','), ("commat", '@'),
    ("complexes", 'ℂ'), ("dash", '‐'), ("dcaron", 'ď'), ("dcy", 'д'), ("dd", 'ⅆ'), ("delta", 'δ'), ("digamma", 'ϝ'),
    ("djcy", 'ђ'), ("dollar", '$'), ("dscy", 'ѕ'), ("dstrok", 'đ'), ("dzcy", 'џ'), ("eacute", 'é'), ("ecaron", 'ě'),
    ("ecirc", 'ê'), ("ecy", 'э'), ("edot", 'ė'), ("ee", 'ⅇ'), ("egrave", 'è'), ("ell", 'ℓ'), ("emacr", 'ē'),
    ("emsp", '\u{2003}'), ("emsp13", '\u{2004}'), ("emsp14", '\u{2005}'), ("eng", 'ŋ'), ("ensp", '\u{2002}'),
    ("eogon", 'ę'), ("epsi", 'ε'), ("epsilon", 'ε'), ("epsiv", 'ϵ'), ("equals", '='), ("eta", 'η'), ("eth", 'ð'),
    ("euml", 'ë'), ("excl", '!'), ("expectation", 'ℰ'), ("exponentiale", 'ⅇ'), ("fcy", 'ф'), ("ffilig", 'ﬃ'),
    ("fflig", 'ﬀ'), ("ffllig", 'ﬄ'), ("filig", 'ﬁ'), ("fllig", 'ﬂ'), ("fnof", 'ƒ'), ("frac13", '⅓'), ("frac15", '⅕'),
    ("frac16", '⅙'), ("frac18", '⅛'), ("frac23", '⅔'), ("frac25", '⅖'), ("frac35", '⅗'), ("frac38", '⅜'),
    ("frac45", '⅘'), ("frac56", '⅚'), ("frac58", '⅝'), ("frac78", '⅞'), ("frasl", '⁄'), ("gacute", 'ǵ'),
    ("gamma", 'γ'), ("gammad", 'ϝ'), ("gbreve", 'ğ'), ("gcirc", 'ĝ'), ("gcy", 'г'), ("gdot", 'ġ'), ("gjcy", 'ѓ'),
    ("grave", '`'), ("gt", '>'), ("hairsp", '\u{200a}'), ("hamilt", 'ℋ'), ("hardcy", 'ъ'), ("hcirc", 'ĥ'),
    ("hellip", '…'), ("horbar", '―'), ("hstrok", 'ħ'), ("hybull", '⁃'), ("hyphen", '‐'), ("iacute", 'í'),
    ("ic", '\u{2063}'), ("icirc", 'î'), ("icy", 'и'), ("iecy", 'е'), ("igrave", 'ì'), ("ii", 'ⅈ'), ("ijlig", 'ĳ'),
    ("imacr", 'ī'), ("image", 'ℑ'), ("imagline", 'ℐ'), ("imagpart", 'ℑ'), ("imath", 'ı'), ("imped", 'Ƶ'),
    ("incare", '℅'), ("inodot", 'ı'), ("integers", 'ℤ'), ("iocy", 'ё'), ("iogon", 'į'), ("iota", 'ι'),
    ("it", '\u{2062}'), ("itilde", 'ĩ'), ("iukcy", 'і'), ("iuml", 'ï'), ("jcirc", 'ĵ'), ("jcy", 'й'), ("jmath", 'ȷ'),
    ("jsercy", 'ј'), ("jukcy", 'є'), ("kappa", 'κ'), ("kappav", 'ϰ'), ("kcedil", 'ķ'), ("kcy", 'к'), ("kgreen", 'ĸ'),
    ("khcy", 'х'), ("kjcy", 'ќ'), ("lacute", 'ĺ'), ("lagran", 'ℒ'), ("lambda", 'λ'), ("lbrace", '{'), ("lbrack", '['),
    ("lcaron", 'ľ'), ("lcedil", 'ļ'), ("lcub", '{'), ("lcy", 'л'), ("ljcy", 'љ'), ("lmidot", 'ŀ'), ("lowbar", '_'),
    ("lpar", '('), ("lrm", '\u{200e}'), ("lsqb", '['), ("lstrok", 'ł'), ("lt", '<'), ("mcy", 'м'), ("mdash", '—'),
    ("micro", 'µ'), ("midast", '*'), ("middot", '·'), ("minus", '−'), ("mldr", '…'), ("mu", 'μ'), ("nacute", 'ń'),
    ("napos", 'ŉ'), ("naturals", 'ℕ'), ("nbsp", '\u{a0}'), ("ncaron", 'ň'), ("ncedil", 'ņ'), ("ncy", 'н'),
    ("ndash", '–'), ("ne", '≠'), ("ngt", '≯'), ("ngtr", '≯'), ("njcy", 'њ'), ("nldr", '‥'), ("nless", '≮'),
    ("nlt", '≮'), ("ntilde", 'ñ'), ("nu", 'ν'), ("num", '#'), ("numero", '№'), ("numsp", '\u{2007}'), ("oS", 'Ⓢ'),
    ("oacute", 'ó'), ("ocirc", 'ô'), ("ocy", 'о'), ("odblac", 'ő'), ("oelig", 'œ'), ("ograve", 'ò'), ("ohm", 'Ω'),
    ("oline", '‾'), ("omacr", 'ō'), ("omega", 'ω'), ("omicron", 'ο'), ("order", 'ℴ'), ("orderof", 'ℴ'), ("ordf", 'ª'),
    ("ordm", 'º'), ("oslash", 'ø'), ("otilde", 'õ'), ("ouml", 'ö'), ("pcy", 'п'), ("percnt", '%'), ("period", '.'),
    ("phi", 'φ'), ("phiv", 'ϕ'), ("phmmat", 'ℳ'), ("pi", 'π'), ("piv", 'ϖ'), ("planckh", 'ℎ'), ("plus", '+'),
    ("primes", 'ℙ'), ("psi", 'ψ'), ("puncsp", '\u{2008}'), ("quaternions", 'ℍ'), ("quest", '?'), ("quot", '"'),
    ("racute", 'ŕ'), ("ratio", '∶'), ("rationals", 'ℚ'), ("rbrace", '}'), ("rbrack", ']'), ("rcaron", 'ř'),
    ("rcedil", 'ŗ'), ("rcub", '}'), ("rcy", 'р'), ("real", 'ℜ'), ("realine", 'ℛ'), ("realpart", 'ℜ'), ("reals", 'ℝ'),
    ("rho", 'ρ'), ("rhov", 'ϱ'), ("rlm", '\u{200f}'), ("rpar", ')'), ("rsqb", ']'), ("sacute", 'ś'), ("scaron", 'š'),
    ("scedil", 'ş'), ("scirc", 'ŝ'), ("scy", 'с'), ("sdot", '⋅'), ("semi", ';'), ("shchcy", 'щ'), ("shcy", 'ш'),
    ("shy", '\u{ad}'), ("sigma", 'σ'), ("sigmaf", 'ς'), ("sigmav", 'ς'), ("softcy", 'ь'), ("sol", '/'),
    ("straightepsilon", 'ϵ'), ("straightphi", 'ϕ'), ("sup1", '¹'), ("sup2", '²'), ("sup3", '³'), ("szlig", 'ß'),
    ("tau", 'τ'), ("tcaron", 'ť'), ("tcedil", 'ţ'), ("tcy", 'т'), ("theta", 'θ'), ("thetasym", 'ϑ'), ("thetav", 'ϑ'),
    ("thinsp", '\u{2009}'), ("thorn", 'þ'), ("trade", '™'), ("tscy", 'ц'), ("tshcy", 'ћ'), ("tstrok", 'ŧ'),
    ("uacute", 'ú'), ("ubrcy", 'ў'), ("ubreve", 'ŭ'), ("ucirc", 'û'), ("ucy", 'у'), ("udblac", 'ű'), ("ugrave", 'ù'),
    ("umacr", 'ū'), ("uogon", 'ų'), ("upsi", 'υ'), ("upsih", 'ϒ'), ("upsilon", 'υ'), ("uring", 'ů'), ("utilde", 'ũ'),
    ("uuml", 'ü'), ("varepsilon", 'ϵ'), ("varkappa", 'ϰ'), ("varphi", 'ϕ'), ("varpi", 'ϖ'), ("varrho", 'ϱ'),
    ("varsigma", 'ς'), ("vartheta", 'ϑ'), ("vcy", 'в'), ("verbar", '|'), ("vert", '|'), ("wcirc", 'ŵ'), ("xi", 'ξ'),
    ("yacute", 'ý'), ("yacy", 'я'), ("ycirc", 'ŷ'), ("ycy", 'ы'), ("yicy", 'ї'), ("yucy", 'ю'), ("yuml", 'ÿ'),
    ("zacute", 'ź'), ("zcaron", 'ž'), ("zcy", 'з'), ("zdot", 'ż'), ("zeetrf", 'ℨ'), ("zeta", 'ζ'), ("zhcy", 'ж'),
    ("zwj", '\u{200d}'), ("zwnj", '\u{200c}'),
];
