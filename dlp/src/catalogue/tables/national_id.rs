//! Numbers that states give to persons and companies.

use crate::catalogue::entry::{Entry, Near, Table, entry};
use crate::gate::Shape;
use crate::validate;

pub(super) const TABLES: &[Table] = &[
    Table { category: "national_id", entries: AMERICAS },
    Table { category: "national_id", entries: EUROPE },
    Table { category: "national_id", entries: ELSEWHERE },
];

const fn digits(min: usize) -> Near {
    Near::Shape(Shape::Digits { min })
}

const AMERICAS: &[Entry] = &[
    entry("US_SSN", 0.85, r"\b[0-9]{3}(?:-[0-9]{2}-| [0-9]{2} |\.[0-9]{2}\.)[0-9]{4}\b")
        .finds("078-05-1120")
        .misses("666-05-1120")
        .checked("an area, group and serial that can be issued", validate::us_ssn)
        .aliases(&["US_SOCIAL_SECURITY_NUMBER"])
        .near(digits(9)),
    entry("US_SSN_UNDELIMITED", 0.6, r"\b[0-9]{9}\b")
        .label("US_SSN", &["US_SOCIAL_SECURITY_NUMBER"])
        .finds("078051120")
        .misses("666051120")
        .checked("an area, group and serial that can be issued", validate::us_ssn)
        .context(&["ssn", "social security"]),
    entry("US_ITIN", 0.7, r"\b9[0-9]{2}[- ]?(?:5[0-9]|6[0-5]|7[0-9]|8[0-8]|9[0-24-9])[- ]?[0-9]{4}\b")
        .finds("912-70-1234")
        .misses("912-93-1234")
        .aliases(&["US_INDIVIDUAL_TAXPAYER_IDENTIFICATION_NUMBER"])
        .near(digits(9)),
    entry("US_EIN", 0.6, r"\b[0-9]{2}-[0-9]{7}\b")
        .finds("12-3456789")
        .misses("07-3456789")
        .checked("a prefix that is given out", validate::us_ein)
        .aliases(&["US_EMPLOYER_IDENTIFICATION_NUMBER"])
        .context(&["ein:", "ein ", "employer identification", "fein"]),
    entry("US_PASSPORT", 0.5, r"\b(?:[A-Z][0-9]{8}|[0-9]{9})\b")
        .finds("C03005988")
        .misses("C0300598")
        .context(&["passport"]),
    entry("US_DRIVERS_LICENSE", 0.4, r"\b[A-Z]{0,2}[0-9]{5,14}\b")
        .finds("D1234567")
        .misses("D1234")
        .aliases(&["US_DRIVERS_LICENSE_NUMBER", "US_DRIVER_LICENSE"])
        .context(&[
            "driver's license",
            "drivers license",
            "driver license",
            "driver's licence",
            "driving licence",
            "dl#",
            "license no",
            "license number",
        ]),
    entry("CA_SIN", 0.7, r"\b[1-79][0-9]{2}[- ]?[0-9]{3}[- ]?[0-9]{3}\b")
        .finds("130-692-544")
        .misses("130-692-545")
        .checked("Luhn check digit", validate::luhn)
        .aliases(&["CANADA_SOCIAL_INSURANCE_NUMBER"])
        .near(digits(9)),
    entry("BR_CPF", 0.85, r"\b[0-9]{3}\.?[0-9]{3}\.?[0-9]{3}-?[0-9]{2}\b")
        .finds("529.982.247-25")
        .misses("529.982.247-26")
        .checked("two check digits", validate::br_cpf)
        .aliases(&["BRAZIL_CPF_NUMBER"])
        .near(digits(11)),
    entry("BR_CNPJ", 0.85, r"\b[0-9]{2}\.?[0-9]{3}\.?[0-9]{3}/?[0-9]{4}-?[0-9]{2}\b")
        .finds("11.222.333/0001-81")
        .misses("11.222.333/0001-82")
        .checked("two check digits", validate::br_cnpj)
        .aliases(&["BRAZIL_CNPJ_NUMBER"])
        .near(digits(14)),
    // With letters since July 2026.
    entry("BR_CNPJ_ALPHANUMERIC", 0.85, r"\b[0-9A-Z]{2}\.[0-9A-Z]{3}\.[0-9A-Z]{3}/[0-9A-Z]{4}-[0-9]{2}\b")
        .finds("12.ABC.345/01DE-35")
        .misses("12.ABC.345/01DE-36")
        .checked("two check digits", validate::br_cnpj)
        .label("BR_CNPJ", &["BR_CNPJ", "BRAZIL_CNPJ_NUMBER"])
        .near(Near::Positions),
    entry("BR_CNPJ_ALPHANUMERIC_BARE", 0.85, r"\b[0-9A-Z]{12}[0-9]{2}\b")
        .finds("12ABC34501DE35")
        .misses("12ABC34501DE36")
        .checked("two check digits", validate::br_cnpj)
        .label("BR_CNPJ", &["BR_CNPJ", "BRAZIL_CNPJ_NUMBER"])
        .context(&["cnpj"]),
    entry(
        "MX_CURP",
        0.95,
        r"\b[A-Z][AEIOUX][A-Z]{2}[0-9]{6}[HMX][A-Z]{2}[B-DF-HJ-NP-TV-Z]{3}[0-9A-Z][0-9]\b",
    )
    .finds("HEGG560427MVZRRL04")
    .misses("HEGG560427MVZRRL05")
    .checked("a day that exists, check digit", validate::mx_curp)
    .aliases(&["MEXICO_CURP_NUMBER"])
    .near(Near::Positions),
];

const EUROPE: &[Entry] = &[
    entry("UK_NINO", 0.85, r"\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]\b")
        .finds("AB 12 34 56 C")
        .misses("GB 12 34 56 C")
        .checked("a prefix that is given out", validate::uk_nino)
        .aliases(&["UK_NATIONAL_INSURANCE_NUMBER"])
        .context(&["national insurance", "nino", "ni number"]),
    entry("UK_UTR", 0.7, r"\b[0-9]{5} ?[0-9]{5}\b")
        .finds("1123456789")
        .misses("2123456789")
        .checked("check digit", validate::uk_utr)
        .aliases(&["UK_TAXPAYER_REFERENCE"])
        .context(&["utr", "tax reference"]),
    entry("DE_STEUER_ID", 0.85, r"\b[1-9][0-9]{10}\b")
        .finds("86095742719")
        .misses("86095742718")
        .checked("ISO 7064 MOD 11,10, one digit repeated", validate::de_steuer_id)
        .aliases(&["GERMANY_TAXPAYER_IDENTIFICATION_NUMBER", "DE_TAX_ID"])
        .context(&["steuer", "idnr", "tin:", "tin "]),
    entry("DE_ID_CARD", 0.7, r"\b[CFGHJKLMNPRTVWXYZ][CFGHJKLMNPRTVWXYZ0-9]{8}[0-9]\b")
        .finds("T220001293")
        .misses("T220001294")
        .checked("check digit of ICAO 9303", validate::mrz_number)
        .aliases(&["GERMANY_IDENTITY_CARD_NUMBER"])
        .context(&["ausweis", "personalausweis"]),
    entry(
        "FR_NIR",
        0.9,
        r"\b[1278] ?[0-9]{2} ?(?:0[1-9]|1[0-2]|[2-9][0-9]) ?[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}\b",
    )
    .finds("2 55 08 14 168 025 38")
    .misses("2 55 08 14 168 025 39")
    .checked("key modulo 97", validate::fr_nir)
    .aliases(&["FRANCE_NIR"])
    .near(digits(15)),
    entry(
        "FR_NIR_CORSICA",
        0.9,
        r"\b[1278][0-9]{2}(?:0[1-9]|1[0-2]|[2-9][0-9])2[AB][0-9]{3}[0-9]{3}[0-9]{2}\b",
    )
    .finds("185052A16802584")
    .misses("185052A16802585")
    .checked("key modulo 97", validate::fr_nir)
    .label("FR_NIR", &["FR_NIR", "FRANCE_NIR"])
    .near(Near::Positions),
    entry(
        "FR_NIR_CORSICA_SPACED",
        0.9,
        r"\b[1278] [0-9]{2} (?:0[1-9]|1[0-2]|[2-9][0-9]) 2[AB] [0-9]{3} [0-9]{3} [0-9]{2}\b",
    )
    .finds("1 85 05 2A 168 025 84")
    .misses("1 85 05 2A 168 025 85")
    .checked("key modulo 97", validate::fr_nir)
    .label("FR_NIR", &["FR_NIR", "FRANCE_NIR"])
    .near(Near::Positions),
    entry("ES_NIF", 0.9, r"\b[0-9]{8}-?[TRWAGMYFPDXBNJZSQVHLCKE]\b")
        .finds("12345678Z")
        .misses("12345678A")
        .checked("letter modulo 23", validate::es_nif)
        .aliases(&["SPAIN_NIF_NUMBER"])
        .near(Near::Positions),
    entry("ES_NIE", 0.9, r"\b[XYZ]-?[0-9]{7}-?[TRWAGMYFPDXBNJZSQVHLCKE]\b")
        .finds("X1234567L")
        .misses("X1234567A")
        .checked("letter modulo 23", validate::es_nif)
        .aliases(&["SPAIN_NIE_NUMBER"])
        .near(Near::Positions),
    entry(
        "IT_CODICE_FISCALE",
        0.95,
        r"\b[A-Z]{6}[0-9LMNPQRSTUV]{2}[ABCDEHLMPRST][0-9LMNPQRSTUV]{2}[A-Z][0-9LMNPQRSTUV]{3}[A-Z]\b",
    )
    .finds("RSSMRA85T10A562S")
    .misses("RSSMRA85T10A562T")
    .checked("check letter, a day that exists", validate::it_codice_fiscale)
    .aliases(&["ITALY_FISCAL_CODE", "IT_FISCAL_CODE"])
    .near(Near::Positions),
    entry("NL_BSN", 0.8, r"\b[0-9]{9}\b")
        .finds("111222333")
        .misses("111222334")
        .checked("eleven test", validate::nl_bsn)
        .aliases(&["NETHERLANDS_BSN_NUMBER"])
        .context(&["bsn", "burgerservicenummer", "sofi"]),
    entry("BE_NRN", 0.85, r"\b[0-9]{2}\.?[0-9]{2}\.?[0-9]{2}-?[0-9]{3}\.?[0-9]{2}\b")
        .finds("85.07.30-033.28")
        .misses("85.07.30-033.29")
        .checked("key modulo 97", validate::be_nrn)
        .aliases(&["BELGIUM_NATIONAL_ID_CARD_NUMBER"])
        .context(&["rijksregister", "registre national", "insz", "niss"]),
    entry("PL_PESEL", 0.85, r"\b[0-9]{11}\b")
        .finds("44051401359")
        .misses("44051401358")
        .checked("a day that exists, check digit", validate::pl_pesel)
        .aliases(&["POLAND_PESEL_NUMBER"])
        .context(&["pesel"]),
    entry("SE_PERSONNUMMER", 0.7, r"\b(?:19|20)?[0-9]{6}[-+][0-9]{4}\b")
        .finds("811218-9876")
        .misses("811218-9875")
        .checked("a day that exists, Luhn check digit", validate::se_personnummer)
        .aliases(&["SWEDEN_NATIONAL_ID_NUMBER"])
        .near(Near::Positions),
    entry("SE_PERSONNUMMER_UNDELIMITED", 0.8, r"\b(?:[0-9]{2})?[0-9]{10}\b")
        .label("SE_PERSONNUMMER", &["SWEDEN_NATIONAL_ID_NUMBER"])
        .finds("8112189876")
        .misses("8112189875")
        .checked("a day that exists, Luhn check digit", validate::se_personnummer)
        .context(&["personnummer"]),
    entry("FI_HETU", 0.95, r"\b[0-3][0-9][01][0-9]{3}[-+A-FU-Y][0-9]{3}[0-9A-FHJ-NPR-Y]\b")
        .finds("131052-308T")
        .misses("131052-308U")
        .checked("a day that exists, check character", validate::fi_hetu)
        .aliases(&["FINLAND_NATIONAL_ID_NUMBER", "FI_PERSONAL_IDENTITY_CODE"])
        .near(Near::Positions),
    entry("DK_CPR", 0.6, r"\b[0-3][0-9][01][0-9]{3}-?[0-9]{4}\b")
        .finds("311280-1234")
        .misses("311380-1234")
        .checked("a day that exists", validate::dk_cpr)
        .aliases(&["DENMARK_CPR_NUMBER"])
        .context(&["cpr"]),
    entry("NO_FNR", 0.85, r"\b[0-7][0-9][0-9]{4} ?[0-9]{5}\b")
        .finds("15076500565")
        .misses("15076500566")
        .checked("a day that exists, two check digits", validate::no_fnr)
        .aliases(&["NORWAY_NI_NUMBER"])
        .near(digits(11)),
    entry("CH_AHV", 0.95, r"\b756\.?[0-9]{4}\.?[0-9]{4}\.?[0-9]{2}\b")
        .finds("756.9217.0769.85")
        .misses("756.9217.0769.86")
        .checked("EAN-13 check digit", validate::ean13)
        .aliases(&["SWITZERLAND_SOCIAL_SECURITY_NUMBER"]),
    entry("RU_SNILS", 0.95, r"\b[0-9]{3}-[0-9]{3}-[0-9]{3} [0-9]{2}\b")
        .finds("112-233-445 95")
        .misses("112-233-445 96")
        .checked("check number modulo 101", validate::ru_snils)
        .near(digits(11)),
    entry("TR_TCKN", 0.9, r"\b[1-9][0-9]{10}\b")
        .finds("10000000146")
        .misses("10000000147")
        .checked("two check digits", validate::tr_tckn)
        .aliases(&["TURKEY_ID_NUMBER", "TR_NATIONAL_ID"])
        .context(&["tckn", "kimlik", "t.c."]),
];

const ELSEWHERE: &[Entry] = &[
    entry("IN_AADHAAR", 0.8, r"\b[2-9][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}\b")
        .finds("2341 2341 2346")
        .misses("2341 2341 2347")
        .checked("Verhoeff check digit", validate::verhoeff)
        .aliases(&["INDIA_AADHAAR_INDIVIDUAL"])
        .near(digits(12)),
    entry("IN_PAN", 0.8, r"\b[A-Z]{3}[ABCFGHLJPT][A-Z][0-9]{4}[A-Z]\b")
        .finds("ABCPE1234F")
        .misses("ABCDE1234F")
        .aliases(&["INDIA_PAN_INDIVIDUAL"])
        .near(Near::Positions),
    entry("IN_GSTIN", 0.95, r"\b(?:0[1-9]|[1-3][0-9])[A-Z]{5}[0-9]{4}[A-Z][1-9A-Z]Z[0-9A-Z]\b")
        .finds("27AAPFU0939F1ZV")
        .misses("27AAPFU0939F1ZW")
        .checked("check character in base 36", validate::in_gstin)
        .aliases(&["INDIA_GST_INDIVIDUAL"])
        .near(Near::Positions),
    entry("SG_NRIC", 0.95, r"\b[STFGM][0-9]{7}[A-Z]\b")
        .finds("S1234567D")
        .misses("S1234567A")
        .checked("check letter", validate::sg_nric)
        .aliases(&["SINGAPORE_NATIONAL_REGISTRATION_ID_NUMBER", "SG_NRIC_FIN"])
        .near(Near::Positions),
    entry(
        "CN_RESIDENT_ID",
        0.95,
        r"\b[1-9][0-9]{5}(?:18|19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{3}[0-9Xx]\b",
    )
    .finds("11010519491231002X")
    .misses("110105194912310021")
    .checked("a day that exists, ISO 7064 MOD 11-2", validate::cn_resident_id)
    .aliases(&["CHINA_RESIDENT_ID_NUMBER"])
    .near(digits(17)),
    entry("JP_MY_NUMBER", 0.8, r"\b[0-9]{4} ?[0-9]{4} ?[0-9]{4}\b")
        .finds("1234 5678 9018")
        .misses("1234 5678 9019")
        .checked("check digit modulo 11", validate::jp_my_number)
        .aliases(&["JAPAN_INDIVIDUAL_NUMBER"])
        .context(&["my number", "mynumber", "kojin bango"]),
    entry("KR_RRN", 0.85, r"\b[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])-?[1-8][0-9]{6}\b")
        .finds("900101-1234568")
        .misses("900101-1234567")
        .checked("a day that exists, check digit up to 2020", validate::kr_rrn)
        .aliases(&["KOREA_RRN"])
        .context(&["resident registration", "rrn", "jumin"]),
    entry("ZA_ID", 0.85, r"\b[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{4}[012][0-9]{2}\b")
        .finds("8001015009087")
        .misses("8001015009088")
        .checked("a day that exists, Luhn check digit", validate::za_id)
        .aliases(&["SOUTH_AFRICA_ID_NUMBER", "ZA_ID_NUMBER"])
        .near(digits(13)),
    entry("IL_ID", 0.7, r"\b[0-9]{9}\b")
        .finds("123456782")
        .misses("123456783")
        .checked("Luhn check digit", validate::luhn)
        .aliases(&["ISRAEL_IDENTITY_CARD_NUMBER"])
        .context(&["teudat zehut", "id number"]),
    entry("AU_TFN", 0.85, r"\b[0-9]{3} ?[0-9]{3} ?[0-9]{3}\b")
        .finds("123 456 782")
        .misses("123 456 783")
        .checked("weights modulo 11", validate::au_tfn)
        .aliases(&["AUSTRALIA_TAX_FILE_NUMBER"])
        .context(&["tfn", "tax file"]),
    entry("TW_NATIONAL_ID", 0.9, r"\b[A-Z][12489][0-9]{8}\b")
        .finds("A123456789")
        .misses("A123456788")
        .checked("check digit", validate::tw_national_id)
        .aliases(&["TAIWAN_ID_NUMBER"])
        .near(Near::Positions),
    entry("HK_ID", 0.85, r"\b[A-Z]{1,2}[0-9]{6}\([0-9A]\)")
        .finds("A123456(3)")
        .misses("A123456(4)")
        .checked("check character modulo 11", validate::hk_id)
        .aliases(&["HONG_KONG_ID_NUMBER"])
        .near(Near::Positions),
    // One in eleven names such as `B4000000` has the right check digit.
    entry("HK_ID_BARE", 0.85, r"\b[A-Z]{1,2}[0-9]{6}[0-9A]\b")
        .finds("A1234563")
        .misses("A1234564")
        .checked("check character modulo 11", validate::hk_id)
        .label("HK_ID", &["HK_ID", "HONG_KONG_ID_NUMBER"])
        .context(&["hkid", "hong kong", "identity card"]),
];
