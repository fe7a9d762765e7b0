//! Made-up values: one that each detector finds and one that it must leave alone.

/// Two texts for one detector; `{n:alphabet}` in them stands for n characters, see [`expand`].
pub(crate) struct Sample {
    pub(crate) id: &'static str,
    pub(crate) matches: &'static str,
    /// Close to a value, but none of this detector's.
    pub(crate) near_miss: &'static str,
}

const fn sample(id: &'static str, matches: &'static str, near_miss: &'static str) -> Sample {
    Sample { id, matches, near_miss }
}

pub(crate) const SAMPLES: &[Sample] = &[
    sample("OPENAI_API_KEY", "sk-proj-{48:word}", "sk-proj-{19:word}"),
    sample("OPENAI_API_KEY_LEGACY", "sk-{20:alnum}T3BlbkFJ{20:alnum}", "sk-{20:alnum}T3BlbkFK{20:alnum}"),
    sample("ANTHROPIC_API_KEY", "sk-ant-api03-{93:word}AA", "sk-ant-api03-{79:word}"),
    sample("GOOGLE_API_KEY", "AIza{35:word}", "AIza{34:word}"),
    sample("GROQ_API_KEY", "gsk_{52:alnum}", "gsk_{53:alnum}"),
    sample("XAI_API_KEY", "xai-{80:alnum}", "xai-{79:alnum}"),
    sample("HUGGINGFACE_TOKEN", "hf_{34:letter}", "hf_{33:letter}"),
    sample("REPLICATE_API_TOKEN", "r8_{37:alnum}", "r8_{36:alnum}"),
    sample("PERPLEXITY_API_KEY", "pplx-{48:alnum}", "pplx-{47:alnum}"),
    sample("OPENROUTER_API_KEY", "sk-or-v1-{64:hex}", "sk-or-v1-{63:hex}g"),
    sample("LANGSMITH_API_KEY", "lsv2_pt_{32:hex}_{10:hex}", "lsv2_xx_{32:hex}_{10:hex}"),
    sample("AWS_ACCESS_KEY_ID", "AKIA{16:base32}", "AKIA{15:base32}"),
    sample("AWS_BEDROCK_API_KEY", "ABSK{120:alnum}=", "ABSK{108:alnum}"),
    sample("GCP_OAUTH_TOKEN", "ya29.{60:word}", "ya29.{19:word}"),
    sample("GCP_OAUTH_CLIENT_SECRET", "GOCSPX-{28:word}", "GOCSPX-{27:word}"),
    sample(
        "GCP_SERVICE_ACCOUNT_JSON",
        "\"private_key_id\": \"{40:hex}\"",
        "\"private_key_id\": \"{39:hex}\"",
    ),
    sample("AZURE_STORAGE_KEY", "AccountKey={86:alnum}==", "AccountKey={85:alnum}=="),
    sample("DIGITALOCEAN_TOKEN", "dop_v1_{64:hex}", "doq_v1_{64:hex}"),
    sample("DATABRICKS_TOKEN", "dapi{32:hex}-2", "dapi{31:hex}"),
    sample("HASHICORP_VAULT_TOKEN", "hvs.{90:word}", "hvs.{23:word}"),
    sample("GITHUB_TOKEN", "ghp_{36:alnum}", "ghp_{35:alnum}"),
    sample("GITHUB_FINE_GRAINED_PAT", "github_pat_{22:alnum}_{59:alnum}", "github_pat_{22:alnum}_{58:alnum}"),
    sample("GITLAB_TOKEN", "glpat-{20:word}", "glpat-{19:word}"),
    sample("NPM_TOKEN", "npm_{36:alnum}", "npm_{37:alnum}"),
    sample("PYPI_TOKEN", "pypi-AgEI{150:word}", "pypi-AgEI{49:word}"),
    sample("RUBYGEMS_TOKEN", "rubygems_{48:hex}", "rubygems_{47:hex}"),
    sample("DOCKERHUB_PAT", "dckr_pat_{27:word}", "dckr_pat_{26:word}"),
    sample("SLACK_TOKEN", "xoxb-{12:digit}-{12:digit}-{24:alnum}", "xoxb-{9:digit}"),
    sample(
        "SLACK_WEBHOOK_URL",
        "https://hooks.slack.com/services/T{9:upper}/B{9:upper}/{24:alnum}",
        "https://hooks.slack.com/services/T{9:upper}/B{9:upper}/{19:alnum}",
    ),
    sample("STRIPE_SECRET_KEY", "sk_live_{24:alnum}", "pk_live_{24:alnum}"),
    sample("STRIPE_WEBHOOK_SECRET", "whsec_{32:alnum}", "whsec_{31:alnum}"),
    sample("SENDGRID_API_KEY", "SG.{22:word}.{43:word}", "SG.{22:word}.{42:word}"),
    sample("SHOPIFY_TOKEN", "shpat_{32:hex}", "shpxx_{32:hex}"),
    sample("ATLASSIAN_API_TOKEN", "ATATT3{180:word}=0A1B2C3D", "ATATT3{149:alnum}"),
    sample("NEWRELIC_KEY", "NRAK-{27:upper}", "NRAK-{26:upper}"),
    sample("JWT", "eyJ{20:word}.eyJ{40:word}.{43:word}", "eyJ{20:word}.abc{40:word}.{43:word}"),
    sample(
        "PRIVATE_KEY_PEM",
        "-----BEGIN RSA PRIVATE KEY-----\n{64:alnum}\n{20:alnum}==\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN RSA PUBLIC KEY-----\n{64:alnum}\n",
    ),
    sample(
        "DB_CONNECTION_STRING",
        "postgresql://app:{12:alnum}@db.internal:5432",
        "postgresql://db.internal:5432/app",
    ),
    sample("URL_BASIC_AUTH", "https://bob:{12:alnum}@", "https://bob@example.org"),
    sample("EMAIL_ADDRESS", "jane.doe+x@mail.example.com", "jane.doe@example"),
    sample("PHONE_E164", "+49 30 1234567", "+49 3012"),
    sample("PHONE_NATIONAL_NANP", "(415) 555-0132", "(415) 911-0132"),
    sample("US_SSN", "078-05-1120", "666-05-1120"),
    sample("CREDIT_CARD", "4111 1111 1111 1111", "4111 1111 1111 1112"),
    sample("IBAN_CODE", "GB82 WEST 1234 5698 7654 32", "GB83 WEST 1234 5698 7654 32"),
    sample("IP_ADDRESS_V4", "192.0.2.1", "192.0.2.256"),
    sample("IP_ADDRESS_V6", "2001:db8::8a2e:370:7334", "2001:db8:8a2e:370:7334"),
];

/// Replaces every `{n:alphabet}` by n characters of that alphabet, the same for every call.
pub(crate) fn expand(template: &str) -> String {
    let mut seed: u32 = 0x2545_F491;
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (filler, after) = after.split_once('}').unwrap();
        let (count, alphabet) = filler.split_once(':').unwrap();
        let alphabet = match alphabet {
            "alnum" => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
            "word" => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_",
            "letter" => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            "upper" => "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
            "base32" => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
            "hex" => "0123456789abcdef",
            "digit" => "0123456789",
            other => panic!("unknown alphabet {other}"),
        };
        out.push_str(before);
        for _ in 0..count.parse::<usize>().unwrap() {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            out.push(char::from(alphabet.as_bytes()[(seed >> 16) as usize % alphabet.len()]));
        }
        rest = after;
    }
    out + rest
}
