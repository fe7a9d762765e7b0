//! Secrets of no provider in particular: keys in files, in URLs, in headers, assigned to names.

use crate::catalogue::entry::{Entry, Near, Table, entry};
use crate::validate;

pub(super) const TABLES: &[Table] = &[Table { category: "secret", entries: SECRETS }];

const SECRETS: &[Entry] = &[
    // The body goes on while bytes can belong to one: base64, headers, line ends, written out or as backslashes and
    // an n, and what stands in front of quoted, commented, numbered and concatenated lines. Five dashes end it, and the
    // END line belongs to it.
    entry("PRIVATE_KEY_PEM", 0.99, r#"-----BEGIN[ \t]{1,4}(?:[A-Z0-9]{1,12}[ \t]{1,4}){0,4}PRIVATE[ \t]{1,4}KEY(?:[ \t]{1,4}BLOCK)?-----(?:-{0,4}(?:[A-Za-z0-9+/=,:;.()@ \t\r\n]|(?:[\r\n]|\\{1,8}[nr\r\n])(?:[0-9 \t]{0,12}(?:[>#|*;% \t]|→|│){1,8})?|\\{0,8}["'`][ \t]{0,4}[+.\\]?[ \t]{0,4}(?:[\r\n]|\\{1,8}[nr]){1,2}[ \t]{0,12}\\{0,8}["'`]))*(?:-----END[A-Z0-9 \t]{1,64}-----)?"#)
        .finds("-----BEGIN RSA PRIVATE KEY-----\n{64:alnum}\n{20:alnum}==\n-----END RSA PRIVATE KEY-----")
        .misses("-----BEGIN RSA PUBLIC KEY-----\n{64:alnum}\n"),
    // At each place in a group of three: an answer may hold anything in base64, and only requests are decoded.
    entry("PRIVATE_KEY_PEM_BASE64", 0.99, r"(?:LS0tLS1CRUdJTi(?:BSU0Eg|BFQyB|BPUEVOU1NIIF|BFTkNSWVBURUQg|BQ|BEU0Eg)|0tLS0tQkVHSU4g(?:UFJJVkFURSBLRV|UlNBIFBSSVZBVE|RUMgUFJJVkFUR|T1BFTlNTSCBQUklWQVRF|RU5DUllQVEVEIFBSSVZBVE|RFNBIFBSSVZBVE)|LS0tLUJFR0lOI(?:FBSSVZBVEUgS0VZ|FJTQSBQUklWQVRF|EVDIFBSSVZBVE|E9QRU5TU0ggUFJJVkFUR|EVOQ1JZUFRFRCBQUklWQVRF|ERTQSBQUklWQVRF))[A-Za-z0-9+/]{40,}={0,2}")
        .finds("LS0tLS1CRUdJTiBSU0Eg{400:alnum}==")
        .misses("LS0tLS1CRUdJTiBSU0Eg{39:alnum}"),
    // `sk-ant-api03-`, `sk-proj-` and `github_pat_` at each place in a group of three. Shorter fixed texts, such as
    // `AKIA`, are four characters of base64, and those stand in every picture.
    // Left out in front are letters that many words end with: a stream would hold each of these words.
    entry("API_KEY_BASE64", 0.95, r"(?:2stYW50LWFwaTAzL|NrLWFudC1hcGkwMy|zay1hbnQtYXBpMDMt|2stcHJvai|NrLXByb2ot|zay1wcm9qL|Z2l0aHViX3BhdF|Gh1Yl9wYXRf|XRodWJfcGF0X)[A-Za-z0-9+/_-]{24,400}={0,2}")
        .finds("2stcHJvai{80:alnum}")
        .misses("2stcHJvai{23:alnum}"),
    entry("PUTTY_PRIVATE_KEY", 0.99, r"\bPuTTY-User-Key-File-[23]: [a-z0-9-]{3,40}")
        .finds("PuTTY-User-Key-File-3: ssh-ed25519")
        .misses("PuTTY-User-Key-File-1: ssh-rsa"),
    entry("OPENSSH_KEY_BASE64", 0.99, r"\bb3BlbnNzaC1rZXktdjEA[A-Za-z0-9+/]{60,}={0,2}")
        .finds("b3BlbnNzaC1rZXktdjEA{200:alnum}")
        .misses("b3BlbnNzaC1rZXktdjEA{59:alnum}"),
    entry("JWT", 0.95, r"\beyJ[A-Za-z0-9_-]{8,1000}\.eyJ[A-Za-z0-9_-]{2,6000}\.[A-Za-z0-9_-]{0,1400}")
        .finds("eyJ{20:word}.eyJ{40:word}.{43:word}")
        .misses("eyJ{20:word}.abc{40:word}.{43:word}"),
    entry("JWE", 0.9, r"\beyJ[A-Za-z0-9_-]{8,1000}\.[A-Za-z0-9_-]{0,700}\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]{1,2000}\.[A-Za-z0-9_-]{22}\b")
        .finds("eyJ{20:word}.{342:word}.{16:word}.{60:word}.{22:alnum}")
        .misses("eyJ{20:word}.{342:word}.{15:word}.{60:word}.{22:alnum}"),
    entry("DB_CONNECTION_STRING", 0.95, r#"\b(?:postgres(?:ql)?|mysql|mariadb|mongodb(?:\+srv)?|rediss?|amqps?|mssql|sqlserver|clickhouse)://[^\s:@/"]{0,64}:[^\s@/"]{1,128}@[A-Za-z0-9.\[\]:_-]{1,255}"#)
        .finds("postgresql://app:{12:alnum}@db.internal:5432")
        .misses("postgresql://db.internal:5432/app")
        .near(Near::PrefixThen(b'@')),
    entry("URL_BASIC_AUTH", 0.9, r#"\bhttps?://[^\s:@/"]{1,64}:[^\s@/"]{1,128}@"#)
        .finds("https://bob:{12:alnum}@")
        .misses("https://bob@example.org")
        .near(Near::PrefixThen(b'@')),
    entry("SERVICE_URL_WITH_PASSWORD", 0.9, r#"\b(?:s?ftps?|smtps?|imaps?|ldaps?|nats|kafka|mqtts?|jdbc:[a-z0-9]{2,16}|snowflake|oracle|couchbase|neo4j|bolt|elastic)://[^\s:@/"]{1,64}:[^\s@/"]{1,128}@[A-Za-z0-9.\[\]:_-]{1,255}"#)
        .finds("sftp://deploy:{12:alnum}@files.internal")
        .misses("sftp://deploy@files.internal")
        .near(Near::PrefixThen(b'@')),
    entry("ADO_CONNECTION_STRING", 0.9, r#"(?i)\b(?:server|data source|host|endpoint)=[^;"\n]{1,100};(?:[a-z ]{1,30}=[^;"\n]{0,100};){0,6}(?:password|pwd)=[^;"\n]{4,128}"#)
        .finds("Server=db.internal;Database=app;User Id=app;Password={16:alnum}")
        .misses("Server=db.internal;Database=app;User Id=app;Encrypt=true")
        .checked("a password that is none of the usual stand-ins", validate::connection_password)
        .near(Near::Words(&["server=", "data source=", "host=", "endpoint="])),
    entry("HTTP_BASIC_AUTH_HEADER", 0.9, r"(?i)\bbasic {1,2}[A-Za-z0-9+/]{8,256}={0,2}")
        .finds("Basic Ym9iOnBhc3N3b3Jk")
        .misses("Basic Ym9iOn")
        .checked("a name and a password in base64", validate::basic_credentials)
        .context(&["authorization"]),
    entry("HTTP_BEARER_TOKEN", 0.8, r"(?i)\bbearer {1,2}[A-Za-z0-9._~+/-]{20,2048}={0,2}")
        .finds("Bearer {40:alnum}")
        .misses("Bearer {19:alnum}")
        .checked("letters, a digit, randomness", validate::token)
        .context(&["authorization"]),
    entry("GENERIC_API_KEY", 0.5, r#"(?:(?:\b|_)(?i:api|access|auth|client|secret|private)|Api|Access|Auth|Client|Secret|Private)(?i)[_ .-]?(?:key|token|secret)['" ]{0,3}(?:=>|:=|=|:) ?['"]?[A-Za-z0-9_.+/=-]{16,150}"#)
        .finds("api_key = {32:alnum}")
        .misses("api_key = {15:alnum}")
        .checked("letters, a digit, randomness, no stand-in", validate::assigned_key)
        .near(Near::NameParts(KEY_WORDS)),
    entry("API_KEY_LITERAL", 0.8, r#"(?:(?:\b|_)(?i:api|access|auth|client|secret|private|encryption|signing)|Api|Access|Auth|Client|Secret|Private|Encryption|Signing)(?i)[_.-]?(?:key|token|secret)['"]?[ \t]{0,3}(?:=>|:=|=|:)[ \t]{0,3}["'][A-Za-z0-9_.+/=~-]{20,150}["']"#)
        .finds(r#"api_key = "{32:alnum}""#)
        .misses(r#"api_key = "{18:alnum}""#)
        .checked("letters, a digit, high randomness, no stand-in", validate::literal_key)
        .near(Near::NameParts(KEY_WORDS)),
    entry("PASSWORD_ASSIGNMENT", 0.5, r#"(?i)(?:password|passwd|pwd|passphrase)['" ]{0,3}(?:=>|:=|=|:) ?['"]?[^\s'"]{6,128}"#)
        .finds("password={12:alnum}!")
        .misses("password={4:alnum}!")
        .checked("several kinds of characters, no stand-in", validate::assigned_password)
        .near(Near::Words(PASSWORD_WORDS)),
    entry("PASSWORD_LITERAL", 0.8, r#"(?i)(?:password|passwd|pwd|passphrase)['"]?[ \t]{0,3}(?:=>|:=|=|:)[ \t]{0,3}["'][^\s"']{8,128}["']"#)
        .finds(r#"password = "{12:alnum}!""#)
        .misses(r#"password = "{5:alnum}!""#)
        .checked("several kinds of characters, high randomness, no stand-in", validate::literal_password)
        .near(Near::Words(PASSWORD_WORDS)),
    entry("NETRC_PASSWORD", 0.9, r"\bmachine [A-Za-z0-9.-]{3,100}[ \t\n]{1,4}login [^\s]{1,64}[ \t\n]{1,4}password [^\s]{4,128}")
        .finds("machine git.internal login bob password {16:alnum}")
        .misses("machine git.internal login bob"),
    entry("DOCKER_CONFIG_AUTH", 0.95, r#""auth"[ \t]{0,4}:[ \t]{0,4}"[A-Za-z0-9+/]{16,400}={0,2}""#)
        .finds(r#""auth": "Ym9iOnMzY3IzdC1wYXNz""#)
        .misses(r#""auth": "Ym9iOnMzY3Iz""#)
        .checked("a name and a password in base64", validate::basic_credentials),
    entry("KUBERNETES_CLIENT_KEY", 0.99, r"\bclient-key-data: {0,2}LS0tLS1CRUdJTi[A-Za-z0-9+/]{40,}={0,2}")
        .finds("client-key-data: LS0tLS1CRUdJTi{200:alnum}==")
        .misses("client-key-data: LS0tLS1CRUdJTi{39:alnum}"),
    entry("UNIX_PASSWORD_HASH", 0.9, r"\$(?:[156]|y|gy|7)\$(?:rounds=[0-9]{1,9}\$)?[A-Za-z0-9./]{1,40}\$[A-Za-z0-9./]{22,86}")
        .finds("$6${16:alnum}${86:alnum}")
        .misses("$6${16:alnum}${21:alnum}"),
    entry("BCRYPT_HASH", 0.9, r"\$2[abxy]\$[0-9]{2}\$[A-Za-z0-9./]{53}").finds("$2b$12${53:alnum}").misses("$2b$12${52:alnum}"),
    entry("ARGON2_HASH", 0.9, r"\$argon2(?:id|i|d)\$v=[0-9]{1,3}\$m=[0-9]{1,9},t=[0-9]{1,5},p=[0-9]{1,3}\$[A-Za-z0-9+/]{11,64}\$[A-Za-z0-9+/]{16,128}")
        .finds("$argon2id$v=19$m=65536,t=3,p=4${22:alnum}${43:alnum}")
        .misses("$argon2id$v=19$m=65536,t=3,p=4${22:alnum}${15:alnum}"),
    entry("OTPAUTH_SECRET", 0.99, r"\botpauth://[th]otp/[^\s?]{1,128}\?(?:[a-z]{1,16}=[^&\s]{0,64}&){0,6}secret=[A-Z2-7]{16,128}")
        .finds("otpauth://totp/Acme:bob?issuer=Acme&secret={32:base32}")
        .misses("otpauth://totp/Acme:bob?issuer=Acme&secret={15:base32}"),
    entry("PRESIGNED_URL_SIGNATURE", 0.9, r"\bX-(?:Amz|Goog)-Signature=[0-9a-f]{64,512}\b")
        .finds("X-Amz-Signature={64:hex}")
        .misses("X-Amz-Signature={63:hex}"),
    entry("WIFI_PASSWORD_QR", 0.95, r"\bWIFI:(?:[A-Z]:[^;\s]{0,64};){0,4}P:[^;\s]{8,63};")
        .finds("WIFI:T:WPA;S:office;P:{12:alnum};")
        .misses("WIFI:T:WPA;S:office;P:{7:alnum};"),
    entry("JWK_PRIVATE_KEY", 0.95, r#""d"[ \t]{0,2}:[ \t]{0,2}"[A-Za-z0-9_-]{40,700}""#)
        .finds(r#""d": "{43:word}""#)
        .misses(r#""d": "{39:word}""#)
        .context(&["kty"]),
];

const KEY_WORDS: &[&str] = &["api", "access", "auth", "client", "secret", "private", "encryption", "signing"];

const PASSWORD_WORDS: &[&str] = &["password", "passwd", "pwd", "passphrase"];
