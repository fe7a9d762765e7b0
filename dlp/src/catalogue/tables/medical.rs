//! Numbers of patients, prescribers and treatments.

use crate::catalogue::entry::{Entry, Near, Table, entry};
use crate::gate::Shape;
use crate::validate;

pub(super) const TABLES: &[Table] = &[Table { category: "medical", entries: MEDICAL }];

const MEDICAL: &[Entry] = &[
    entry("UK_NHS_NUMBER", 0.85, r"\b[0-9]{3}[- ]?[0-9]{3}[- ]?[0-9]{4}\b")
        .finds("943 476 5919")
        .misses("943 476 5918")
        .checked("check digit modulo 11", validate::uk_nhs)
        .aliases(&["UK_NATIONAL_HEALTH_SERVICE_NUMBER", "UK_NHS"])
        .context(&["nhs", "national health"]),
    entry("AU_MEDICARE", 0.8, r"\b[2-6][0-9]{3} ?[0-9]{5} ?[0-9](?:[ /]?[0-9])?\b")
        .finds("2123 45670 1")
        .misses("2123 45671 1")
        .checked("check digit modulo 10", validate::au_medicare)
        .aliases(&["AUSTRALIA_MEDICARE_NUMBER"])
        .context(&["medicare"]),
    entry("US_NPI", 0.85, r"\b[12][0-9]{9}\b")
        .finds("1234567893")
        .misses("1234567894")
        .checked("Luhn check digit with 80840", validate::us_npi)
        .aliases(&["US_HEALTHCARE_NPI"])
        .context(&["npi", "provider", "prescriber"]),
    entry("US_DEA", 0.9, r"\b[ABCDEFGHJKLMPRSTUX][A-Z9][0-9]{7}\b")
        .finds("AB1234563")
        .misses("AB1234564")
        .checked("check digit", validate::us_dea)
        .aliases(&["US_DEA_NUMBER", "MEDICAL_LICENSE"])
        .near(Near::Positions),
    entry("US_MEDICARE_MBI", 0.85, r"\b[1-9][AC-HJKMNP-RT-Y][0-9AC-HJKMNP-RT-Y][0-9]-?[AC-HJKMNP-RT-Y][0-9AC-HJKMNP-RT-Y][0-9]-?[AC-HJKMNP-RT-Y]{2}[0-9]{2}\b")
        .finds("1EG4-TE5-MK73")
        .misses("1EG4-TE5-SK73")
        .aliases(&["US_MEDICARE_BENEFICIARY_ID_NUMBER", "US_MBI"])
        .near(Near::Positions),
    entry("MEDICAL_RECORD_NUMBER", 0.6, r"(?i)\b(?:mrn|medical record(?: number| no\.?)?|patient id) ?[:#]? ?[A-Z]{0,3}[0-9]{5,12}\b")
        .finds("MRN: 00123456")
        .misses("MRN: 0012")
        .near(Near::Words(&["mrn", "medical record", "patient id"])),
    entry("ICD10_CODE", 0.5, r"\b[A-TV-Z][0-9][0-9AB](?:\.[0-9A-TV-Z]{1,4})?\b")
        .finds("E11.9")
        .misses("E1.9")
        .context(&["diagnosis", "diagnoses", "icd"]),
    entry("US_NDC", 0.6, r"\b(?:[0-9]{4}-[0-9]{4}-[0-9]{2}|[0-9]{5}-[0-9]{3}-[0-9]{2}|[0-9]{5}-[0-9]{4}-[0-9]{1,2})\b")
        .finds("0777-3105-02")
        .misses("0777-310-02")
        .context(&["ndc", "drug"]),
    entry("EU_HEALTH_CARD", 0.9, r"\b80[0-9]{3}[0-9]{5}[0-9]{10}\b")
        .finds("80276000123456789014")
        .misses("80276000123456789015")
        .checked("Luhn check digit", validate::luhn)
        .near(Near::Shape(Shape::Digits { min: 20 })),
];
