//! Cards, accounts and wallets.

use crate::catalogue::entry::{Entry, Near, Table, entry};
use crate::gate::Shape;
use crate::validate;

pub(super) const TABLES: &[Table] =
    &[Table { category: "financial", entries: MONEY }, Table { category: "crypto", entries: WALLETS }];

const MONEY: &[Entry] = &[
    entry("CREDIT_CARD", 0.9, r"\b[2-6](?:[ ./\t\r\n-]{0,2}[0-9]){11,18}\b")
        .finds("4111 1111 1111 1111")
        .misses("4111 1111 1111 1112")
        .checked("issuer's range and length, Luhn check digit", validate::credit_card)
        .aliases(&["CREDIT_CARD_NUMBER"])
        .near(Near::Shape(Shape::Digits { min: 12 })),
    entry("CREDIT_CARD_TRACK2", 0.95, r"\b[3-6][0-9]{11,18}=[0-9]{7}[0-9]{0,13}\b")
        .finds("4111111111111111=25121011234567890")
        .misses("4111111111111111=25131011234567890")
        .checked("a card number and a month", validate::track2)
        .aliases(&["CREDIT_CARD_TRACK_NUMBER"])
        .near(Near::Shape(Shape::Digits { min: 12 })),
    entry("CARD_CVV", 0.7, r"(?i)\b(?:cvv2?|cvc2?|cvn|security code)[^0-9\n]{0,12}[0-9]{3,4}\b")
        .finds("cvv: 123")
        .misses("cvv: 12")
        .aliases(&["CVV_NUMBER"])
        .near(Near::Words(&["cvv", "cvc", "cvn", "security code"])),
    entry("IBAN_CODE", 0.95, r"\b[A-Z]{2}[0-9]{2}(?:(?:[ .-]|\r?\n)?[A-Z0-9]){11,30}\b")
        .finds("GB82 WEST 1234 5698 7654 32")
        .misses("GB83 WEST 1234 5698 7654 32")
        .checked("the country's length, check digits modulo 97", validate::iban)
        .aliases(&["IBAN"])
        .near(Near::Shape(Shape::Iban)),
    entry("SWIFT_BIC", 0.6, r"\b[A-Z]{4}[A-Z]{2}[A-Z0-9]{2}(?:[A-Z0-9]{3})?\b")
        .finds("DEUTDEFF500")
        .misses("DEUTXXFF500")
        .checked("a country", validate::swift_bic)
        .aliases(&["SWIFT_CODE"])
        .context(&["swift", "bic:", "bic "]),
    entry("US_ABA_ROUTING", 0.8, r"\b(?:0[0-9]|1[0-2]|2[1-9]|3[0-2]|6[1-9]|7[0-2]|80)[0-9]{7}\b")
        .finds("021000021")
        .misses("021000022")
        .checked("check digit", validate::aba_routing)
        .aliases(&["US_BANK_ROUTING_MICR"])
        .context(&["routing", "aba:", "aba ", "wire", "rtn:", "rtn "]),
    entry("US_BANK_ACCOUNT", 0.4, r"\b[0-9]{8,17}\b")
        .finds("000123456789")
        .misses("0001234")
        .aliases(&["FINANCIAL_ACCOUNT_NUMBER", "US_BANK_NUMBER"])
        .context(&["account number", "account no", "acct", "bank account", "checking", "savings"]),
];

const WALLETS: &[Entry] = &[
    entry("BITCOIN_ADDRESS", 0.95, r"\b[13][1-9A-HJ-NP-Za-km-z]{25,34}\b")
        .finds("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa")
        .misses("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb")
        .checked("Base58Check", validate::base58check)
        .aliases(&["CRYPTO_ADDRESS"])
        .near(Near::Positions),
    entry("BITCOIN_ADDRESS_BECH32", 0.95, r"\bbc1[02-9ac-hj-np-z]{11,71}\b")
        .finds("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4")
        .misses("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5")
        .checked("Bech32 or Bech32m", validate::bech32)
        .aliases(&["CRYPTO_ADDRESS"]),
    entry("ETHEREUM_ADDRESS", 0.8, r"\b0x[0-9a-fA-F]{40}\b")
        .finds("0x{40:hex}")
        .misses("0x{39:hex}")
        .aliases(&["CRYPTO_ADDRESS"])
        .near(Near::Positions),
    entry("CRYPTO_PRIVATE_KEY_WIF", 0.95, r"\b(?:5[1-9A-HJ-NP-Za-km-z]{50}|[KL][1-9A-HJ-NP-Za-km-z]{51})\b")
        .finds("5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ")
        .misses("5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTK")
        .checked("Base58Check", validate::base58check)
        .near(Near::Positions),
    entry("BIP32_EXTENDED_PRIVATE_KEY", 0.99, r"\b[xyz]prv[1-9A-HJ-NP-Za-km-z]{107}\b")
        .finds("xprv{107:base58}")
        .misses("xprv{106:base58}"),
    entry("ETHEREUM_PRIVATE_KEY", 0.8, r"\b(?:0x)?[0-9a-fA-F]{64}\b")
        .finds("0x{64:hex}")
        .misses("0x{63:hex}")
        .checked("letters, a digit, randomness", validate::random_hex)
        .context(&["private key", "private_key", "privatekey", "eth_key", "wallet key"]),
    entry("BIP39_MNEMONIC", 0.8, r"\b(?:[a-z]{3,8} ){11}(?:(?:[a-z]{3,8} ){3}){0,4}[a-z]{3,8}\b")
        .finds("legal winner thank year wave sausage worth useful legal winner thank yellow")
        .misses("legal winner thank year wave sausage the worth useful legal winner yellow")
        .checked("a number of words that occurs, none of the most common", validate::mnemonic)
        .context(&["seed", "mnemonic", "recovery phrase", "recovery_phrase"]),
];
