//! Personal data that is not a number of a state, and addresses of networks.

use crate::catalogue::entry::{Entry, Near, Table, entry};
use crate::gate::Shape;
use crate::validate;

pub(super) const TABLES: &[Table] =
    &[Table { category: "pii", entries: PERSONAL }, Table { category: "network", entries: NETWORK }];

// Labels of a domain may have letters of any script. The last may not, nor the local part: where words have no spaces
// between them, that would be the sentence around the address.

/// `EMAIL_ADDRESS` without its local part, whose last byte must be a letter, a digit or an underscore: a
/// decorator such as `@app.route` is no address.
pub(in crate::catalogue) static EMAIL_DOMAIN: Entry = entry(
    "EMAIL_ADDRESS",
    0.95,
    r"\b@(?:[A-Za-z0-9\x80-\xff][A-Za-z0-9\x80-\xff-]{0,62}\.){1,8}[A-Za-z]{2,24}\b",
)
.near(Near::Shape(Shape::Email));

const PERSONAL: &[Entry] = &[
    // RFC 5321 section 4.5.3.1 bounds the local part and the labels.
    entry("EMAIL_ADDRESS", 0.95, r"\b[A-Za-z0-9_][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9\x80-\xff][A-Za-z0-9\x80-\xff-]{0,62}\.){1,8}[A-Za-z]{2,24}\b")
        .finds("jane.doe+x@mail.example.com")
        .misses("jane.doe@example")
        .near(Near::Shape(Shape::Email)),
    entry("PHONE_E164", 0.8, r"\B\+[1-9](?:[ ().-]{0,2}[0-9]){6,14}\b")
        .label("PHONE_NUMBER", &["PHONE_NUMBER"])
        .finds("+49 30 1234567")
        .misses("+49 3012")
        .near(Near::Shape(Shape::PlusDigits)),
    entry("PHONE_NATIONAL_NANP", 0.6, r"(?:\([2-9][0-9]{2}\) ?|\b[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}\b")
        .label("PHONE_NUMBER", &["PHONE_NUMBER"])
        .finds("(415) 555-0132")
        .misses("(415) 911-0132")
        .checked("no service code", validate::nanp)
        .near(Near::Shape(Shape::Digits { min: 10 })),
    entry("PHONE_NATIONAL_OTHER", 0.5, r"\b0[1-9](?:[ ./-]?[0-9]){7,10}\b")
        .label("PHONE_NUMBER", &["PHONE_NUMBER"])
        .finds("030 1234567")
        .misses("030 12345")
        .context(&["phone", "tel:", "tel.", "telefon", "mobil", "handy", "fax", "call us", "appel"]),
    entry("DATE_OF_BIRTH", 0.6, r"\b(?:[0-9]{1,2}[/.-][0-9]{1,2}[/.-](?:19|20)[0-9]{2}|(?:19|20)[0-9]{2}-[0-9]{2}-[0-9]{2})\b")
        .finds("24.12.1984")
        .misses("24.13.1984")
        .checked("a day that exists", validate::date_of_birth)
        .context(&["born", "birth", "dob:", "dob ", "geboren", "geburtsdatum", "naissance"]),
    entry("IMEI", 0.7, r"\b[0-9]{15}\b")
        .finds("490154203237518")
        .misses("490154203237517")
        .checked("Luhn check digit", validate::luhn)
        .aliases(&["IMEI_HARDWARE_ID"])
        .context(&["imei"]),
    entry("VIN", 0.7, r"\b[A-HJ-NPR-Z0-9]{17}\b")
        .finds("1M8GDM9AXKP042788")
        .misses("1M8GDM9A1KP042788")
        .checked("check digit in the ninth place", validate::vin)
        .aliases(&["VEHICLE_IDENTIFICATION_NUMBER"])
        .context(&["vin:", "vin ", "vehicle", "chassis"]),
    entry("MRZ_PASSPORT_TD3", 0.99, r"\bP[A-Z<][A-Z]{3}[A-Z<]{39}\s{1,2}[A-Z0-9<]{9}[0-9][A-Z]{3}[0-9]{6}[0-9][MFX<][0-9]{6}[0-9][A-Z0-9<]{14}[0-9<][0-9]")
        .finds("P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10")
        .misses("P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<11")
        .checked("five check digits", validate::mrz_passport)
        .near(Near::Positions),
];

const NETWORK: &[Entry] = &[
    entry("IP_ADDRESS_V4", 0.6, r"\b(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\b")
        .label("IP_ADDRESS", &["IP_ADDRESS"])
        .finds("192.0.2.1")
        .misses("192.0.2.256")
        .near(Near::Shape(Shape::DottedQuad)),
    entry("IP_ADDRESS_V6", 0.6, r"\b(?:[0-9A-Fa-f]{1,4}:){1,7}(?:[0-9A-Fa-f]{1,4}|:)(?::?[0-9A-Fa-f]{1,4}){0,6}\b")
        .label("IP_ADDRESS", &["IP_ADDRESS"])
        .finds("2001:db8::8a2e:370:7334")
        .misses("2001:db8:8a2e:370:7334")
        .checked("an address of RFC 4291", validate::ipv6)
        .near(Near::Shape(Shape::HexColons)),
    entry("MAC_ADDRESS", 0.7, r"\b[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}\b")
        .finds("00:1b:44:11:3a:b7")
        .misses("00:1b:44:11-3a:b7")
        .checked("one kind of separator, not all bits equal", validate::mac)
        .near(Near::Positions),
];
