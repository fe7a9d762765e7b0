//! The table of built-in detectors.
//!
//! - Patterns are over bytes, with ASCII classes and ASCII word boundaries. Every match has a bounded length,
//!   except blocks that are masked as they pass.
//! - A bound such as `{20,200}` is the longest form in use, with room; a longer run is masked up to the bound.
//! - Documented sample values match like real ones: people try a filter with exactly these.

use crate::gate::Shape;
use crate::validate::{self, Validator};

/// One built-in detector as written.
pub(super) struct BuiltIn {
    pub(super) id: &'static str,
    pub(super) category: &'static str,
    /// The text inside the placeholder where it is not the id.
    pub(super) label: &'static str,
    pub(super) aliases: &'static [&'static str],
    pub(super) confidence: f32,
    pub(super) pattern: &'static str,
    pub(super) validator: Option<Validator>,
    pub(super) near: Near,
}

impl BuiltIn {
    pub(super) const DEFAULT: Self = Self {
        id: "",
        category: "",
        label: "",
        aliases: &[],
        confidence: 1.0,
        pattern: "",
        validator: None,
        near: Near::Prefix,
    };
}

/// How a scan finds the places where a detector may match without running it everywhere.
pub(super) enum Near {
    /// The pattern starts with one of a few fixed texts.
    Prefix,
    /// The same, and this byte follows somewhere in the match.
    PrefixThen(u8),
    /// The pattern has no fixed text but a shape that a cheap test knows.
    Shape(Shape),
}

/// `EMAIL_ADDRESS` without its local part, whose last byte must be a letter, a digit or an underscore: a
/// decorator such as `@app.route` is no address.
pub(super) const EMAIL_DOMAIN: BuiltIn = BuiltIn {
    id: "EMAIL_ADDRESS",
    category: "pii",
    confidence: 0.95,
    pattern: r"\b@(?:[A-Za-z0-9][A-Za-z0-9-]{0,62}\.){1,8}[A-Za-z]{2,24}\b",
    ..BuiltIn::DEFAULT
};

pub(super) const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        id: "OPENAI_API_KEY",
        category: "secret.llm",
        confidence: 0.95,
        pattern: r"\bsk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20,200}",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "OPENAI_API_KEY_LEGACY",
        category: "secret.llm",
        confidence: 0.99,
        pattern: r"\bsk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}\b",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "ANTHROPIC_API_KEY",
        category: "secret.llm",
        confidence: 0.99,
        pattern: r"\bsk-ant-(?:api|admin|oat|sid)[0-9]{2}-[A-Za-z0-9_-]{80,120}",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "GOOGLE_API_KEY",
        category: "secret.cloud",
        confidence: 0.95,
        pattern: r"\bAIza[A-Za-z0-9_-]{35}",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "GROQ_API_KEY",
        category: "secret.llm",
        confidence: 0.95,
        pattern: r"\bgsk_[A-Za-z0-9]{52}\b",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "XAI_API_KEY",
        category: "secret.llm",
        confidence: 0.95,
        pattern: r"\bxai-[A-Za-z0-9]{80}\b",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "HUGGINGFACE_TOKEN",
        category: "secret.llm",
        confidence: 0.9,
        pattern: r"\bhf_[A-Za-z]{34}\b",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "REPLICATE_API_TOKEN",
        category: "secret.llm",
        confidence: 0.9,
        pattern: r"\br8_[A-Za-z0-9]{37}\b",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "PERPLEXITY_API_KEY",
        category: "secret.llm",
        confidence: 0.95,
        pattern: r"\bpplx-[A-Za-z0-9]{48}\b",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "OPENROUTER_API_KEY",
        category: "secret.llm",
        confidence: 0.99,
        pattern: r"\bsk-or-v1-[0-9a-f]{64}\b",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "LANGSMITH_API_KEY",
        category: "secret.llm",
        confidence: 0.95,
        pattern: r"\blsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}\b",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "AWS_ACCESS_KEY_ID",
        category: "secret.cloud",
        confidence: 0.95,
        pattern: r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "AWS_BEDROCK_API_KEY",
        category: "secret.llm",
        confidence: 0.95,
        pattern: r"\bABSK[A-Za-z0-9+/]{109,269}={0,2}",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "GCP_OAUTH_TOKEN",
        category: "secret.cloud",
        confidence: 0.95,
        pattern: r"\bya29\.[A-Za-z0-9_-]{20,300}",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "GCP_OAUTH_CLIENT_SECRET",
        category: "secret.cloud",
        confidence: 0.99,
        pattern: r"\bGOCSPX-[A-Za-z0-9_-]{28}",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "GCP_SERVICE_ACCOUNT_JSON",
        category: "secret.cloud",
        confidence: 0.95,
        pattern: r#""private_key_id"\s{0,4}:\s{0,4}"[0-9a-f]{40}""#,
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "AZURE_STORAGE_KEY",
        category: "secret.cloud",
        confidence: 0.99,
        pattern: r"\bAccountKey=[A-Za-z0-9+/]{86}==",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "DIGITALOCEAN_TOKEN",
        category: "secret.cloud",
        confidence: 0.99,
        pattern: r"\bdo[opr]_v1_[0-9a-f]{64}\b",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "DATABRICKS_TOKEN",
        category: "secret.cloud",
        confidence: 0.95,
        pattern: r"\bdapi[0-9a-f]{32}(?:-[0-9])?\b",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "HASHICORP_VAULT_TOKEN",
        category: "secret.cloud",
        confidence: 0.95,
        pattern: r"\bhv[sbr]\.[A-Za-z0-9_-]{24,300}",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "GITHUB_TOKEN",
        category: "secret.scm",
        confidence: 0.99,
        pattern: r"\bgh[pousr]_[A-Za-z0-9]{36}\b",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "GITHUB_FINE_GRAINED_PAT",
        category: "secret.scm",
        confidence: 0.99,
        pattern: r"\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "GITLAB_TOKEN",
        category: "secret.scm",
        confidence: 0.99,
        pattern: r"\bgl(?:pat|dt|rt|cbt|ptt|soat)-[A-Za-z0-9_.-]{20,64}",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "NPM_TOKEN",
        category: "secret.scm",
        confidence: 0.99,
        pattern: r"\bnpm_[A-Za-z0-9]{36}\b",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "PYPI_TOKEN",
        category: "secret.scm",
        confidence: 0.99,
        pattern: r"\bpypi-AgEI[A-Za-z0-9_-]{50,250}",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "RUBYGEMS_TOKEN",
        category: "secret.scm",
        confidence: 0.99,
        pattern: r"\brubygems_[0-9a-f]{48}\b",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "DOCKERHUB_PAT",
        category: "secret.scm",
        confidence: 0.99,
        pattern: r"\bdckr_pat_[A-Za-z0-9_-]{27}",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "SLACK_TOKEN",
        category: "secret.saas",
        confidence: 0.95,
        pattern: r"\bx(?:ox[abeoprs]|app)-[0-9A-Za-z-]{10,160}",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "SLACK_WEBHOOK_URL",
        category: "secret.saas",
        confidence: 0.99,
        pattern: r"https://hooks\.slack\.com/services/T[A-Z0-9]{8,12}/B[A-Z0-9]{8,12}/[A-Za-z0-9]{20,26}",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "STRIPE_SECRET_KEY",
        category: "secret.saas",
        confidence: 0.99,
        pattern: r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{10,99}\b",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "STRIPE_WEBHOOK_SECRET",
        category: "secret.saas",
        confidence: 0.9,
        pattern: r"\bwhsec_[A-Za-z0-9+/]{32,64}",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "SENDGRID_API_KEY",
        category: "secret.saas",
        confidence: 0.99,
        pattern: r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "SHOPIFY_TOKEN",
        category: "secret.saas",
        confidence: 0.99,
        pattern: r"\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}\b",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "ATLASSIAN_API_TOKEN",
        category: "secret.saas",
        confidence: 0.99,
        pattern: r"\bATATT3[A-Za-z0-9_=-]{150,250}",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "NEWRELIC_KEY",
        category: "secret.saas",
        confidence: 0.95,
        pattern: r"\bNRAK-[A-Z0-9]{27}\b",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "JWT",
        category: "secret",
        confidence: 0.95,
        pattern: r"\beyJ[A-Za-z0-9_-]{8,1000}\.eyJ[A-Za-z0-9_-]{2,6000}\.[A-Za-z0-9_-]{0,1400}",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "PRIVATE_KEY_PEM",
        category: "secret",
        confidence: 0.99,
        // The body goes on while bytes can belong to one: base64, headers, line ends, written out or as the
        // two characters backslash and n. Five dashes end it, and the END line belongs to it.
        pattern: r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,4}PRIVATE KEY(?: BLOCK)?-----(?:-{0,4}(?:[A-Za-z0-9+/=,:;.()@ \t\r\n]|\\[nr]))*(?:-----END [A-Z0-9 ]{1,64}-----)?",
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "DB_CONNECTION_STRING",
        category: "secret",
        confidence: 0.95,
        pattern: r#"\b(?:postgres(?:ql)?|mysql|mariadb|mongodb(?:\+srv)?|rediss?|amqps?|mssql|sqlserver|clickhouse)://[^\s:@/"]{0,64}:[^\s@/"]{1,128}@[A-Za-z0-9.\[\]:_-]{1,255}"#,
        near: Near::PrefixThen(b'@'),
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "URL_BASIC_AUTH",
        category: "secret",
        confidence: 0.9,
        pattern: r#"\bhttps?://[^\s:@/"]{1,64}:[^\s@/"]{1,128}@"#,
        near: Near::PrefixThen(b'@'),
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "EMAIL_ADDRESS",
        category: "pii",
        confidence: 0.95,
        // RFC 5321 section 4.5.3.1 bounds the local part and the labels.
        pattern: r"\b[A-Za-z0-9_][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9][A-Za-z0-9-]{0,62}\.){1,8}[A-Za-z]{2,24}\b",
        near: Near::Shape(Shape::Email),
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "PHONE_E164",
        category: "pii",
        label: "PHONE_NUMBER",
        aliases: &["PHONE_NUMBER"],
        confidence: 0.8,
        pattern: r"\B\+[1-9](?:[ ().-]{0,2}[0-9]){6,14}\b",
        near: Near::Shape(Shape::PlusDigits),
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "PHONE_NATIONAL_NANP",
        category: "pii",
        label: "PHONE_NUMBER",
        aliases: &["PHONE_NUMBER"],
        confidence: 0.6,
        pattern: r"(?:\([2-9][0-9]{2}\) ?|\b[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}\b",
        validator: Some(validate::nanp),
        near: Near::Shape(Shape::Digits { min: 10 }),
    },
    BuiltIn {
        id: "US_SSN",
        category: "national_id",
        confidence: 0.85,
        pattern: r"\b[0-9]{3}(?:-[0-9]{2}-| [0-9]{2} |\.[0-9]{2}\.)[0-9]{4}\b",
        validator: Some(validate::us_ssn),
        near: Near::Shape(Shape::Digits { min: 9 }),
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "CREDIT_CARD",
        category: "financial",
        aliases: &["CREDIT_CARD_NUMBER"],
        confidence: 0.9,
        pattern: r"\b[2-6](?:[ ./\t\r\n-]{0,2}[0-9]){11,18}\b",
        validator: Some(validate::credit_card),
        near: Near::Shape(Shape::Digits { min: 12 }),
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "IBAN_CODE",
        category: "financial",
        aliases: &["IBAN"],
        confidence: 0.95,
        pattern: r"\b[A-Z]{2}[0-9]{2}(?:[ .-]?[A-Z0-9]){11,30}\b",
        validator: Some(validate::iban),
        near: Near::Shape(Shape::Iban),
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "IP_ADDRESS_V4",
        category: "network",
        label: "IP_ADDRESS",
        aliases: &["IP_ADDRESS"],
        confidence: 0.6,
        pattern: r"\b(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\b",
        near: Near::Shape(Shape::DottedQuad),
        ..BuiltIn::DEFAULT
    },
    BuiltIn {
        id: "IP_ADDRESS_V6",
        category: "network",
        label: "IP_ADDRESS",
        aliases: &["IP_ADDRESS"],
        confidence: 0.6,
        pattern: r"\b(?:[0-9A-Fa-f]{1,4}:){1,7}(?:[0-9A-Fa-f]{1,4}|:)(?::?[0-9A-Fa-f]{1,4}){0,6}\b",
        validator: Some(validate::ipv6),
        near: Near::Shape(Shape::HexColons),
    },
];
