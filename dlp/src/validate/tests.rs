//! Check digits and ranges against published samples.

use super::financial::IBAN_LENGTHS;
use super::*;

fn check(validator: fn(&[u8]) -> bool, valid: &[&str], invalid: &[&str]) {
    for text in valid {
        assert!(validator(text.as_bytes()), "{text} is valid");
    }
    for text in invalid {
        assert!(!validator(text.as_bytes()), "{text} is not valid");
    }
}

#[test]
fn credit_cards() {
    // Test numbers published by payment processors.
    let valid = [
        "4111111111111111",
        "4222222222222",
        "4012888888881881",
        "5555555555554444",
        "2223003122003222",
        "378282246310005",
        "30569309025904",
        "38520000023237",
        "6011111111111117",
        "3530111333300000",
        "6200000000000005",
        "4111-1111-1111-1111",
        "3782 822463 10005",
        "4111 1111-1111 1111",
        "4111.1111.1111.1111",
        "4111/1111/1111/1111",
        "4111  1111\t1111--1111",
        "4111 1111\r\n1111 1111",
    ];
    let invalid = [
        "4111111111111112",
        "411111111111111",
        "411 11111-1111 1111",
        "4.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1",
        "4111\n1111\n1111\n1111",
        "9111111111111111",
        "378282246310006",
        "2721000000000004",
        "",
    ];
    check(credit_card, &valid, &invalid);
}

#[test]
fn ibans() {
    // Examples of the SWIFT registry.
    let valid = [
        "GB82WEST12345698765432",
        "DE89370400440532013000",
        "FR1420041010050500013M02606",
        "NO9386011117947",
        "MT84MALT011000012345MTLCAST001S",
        "NL91ABNA0417164300",
        "CH93 0076 2011 6238 5295 7",
        "CH93-0076-2011-6238-5295-7",
        "CH93.0076.2011.6238.5295.7",
        "SA03 8000 0000 6080 1016 7519",
        "DE89 3704 0044\r\n0532 0130 00",
    ];
    let invalid = [
        "GB82WEST1234569876543",
        "GB83WEST12345698765432",
        "ZZ82WEST12345698765432",
        "DE89 3704\n0044\n0532 0130 00",
        "DE893704\n00440532013000",
        "",
        "D",
    ];
    check(iban, &valid, &invalid);
    assert!(IBAN_LENGTHS.is_sorted(), "the table is easier to compare with the registry when it is sorted");
}

#[test]
fn social_security_numbers() {
    let valid = ["078-05-1120", "219-09-9999", "123-45-6789", "665 01 0001", "899-99-9999"];
    check(
        us_ssn,
        &valid,
        &["000-12-3456", "666-12-3456", "900-12-3456", "999-12-3456", "123-00-4567", "123-45-0000"],
    );
}

#[test]
fn north_american_numbers() {
    check(nanp, &["(415) 555-0132", "212.736.5000"], &["(911) 555-0132", "415-211-0132"]);
}

#[test]
fn ipv6_addresses() {
    let valid = ["::1", "fe80::1", "2001:db8::8a2e:370:7334", "1:2:3:4:5:6:7:8"];
    check(ipv6, &valid, &["1:2:3:4:5:6:7:8:9", "12:30:45", "1::2::3", "aa:bb:cc:dd:ee:ff", ""]);
}

#[test]
fn american_numbers() {
    // The sample of the CMS check digit specification, and the sample printed in many guides.
    check(us_npi, &["1234567893"], &["1234567890", "1234567894"]);
    check(us_dea, &["AB1234563", "F91234563"], &["AB1234564"]);
    check(us_ein, &["12-3456789", "98-7654321"], &["00-3456789", "07-3456789", "96-1234567"]);
    check(aba_routing, &["021000021", "011401533", "091000019"], &["021000022", "123456789"]);
    check(luhn, &["130-692-544", "490154203237518"], &["130-692-545", "490154203237519"]);
    check(br_cpf, &["529.982.247-25", "11144477735"], &["529.982.247-24", "111.111.111-11", "5299822472"]);
    // The second is the sample of the tax office for numbers with letters.
    check(
        br_cnpj,
        &["11.222.333/0001-81", "12.ABC.345/01DE-35"],
        &["11.222.333/0001-82", "12.ABC.346/01DE-35"],
    );
    check(mx_curp, &["HEGG560427MVZRRL04"], &["HEGG560427MVZRRL05", "HEGG561327MVZRRL04"]);
    check(vin, &["1M8GDM9AXKP042788", "5GZCZ43D13S812715"], &["1M8GDM9A1KP042788", "5GZCZ43D23S812715"]);
}

#[test]
fn machine_readable_passports() {
    // The specimen of ICAO Doc 9303 part 4.
    let zone = "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10";
    for (from, to) in [("C36", "C37"), ("8122F", "8123F"), ("4159", "4158"), ("<10", "<11"), ("<10", "<20")] {
        check(mrz_passport, &[zone], &[&zone.replace(from, to)]);
    }
    check(mrz_number, &["T220001293"], &["T220001294", ""]);
}

#[test]
fn european_numbers() {
    check(uk_nhs, &["943 476 5919", "4010232137"], &["943 476 5918", "000 000 0000"]);
    check(uk_nino, &["AB123456C"], &["GB123456C", "ZZ123456A"]);
    check(uk_utr, &["1123456789"], &["2123456789"]);
    check(de_steuer_id, &["86095742719", "47036892816"], &["86095742718", "12345678903"]);
    check(fr_nir, &["255081416802538", "2 55 08 14 168 025 38"], &["255081416802539"]);
    check(es_nif, &["12345678Z", "X1234567L", "Y1234567X"], &["12345678A", "X1234567X"]);
    check(
        it_codice_fiscale,
        &["RSSMRA85T10A562S", "MRTMTT25D09F205Z"],
        &["RSSMRA85T10A562T", "RSSMRA85T80A562S"],
    );
    check(nl_bsn, &["111222333", "123456782"], &["111222334", "000000000"]);
    check(be_nrn, &["85.07.30-033.28", "17073003384"], &["85.07.30-033.29"]);
    check(pl_pesel, &["44051401359", "02070803628"], &["44051401358", "44053401359"]);
    check(se_personnummer, &["811218-9876", "19811218-9876", "670919-9530"], &["811218-9875", "811318-9876"]);
    check(fi_hetu, &["131052-308T"], &["131052-308U", "131352-308T"]);
    check(dk_cpr, &["311280-1234"], &["310280-1234", "311380-1234"]);
    check(no_fnr, &["15076500565", "01129955232"], &["15076500566", "15136500565"]);
    check(ean13, &["756.9217.0769.85", "4006381333931"], &["756.9217.0769.84"]);
    check(ru_snils, &["112-233-445 95"], &["112-233-445 94"]);
    check(tr_tckn, &["10000000146"], &["10000000147", "10000000156"]);
    check(
        date_of_birth,
        &["24.12.1984", "12/24/1984", "1984-02-29"],
        &["24.13.1984", "1984-02-30", "31/31/1984"],
    );
}

#[test]
fn numbers_of_asia_africa_and_oceania() {
    check(verhoeff, &["2363", "2341 2341 2346"], &["2364", "2341 2341 2347", "3241 2341 2346"]);
    check(in_gstin, &["27AAPFU0939F1ZV"], &["27AAPFU0939F1ZW"]);
    check(sg_nric, &["S1234567D", "T1234567J", "F1234567N", "G1234567X"], &["S1234567A", "F1234567D"]);
    check(cn_resident_id, &["11010519491231002X"], &["110105194912310021", "11010519491331002X"]);
    check(jp_my_number, &["123456789018"], &["123456789019"]);
    // The last is of someone born after checks ended.
    check(kr_rrn, &["900101-1234568", "2011013123456"], &["900101-1234567", "901301-1234568"]);
    check(za_id, &["8001015009087"], &["8001015009088", "8013015009087"]);
    check(au_tfn, &["123 456 782", "876543210"], &["123 456 783", "000 000 000"]);
    check(au_medicare, &["2123 45670 1"], &["2123 45671 1"]);
    check(tw_national_id, &["A123456789"], &["A123456788", "B123456789"]);
    check(hk_id, &["A123456(3)", "AB987654(3)"], &["A123456(4)"]);
}

#[test]
fn wallets() {
    check(
        base58check,
        &["1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"],
        &["1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb", "1", "0"],
    );
    check(base58check, &["5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ"], &["5Hue"]);
    // The first is of BIP-173, the second of BIP-350.
    let valid = [
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
    ];
    check(bech32, &valid, &["bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5"]);
    let seed = "legal winner thank year wave sausage worth useful legal winner thank yellow";
    check(mnemonic, &[seed], &[&seed.replace("year", "the"), "legal winner", &"legal ".repeat(12)]);
}

#[test]
fn randomness() {
    check(
        random_key,
        &["Zk3vQ9pLw2Rt8Xy1Nb6Hc4JdFm5GsTa7"],
        &["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1", "abcdefghijklmnopqrstuvwxyz"],
    );
    check(
        assigned_key,
        &["api_key = Zk3vQ9pLw2Rt8Xy1Nb6Hc4"],
        &["api_key = your_key_goes_here_1", "api_key: ${API_KEY_2024_x}"],
    );
    check(
        literal_key,
        &["token=\"Zk3vQ9pLw2Rt8Xy1Nb6Hc4\""],
        &["token=\"com.acme.Service.Tok3n/path\"", "token=\"Zk3v\""],
    );
    check(
        assigned_password,
        &["password=hunter2-Xq9"],
        &["password=changeme1X", "password=<secret>", "password: str"],
    );
    check(literal_password, &["pwd = 'kX9#mQ2vLw'"], &["pwd = 'get(Config1)'", "pwd = 'aaaaaaA1'"]);
    check(token, &["Zk3vQ9pLw2Rt8Xy1Nb6Hc4"], &["your-token-here-1234567"]);
    check(basic_credentials, &["Basic Ym9iOnBhc3N3b3Jk"], &["Basic Ym9iOn8=", "basic information"]);
    check(connection_password, &["a=b;Password=s3cr3t-Xq"], &["a=b;Password=<pw>", "Password=ab"]);
    check(discord_bot, &["MTIzNDU2Nzg5MDEyMzQ1Njc4.a.b"], &["MTIz.a.b", "NotANumberAtAllButLonger.a.b"]);
    check(
        aws_secret,
        &["wJalrXUtnFEMI/K7MDENG/bPxRfiCYzQ3MPLEKEY"],
        &["0123456789abcdef0123456789abcdef01234567"],
    );
    // Published with the description of the format: secretlint's sample of a GitHub token.
    check(
        crc32_base62,
        &["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"],
        &["ghp_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq18", "ghp_"],
    );
}
