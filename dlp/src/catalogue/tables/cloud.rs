//! Keys of cloud platforms.

use crate::catalogue::entry::{Entry, Table, entry};
use crate::validate;

pub(super) const TABLES: &[Table] = &[Table { category: "secret.cloud", entries: KEYS }];

const KEYS: &[Entry] = &[
    entry("AWS_ACCESS_KEY_ID", 0.95, r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b")
        .finds("AKIA{16:base32}")
        .misses("AKIA{15:base32}"),
    entry("AWS_SECRET_ACCESS_KEY", 0.8, r"(?:\b[A-Za-z0-9]|\B[/+])[A-Za-z0-9/+]{38}(?:[A-Za-z0-9]\b|[/+]\B)")
        .finds("{40:alnum}")
        .misses("{40:hex}")
        .checked("randomness, more than hex", validate::aws_secret)
        .context(&["aws_secret", "secret_access_key", "secretaccesskey", "secret key", "secret access key"]),
    entry("AWS_MWS_TOKEN", 0.99, r"\bamzn\.mws\.[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
        .finds("amzn.mws.{8:hex}-{4:hex}-{4:hex}-{4:hex}-{12:hex}")
        .misses("amzn.mws.{8:hex}-{4:hex}-{4:hex}-{4:hex}-{11:hex}"),
    entry(
        "AWS_SESSION_TOKEN",
        0.9,
        r"\b(?:IQoJb3JpZ2lu|FwoGZXIvYXdz|FQoGZXIvYXdz)[A-Za-z0-9+/]{100,1800}={0,2}",
    )
    .finds("IQoJb3JpZ2lu{300:alnum}")
    .misses("IQoJb3JpZ2lu{99:alnum}"),
    entry("AMAZON_OAUTH_CLIENT_SECRET", 0.95, r"\bamzn1\.oa2-cs\.v1\.[0-9a-f]{64}\b")
        .finds("amzn1.oa2-cs.v1.{64:hex}")
        .misses("amzn1.oa2-cs.v1.{63:hex}"),
    entry("GOOGLE_API_KEY", 0.95, r"\bAIza[A-Za-z0-9_-]{35}").finds("AIza{35:word}").misses("AIza{34:word}"),
    entry("GCP_OAUTH_TOKEN", 0.95, r"\bya29\.[A-Za-z0-9_-]{20,300}")
        .finds("ya29.{60:word}")
        .misses("ya29.{19:word}"),
    entry("GCP_REFRESH_TOKEN", 0.9, r"\b1//0[A-Za-z0-9_-]{40,120}")
        .finds("1//0{60:word}")
        .misses("1//0{39:word}"),
    entry("GCP_OAUTH_CLIENT_SECRET", 0.99, r"\bGOCSPX-[A-Za-z0-9_-]{28}")
        .finds("GOCSPX-{28:word}")
        .misses("GOCSPX-{27:word}"),
    entry("GCP_SERVICE_ACCOUNT_JSON", 0.95, r#""private_key_id"\s{0,4}:\s{0,4}"[0-9a-f]{40}""#)
        .finds(r#""private_key_id": "{40:hex}""#)
        .misses(r#""private_key_id": "{39:hex}""#),
    entry("GCP_STORAGE_HMAC_ID", 0.9, r"\bGOOG1E[A-Z0-9]{55}\b")
        .finds("GOOG1E{55:upper}")
        .misses("GOOG1E{54:upper}"),
    entry("FIREBASE_CLOUD_MESSAGING_KEY", 0.95, r"\bAAAA[A-Za-z0-9_-]{7}:APA91b[A-Za-z0-9_-]{134}")
        .finds("AAAA{7:alnum}:APA91b{134:word}")
        .misses("AAAA{7:alnum}:APA91b{133:word}"),
    entry("AZURE_STORAGE_KEY", 0.99, r"\bAccountKey=[A-Za-z0-9+/]{86}==")
        .finds("AccountKey={86:alnum}==")
        .misses("AccountKey={85:alnum}=="),
    entry("AZURE_SHARED_ACCESS_KEY", 0.99, r"\bSharedAccessKey=[A-Za-z0-9+/]{43}=")
        .finds("SharedAccessKey={43:alnum}=")
        .misses("SharedAccessKey={42:alnum}="),
    entry(
        "AZURE_APP_CONFIG_CONNECTION",
        0.99,
        r"\bazconfig\.io;Id=[A-Za-z0-9+/:-]{4,40};Secret=[A-Za-z0-9+/]{36,120}={0,2}",
    )
    .finds("azconfig.io;Id=ab-l0-s0:{20:alnum};Secret={43:alnum}=")
    .misses("azconfig.io;Id=ab-l0-s0:{20:alnum};Secret={35:alnum}"),
    entry("AZURE_AD_CLIENT_SECRET", 0.9, r"\b[A-Za-z0-9_][A-Za-z0-9_~.-]{1,2}[78]Q~[A-Za-z0-9_~.-]{31,34}")
        .finds("{3:alnum}8Q~{34:word}")
        .misses("{3:alnum}8Q~{30:word}")
        .context(&["azure", "client_secret", "client secret", "clientsecret", "aad_"]),
    entry("AZURE_SAS_TOKEN", 0.9, r"\bsig=[A-Za-z0-9%/+]{43,60}(?:%3D|=)")
        .finds("sig={43:alnum}%3D")
        .misses("sig={42:alnum}%3D")
        .context(&["sv=", "se=2", "blob.core"]),
    entry("AZURE_DEVOPS_PAT", 0.95, r"\b[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}\b")
        .finds("{76:alnum}AZDO{4:alnum}")
        .misses("{76:alnum}AZDO{3:alnum}")
        .context(&["azure", "azdo", "devops", "pat:", "personal access token"]),
    entry("AZURE_FUNCTION_KEY", 0.95, r"\b[A-Za-z0-9_-]{44}AzFu[A-Za-z0-9_-]{5}[AQgw]==")
        .finds("{44:alnum}AzFu{5:alnum}A==")
        .misses("{43:alnum}AzFu{5:alnum}A==")
        .context(&["azure", "function", "x-functions-key", "code="]),
    entry("AZURE_SEARCH_KEY", 0.95, r"\b[A-Za-z0-9]{42}AzSe[A-D][A-Za-z0-9]{5}\b")
        .finds("{42:alnum}AzSeA{5:alnum}")
        .misses("{41:alnum}AzSeA{5:alnum}")
        .context(&["azure", "search", "api-key"]),
    entry("CLOUDFLARE_API_TOKEN", 0.6, r"\b[A-Za-z0-9_-]{40}\b")
        .finds("{40:alnum}")
        .misses("{39:alnum}")
        .checked("letters, a digit, randomness", validate::random_key)
        .context(&["cloudflare", "cf_api_token"]),
    entry("CLOUDFLARE_ORIGIN_CA_KEY", 0.99, r"\bv1\.0-[0-9a-f]{24}-[0-9a-f]{146}\b")
        .finds("v1.0-{24:hex}-{146:hex}")
        .misses("v1.0-{24:hex}-{145:hex}"),
    entry("DIGITALOCEAN_TOKEN", 0.99, r"\bdo[opr]_v1_[0-9a-f]{64}\b")
        .finds("dop_v1_{64:hex}")
        .misses("doq_v1_{64:hex}"),
    entry("DATABRICKS_TOKEN", 0.95, r"\bdapi[0-9a-f]{32}(?:-[0-9])?\b")
        .finds("dapi{32:hex}-2")
        .misses("dapi{31:hex}"),
    entry("DATABRICKS_SERVICE_SECRET", 0.95, r"\bdose[0-9a-f]{32}\b")
        .finds("dose{32:hex}")
        .misses("dose{31:hex}"),
    entry("HEROKU_API_KEY", 0.99, r"\bHRKU-[A-Za-z0-9_-]{36,60}")
        .finds("HRKU-AA{58:word}")
        .misses("HRKU-{35:word}"),
    entry("ALIBABA_ACCESS_KEY_ID", 0.95, r"\bLTAI[A-Za-z0-9]{12,20}\b")
        .finds("LTAI{20:alnum}")
        .misses("LTAI{11:alnum}"),
    entry("TENCENT_SECRET_ID", 0.95, r"\bAKID[A-Za-z0-9]{32}\b")
        .finds("AKID{32:alnum}")
        .misses("AKID{31:alnum}"),
    entry("SCALEWAY_ACCESS_KEY", 0.85, r"\bSCW[A-Z0-9]{17}\b").finds("SCW{17:upper}").misses("SCW{16:upper}"),
    entry("YANDEX_API_KEY", 0.95, r"\bAQVN[A-Za-z0-9_-]{35,38}\b")
        .finds("AQVN{36:alnum}")
        .misses("AQVN{34:alnum}"),
    entry("YANDEX_IAM_TOKEN", 0.95, r"\bt1\.[A-Z0-9a-z_-]{4,400}={0,2}\.[A-Za-z0-9_-]{86}={0,2}")
        .finds("t1.{120:word}.{86:word}")
        .misses("t1.{120:word}.{85:word}"),
    entry("FLY_ACCESS_TOKEN", 0.99, r"\b(?:fo1_[A-Za-z0-9_-]{43}|fm[12][ar]?_[A-Za-z0-9+/]{60,1400}={0,3})")
        .finds("fo1_{43:word}")
        .misses("fo1_{42:word}"),
    entry("RENDER_API_KEY", 0.9, r"\brnd_[A-Za-z0-9]{28,36}\b")
        .finds("rnd_{32:alnum}")
        .misses("rnd_{27:alnum}"),
    entry("NETLIFY_TOKEN", 0.95, r"\bnf[pou]_[A-Za-z0-9]{36,40}\b")
        .finds("nfp_{36:alnum}")
        .misses("nfp_{35:alnum}"),
    entry("VERCEL_TOKEN", 0.95, r"\bvc[pirab]_[A-Za-z0-9]{50,64}\b")
        .finds("vcp_{56:alnum}")
        .misses("vcp_{49:alnum}"),
    entry("VERCEL_BLOB_TOKEN", 0.99, r"\bvercel_blob_rw_[A-Za-z0-9]{16}_[A-Za-z0-9]{30}\b")
        .finds("vercel_blob_rw_{16:alnum}_{30:alnum}")
        .misses("vercel_blob_rw_{16:alnum}_{29:alnum}"),
    entry("SUPABASE_ACCESS_TOKEN", 0.95, r"\bsbp_(?:v0_|oauth_)?[0-9a-f]{40}\b")
        .finds("sbp_{40:hex}")
        .misses("sbp_{39:hex}"),
    entry("SUPABASE_SECRET_KEY", 0.99, r"\bsb_secret_[A-Za-z0-9_-]{22,31}_[A-Za-z0-9_-]{8}\b")
        .finds("sb_secret_{22:alnum}_{8:alnum}")
        .misses("sb_secret_{22:alnum}_{7:alnum}"),
    entry("PLANETSCALE_TOKEN", 0.99, r"\bpscale_(?:tkn|oauth|pw|api)_[A-Za-z0-9_.=-]{32,64}")
        .finds("pscale_tkn_{43:word}")
        .misses("pscale_tkn_{31:word}"),
    entry("NEON_API_KEY", 0.95, r"\bnapi_[a-z0-9]{64}\b").finds("napi_{64:lower}").misses("napi_{63:lower}"),
    entry("XATA_API_KEY", 0.95, r"\bxau_[A-Za-z0-9]{40,64}\b")
        .finds("xau_{40:alnum}")
        .misses("xau_{39:alnum}"),
    entry(
        "PRISMA_ACCELERATE_URL",
        0.99,
        r"\bprisma(?:\+postgres)?://[a-z0-9.-]{4,80}/\?api_key=[A-Za-z0-9_.-]{20,800}",
    )
    .finds("prisma://accelerate.example.net/?api_key={80:word}")
    .misses("prisma://accelerate.example.net/?api_key={19:word}"),
    entry("MONGODB_ATLAS_SERVICE_ACCOUNT", 0.99, r"\bmdb_sa_sk_[A-Za-z0-9_-]{40}")
        .finds("mdb_sa_sk_{40:word}")
        .misses("mdb_sa_sk_{39:word}"),
    entry(
        "CONVEX_DEPLOY_KEY",
        0.95,
        r"\b(?:prod|preview|dev):[a-z]{3,16}-[a-z]{3,16}-[0-9]{1,4}\|[A-Za-z0-9=+/]{40,160}",
    )
    .finds("prod:happy-animal-123|{60:alnum}")
    .misses("prod:happy-animal-123|{39:alnum}"),
    entry("CLOUDINARY_URL", 0.99, r"\bcloudinary://[0-9]{12,18}:[A-Za-z0-9_-]{20,40}@[a-z0-9_-]{2,64}")
        .finds("cloudinary://{15:digit}:{27:word}@demo")
        .misses("cloudinary://{15:digit}:{19:word}@demo"),
    // Shapes that several platforms share; the name of one of them must stand before the key.
    entry(
        "CLOUD_PROVIDER_KEY",
        0.8,
        r"\b(?:[0-9a-f]{64}|[A-Za-z0-9]{64}|[A-Za-z0-9_-]{44}|[A-Z0-9]{36}|[A-Za-z0-9]{24})\b",
    )
    .finds("{64:hex}")
    .misses("{65:hex}")
    .checked("letters, a digit, randomness", validate::random_hex)
    .context(&[
        "linode",
        "hetzner",
        "vultr",
        "ibmcloud",
        "ibm_cloud",
        "ovh_",
        "exoscale",
        "upcloud",
        "vercel",
    ]),
    entry("CLOUD_PROVIDER_UUID_KEY", 0.8, r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
        .finds("{8:hex}-{4:hex}-{4:hex}-{4:hex}-{12:hex}")
        .misses("{8:hex}-{4:hex}-{4:hex}-{4:hex}-{11:hex}")
        .context(&["heroku", "railway", "scaleway", "scw_secret", "koyeb", "northflank"]),
];
