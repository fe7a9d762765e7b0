//! Keys of what sends messages and moves money.

use crate::catalogue::entry::{Entry, Near, Table, entry};
use crate::validate;

pub(super) const TABLES: &[Table] = &[
    Table { category: "secret.messaging", entries: MESSAGES },
    Table { category: "secret.payment", entries: PAYMENTS },
];

const MESSAGES: &[Entry] = &[
    entry("SLACK_TOKEN", 0.95, r"\bx(?:ox[abeoprs]|app)-[0-9A-Za-z-]{10,160}")
        .finds("xoxb-{12:digit}-{12:digit}-{24:alnum}")
        .misses("xoxb-{9:digit}"),
    entry("SLACK_CONFIG_TOKEN", 0.99, r"\bxoxe\.xox[bp]-[0-9]-[A-Za-z0-9]{120,200}").finds("xoxe.xoxp-1-{163:alnum}").misses("xoxe.xoxp-1-{119:alnum}"),
    entry("SLACK_WEBHOOK_URL", 0.99, r"https://hooks\.slack\.com/services/T[A-Z0-9]{8,12}/B[A-Z0-9]{8,12}/[A-Za-z0-9]{20,26}")
        .finds("https://hooks.slack.com/services/T{9:upper}/B{9:upper}/{24:alnum}")
        .misses("https://hooks.slack.com/services/T{9:upper}/B{9:upper}/{19:alnum}"),
    entry("SLACK_WORKFLOW_URL", 0.99, r"https://hooks\.slack\.com/(?:workflows|triggers)/T?[A-Z0-9]{8,12}/[A-Z0-9]{8,20}/(?:[0-9]{10,20}/)?[A-Za-z0-9]{20,40}")
        .finds("https://hooks.slack.com/workflows/T{9:upper}/A{9:upper}/{18:digit}/{24:alnum}")
        .misses("https://hooks.slack.com/workflows/T{9:upper}/A{9:upper}/{18:digit}/{19:alnum}"),
    entry("DISCORD_BOT_TOKEN", 0.9, r"\b[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}")
        .finds("MTIzNDU2Nzg5MDEyMzQ1Njc4.{6:word}.{38:word}")
        .misses("MTIzNDU2Nzg5MDEyMzQ1Njc4.{6:word}.{26:word}")
        .checked("a bot's number in base64", validate::discord_bot)
        .near(Near::Positions),
    entry("DISCORD_WEBHOOK_URL", 0.99, r"https://(?:canary\.|ptb\.)?discord(?:app)?\.com/api/webhooks/[0-9]{17,20}/[A-Za-z0-9_-]{60,70}")
        .finds("https://discord.com/api/webhooks/{18:digit}/{68:word}")
        .misses("https://discord.com/api/webhooks/{18:digit}/{59:word}"),
    entry("TEAMS_WEBHOOK_URL", 0.99, r"https://[a-z0-9-]{1,40}\.webhook\.office\.com/webhookb2/[0-9a-f-]{36}@[0-9a-f-]{36}/IncomingWebhook/[0-9a-f]{32}/[0-9a-f-]{36}")
        .finds("https://acme.webhook.office.com/webhookb2/{36:hex}@{36:hex}/IncomingWebhook/{32:hex}/{36:hex}")
        .misses("https://acme.webhook.office.com/webhookb2/{36:hex}@{36:hex}/IncomingWebhook/{31:hex}/{36:hex}")
        .near(Near::PrefixThen(b'@')),
    entry("GOOGLE_CHAT_WEBHOOK_URL", 0.99, r"https://chat\.googleapis\.com/v1/spaces/[A-Za-z0-9_-]{8,20}/messages\?key=[A-Za-z0-9_-]{30,45}&token=[A-Za-z0-9_%-]{30,80}")
        .finds("https://chat.googleapis.com/v1/spaces/{11:word}/messages?key={39:word}&token={43:word}")
        .misses("https://chat.googleapis.com/v1/spaces/{11:word}/messages?key={39:word}&token={29:word}"),
    entry("ZAPIER_WEBHOOK_URL", 0.95, r"https://hooks\.zapier\.com/hooks/catch/[0-9]{5,10}/[a-z0-9]{6,10}\b")
        .finds("https://hooks.zapier.com/hooks/catch/{7:digit}/{7:lower}")
        .misses("https://hooks.zapier.com/hooks/catch/{7:digit}/{5:lower}"),
    entry("TELEGRAM_BOT_TOKEN", 0.95, r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}")
        .finds("{10:digit}:AA{33:word}")
        .misses("{10:digit}:AA{32:word}")
        .near(Near::Positions),
    entry("MATTERMOST_TOKEN", 0.8, r"\b[a-z0-9]{26}\b")
        .finds("{26:lower}")
        .misses("{25:lower}")
        .checked("letters, a digit, randomness", validate::random_lower)
        .context(&["mattermost"]),
    entry("TWILIO_API_KEY", 0.8, r"\bSK[0-9a-fA-F]{32}\b")
        .finds("SK{32:hex}")
        .misses("SK{31:hex}")
        .checked("letters, a digit, randomness", validate::random_hex)
        .context(&["twilio"]),
    entry("SENDGRID_API_KEY", 0.99, r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}").finds("SG.{22:word}.{43:word}").misses("SG.{22:word}.{42:word}"),
    entry("MAILGUN_API_KEY", 0.8, r"\bkey-[0-9a-f]{32}\b").finds("key-{32:hex}").misses("key-{31:hex}").context(&["mailgun"]),
    entry("MAILGUN_PRIVATE_KEY", 0.85, r"\b[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}\b")
        .finds("{32:hex}-{8:hex}-{8:hex}")
        .misses("{32:hex}-{8:hex}-{7:hex}")
        .context(&["mailgun", "mg_api", "mg-api"]),
    entry("MAILCHIMP_API_KEY", 0.95, r"\b[0-9a-f]{32}-us[0-9]{1,2}\b")
        .finds("{32:hex}-us12")
        .misses("{31:hex}-us12")
        .context(&["mailchimp", "mandrill", "api key", "api_key", "apikey"]),
    entry("MAILERSEND_API_TOKEN", 0.99, r"\bmlsn\.[0-9a-f]{64}\b").finds("mlsn.{64:hex}").misses("mlsn.{63:hex}"),
    entry("RESEND_API_KEY", 0.95, r"\bre_[A-Za-z0-9]{8}_[A-Za-z0-9]{24}\b").finds("re_{8:alnum}_{24:alnum}").misses("re_{8:alnum}_{23:alnum}"),
    entry("BREVO_API_KEY", 0.99, r"\bxkeysib-[0-9a-f]{64}-[A-Za-z0-9]{16}\b").finds("xkeysib-{64:hex}-{16:alnum}").misses("xkeysib-{64:hex}-{15:alnum}"),
    entry("BREVO_SMTP_KEY", 0.99, r"\bxsmtpsib-[0-9a-f]{64}-[A-Za-z0-9]{16}\b").finds("xsmtpsib-{64:hex}-{16:alnum}").misses("xsmtpsib-{64:hex}-{15:alnum}"),
    entry("KLAVIYO_PRIVATE_KEY", 0.85, r"\bpk_[0-9a-f]{34}\b").finds("pk_{34:hex}").misses("pk_{33:hex}"),
    entry("ONESIGNAL_API_KEY", 0.95, r"\bos_v2_(?:app|org)_[a-z0-9]{80,120}\b").finds("os_v2_app_{103:lower}").misses("os_v2_app_{79:lower}"),
    entry("PUBNUB_SECRET_KEY", 0.99, r"\bsec-c-[A-Za-z0-9+/]{48}").finds("sec-c-{48:alnum}").misses("sec-c-{47:alnum}"),
    entry("POSTMARK_SERVER_TOKEN", 0.8, r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
        .finds("{8:hex}-{4:hex}-{4:hex}-{4:hex}-{12:hex}")
        .misses("{8:hex}-{4:hex}-{4:hex}-{4:hex}-{11:hex}")
        .context(&["postmark", "braze"]),
    // The name of one of these providers must stand before the key.
    entry("MESSAGING_HEX_KEY", 0.8, r"\b(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})\b")
        .finds("{32:hex}")
        .misses("{33:hex}")
        .checked("letters, a digit, randomness", validate::random_hex)
        .context(&["twilio", "sparkpost", "messagebird", "nexmo", "vonage", "plivo", "sinch", "mandrill"]),
];

const PAYMENTS: &[Entry] = &[
    entry("STRIPE_SECRET_KEY", 0.99, r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{10,120}\b")
        .finds("sk_live_{24:alnum}")
        .misses("pk_live_{24:alnum}"),
    entry("STRIPE_ORGANIZATION_KEY", 0.99, r"\bsk_org_(?:live|test)_[A-Za-z0-9]{10,120}\b")
        .finds("sk_org_live_{40:alnum}")
        .misses("sk_org_live_{9:alnum}"),
    entry("STRIPE_WEBHOOK_SECRET", 0.9, r"\bwhsec_[A-Za-z0-9+/]{32,64}")
        .finds("whsec_{32:alnum}")
        .misses("whsec_{31:alnum}"),
    entry("SQUARE_ACCESS_TOKEN", 0.95, r"\bEAAA[A-Za-z0-9_-]{60}")
        .finds("EAAA{60:word}")
        .misses("EAAA{59:word}"),
    entry("SQUARE_OAUTH_SECRET", 0.99, r"\bsq0csp-[A-Za-z0-9_-]{43}")
        .finds("sq0csp-{43:word}")
        .misses("sq0csp-{42:word}"),
    entry("SQUARE_LEGACY_TOKEN", 0.99, r"\bsq0atp-[A-Za-z0-9_-]{22}")
        .finds("sq0atp-{22:word}")
        .misses("sq0atp-{21:word}"),
    entry(
        "PAYPAL_BRAINTREE_TOKEN",
        0.99,
        r"\baccess_token\$(?:production|sandbox)\$[a-z0-9]{16}\$[0-9a-f]{32}\b",
    )
    .finds("access_token$production${16:lower}${32:hex}")
    .misses("access_token$production${16:lower}${31:hex}"),
    entry("ADYEN_API_KEY", 0.95, r"\bAQE[a-z]hmfx[A-Za-z0-9+/=-]{60,200}")
        .finds("AQEyhmfx{90:alnum}")
        .misses("AQEyhmfx{59:alnum}"),
    entry("RAZORPAY_KEY_ID", 0.9, r"\brzp_(?:live|test)_[A-Za-z0-9]{14}\b")
        .finds("rzp_live_{14:alnum}")
        .misses("rzp_live_{13:alnum}"),
    entry(
        "PLAID_ACCESS_TOKEN",
        0.99,
        r"\baccess-(?:production|sandbox|development)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b",
    )
    .finds("access-production-{8:hex}-{4:hex}-{4:hex}-{4:hex}-{12:hex}")
    .misses("access-production-{8:hex}-{4:hex}-{4:hex}-{4:hex}-{11:hex}"),
    entry(
        "PADDLE_API_KEY",
        0.99,
        r"\bpdl_(?:live|sdbx)_apikey_[a-z0-9]{26}_[A-Za-z0-9]{22}_[A-Za-z0-9]{3}\b",
    )
    .finds("pdl_live_apikey_{26:lower}_{22:alnum}_{3:alnum}")
    .misses("pdl_live_apikey_{26:lower}_{22:alnum}_{2:alnum}"),
    entry("MOLLIE_API_KEY", 0.85, r"\b(?:live|test)_[A-Za-z0-9]{30}\b")
        .finds("live_{30:alnum}")
        .misses("live_{29:alnum}")
        .checked("letters, a digit, randomness", validate::random_key),
    entry("GOCARDLESS_TOKEN", 0.85, r"\blive_[A-Za-z0-9_=-]{40}\b")
        .finds("live_{40:alnum}")
        .misses("live_{39:alnum}")
        .checked("letters, a digit, randomness", validate::random_key),
    entry("LOB_API_KEY", 0.9, r"\b(?:live|test)_[0-9a-f]{35}\b")
        .finds("live_{35:hex}")
        .misses("live_{34:hex}"),
    entry("FLUTTERWAVE_SECRET_KEY", 0.99, r"\bFLWSECK(?:_TEST)?-[A-Za-z0-9]{12,40}(?:-X)?\b")
        .finds("FLWSECK-{32:hex}-X")
        .misses("FLWSECK-{11:hex}"),
    entry("XENDIT_SECRET_KEY", 0.95, r"\bxnd_(?:production|development)_[A-Za-z0-9]{40,80}\b")
        .finds("xnd_production_{60:alnum}")
        .misses("xnd_production_{39:alnum}"),
    entry("SUMUP_SECRET_KEY", 0.95, r"\bsup_sk_[A-Za-z0-9]{32,44}\b")
        .finds("sup_sk_{32:alnum}")
        .misses("sup_sk_{31:alnum}"),
    entry("POLAR_ACCESS_TOKEN", 0.95, r"\bpolar_(?:oat|pat|whs)_[A-Za-z0-9]{40,48}\b")
        .finds("polar_oat_{43:alnum}")
        .misses("polar_oat_{39:alnum}"),
    entry("SHIPPO_API_TOKEN", 0.95, r"\bshippo_(?:live|test)_[0-9a-f]{40}\b")
        .finds("shippo_live_{40:hex}")
        .misses("shippo_live_{39:hex}"),
    entry("EASYPOST_API_KEY", 0.95, r"\bEZ[AT]K[A-Za-z0-9]{54}\b")
        .finds("EZAK{54:alnum}")
        .misses("EZAK{53:alnum}"),
    entry("DUFFEL_API_TOKEN", 0.99, r"\bduffel_(?:live|test)_[A-Za-z0-9_=-]{43}")
        .finds("duffel_live_{43:word}")
        .misses("duffel_live_{42:word}"),
    entry("SHOPIFY_TOKEN", 0.99, r"\bshp(?:at|ca|pa|ss|ua|tka)_[0-9a-fA-F]{32}\b")
        .finds("shpat_{32:hex}")
        .misses("shpxx_{32:hex}"),
    entry("FLEETBASE_API_KEY", 0.95, r"\bflb_(?:live|test)_[A-Za-z0-9]{20}\b")
        .finds("flb_live_{20:alnum}")
        .misses("flb_live_{19:alnum}"),
    entry("FREEMIUS_SECRET_KEY", 0.8, r"\bsk_[A-Za-z0-9]{8}[&*#^%@!=+$?,.~A-Za-z0-9]{20}\b")
        .finds("sk_{28:alnum}")
        .misses("sk_{26:alnum}")
        .context(&["freemius", "secret_key"]),
    entry("EXCHANGE_API_KEY", 0.8, r"\b(?:[A-Za-z0-9]{64}|[A-Za-z0-9/+]{56,88}={0,2})")
        .finds("{64:alnum}")
        .misses("{55:alnum}")
        .checked("letters, a digit, randomness", validate::random_key)
        .context(&["binance", "kraken", "kucoin", "bitfinex", "coinbase"]),
];
