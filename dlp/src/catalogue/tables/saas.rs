//! Keys of other services: work, content, customers, identity.

use crate::catalogue::entry::{Entry, Near, Table, entry};
use crate::validate;

pub(super) const TABLES: &[Table] = &[Table { category: "secret.saas", entries: KEYS }];

const KEYS: &[Entry] = &[
    entry("ATLASSIAN_API_TOKEN", 0.99, r"\bATATT3[A-Za-z0-9_=-]{150,250}")
        .finds("ATATT3{180:word}=0A1B2C3D")
        .misses("ATATT3{149:alnum}"),
    entry("TRELLO_TOKEN", 0.99, r"\bATTA[0-9a-f]{64}[A-Z0-9]{8}\b")
        .finds("ATTA{64:hex}0A1B2C3D")
        .misses("ATTA{64:hex}0A1B2C3"),
    entry("LINEAR_API_KEY", 0.99, r"\blin_(?:api|oauth|wh)_[A-Za-z0-9]{32,64}\b")
        .finds("lin_api_{40:alnum}")
        .misses("lin_api_{31:alnum}"),
    entry("NOTION_TOKEN", 0.95, r"\bntn_[A-Za-z0-9]{40,50}\b")
        .finds("ntn_{46:alnum}")
        .misses("ntn_{39:alnum}"),
    entry("NOTION_LEGACY_TOKEN", 0.85, r"\bsecret_[A-Za-z0-9]{43}\b")
        .finds("secret_{43:alnum}")
        .misses("secret_{42:alnum}"),
    entry("FIGMA_TOKEN", 0.99, r"\bfig(?:d|u|or|our|dr)_[A-Za-z0-9_-]{36,60}")
        .finds("figd_{40:word}")
        .misses("figd_{35:word}"),
    entry("AIRTABLE_TOKEN", 0.99, r"\bpat[A-Za-z0-9]{14}\.[0-9a-f]{64}\b")
        .finds("pat{14:alnum}.{64:hex}")
        .misses("pat{14:alnum}.{63:hex}")
        .near(Near::Positions),
    entry("AIRTABLE_LEGACY_KEY", 0.8, r"\bkey[A-Za-z0-9]{14}\b")
        .finds("key{14:alnum}")
        .misses("key{13:alnum}")
        .context(&["airtable"]),
    entry("ASANA_TOKEN", 0.95, r"\b[012]/[0-9]{12,20}(?:/[0-9]{12,20})?:[0-9a-f]{32}\b")
        .finds("2/{16:digit}/{16:digit}:{32:hex}")
        .misses("2/{16:digit}/{16:digit}:{31:hex}")
        .near(Near::Positions),
    entry("CLICKUP_TOKEN", 0.95, r"\bpk_[0-9]{6,10}_[A-Z0-9]{32}\b")
        .finds("pk_{8:digit}_{32:upper}")
        .misses("pk_{8:digit}_{31:upper}"),
    entry("POSTMAN_API_KEY", 0.99, r"\bPMAK-[0-9a-f]{24}-[0-9a-f]{34}\b")
        .finds("PMAK-{24:hex}-{34:hex}")
        .misses("PMAK-{24:hex}-{33:hex}"),
    entry("POSTMAN_COLLECTION_KEY", 0.99, r"\bPMAT-[A-Z0-9]{26}\b")
        .finds("PMAT-{26:upper}")
        .misses("PMAT-{25:upper}"),
    entry("CONTENTFUL_TOKEN", 0.99, r"\bCFPAT-[A-Za-z0-9_-]{43}")
        .finds("CFPAT-{43:word}")
        .misses("CFPAT-{42:word}"),
    entry("MAPBOX_SECRET_TOKEN", 0.99, r"\bsk\.eyJ[A-Za-z0-9_-]{40,200}\.[A-Za-z0-9_-]{22}")
        .finds("sk.eyJ{80:alnum}.{22:word}")
        .misses("sk.eyJ{39:alnum}.{22:word}"),
    entry("HUBSPOT_TOKEN", 0.95, r"\bpat-(?:na|eu|ap)[0-9]-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
        .finds("pat-na1-{8:hex}-{4:hex}-{4:hex}-{4:hex}-{12:hex}")
        .misses("pat-na1-{8:hex}-{4:hex}-{4:hex}-{4:hex}-{11:hex}"),
    entry("SALESFORCE_SESSION", 0.95, r"\b00D[A-Za-z0-9]{12,15}![A-Za-z0-9._]{80,120}")
        .finds("00D{12:alnum}!{96:word}")
        .misses("00D{12:alnum}!{79:word}"),
    entry("TYPEFORM_TOKEN", 0.95, r"\btfp_[A-Za-z0-9_.=-]{40,64}")
        .finds("tfp_{59:word}")
        .misses("tfp_{39:word}"),
    entry("DROPBOX_TOKEN", 0.95, r"\bsl\.(?:u\.)?[A-Za-z0-9_-]{130,1400}")
        .finds("sl.{140:word}")
        .misses("sl.{129:word}"),
    entry("FACEBOOK_ACCESS_TOKEN", 0.9, r"\bEAA[A-Z][A-Za-z0-9]{80,400}\b")
        .finds("EAAC{160:alnum}")
        .misses("EAAC{79:alnum}"),
    entry("INSTAGRAM_ACCESS_TOKEN", 0.9, r"\bIG[QA]A?[A-Za-z0-9_-]{100,400}")
        .finds("IGQ{160:word}")
        .misses("IGQ{98:word}"),
    entry("TWITTER_BEARER_TOKEN", 0.99, r"\bAAAAAAAAAAAAAAAAAAAA[A-Za-z0-9%]{80,120}\b")
        .finds("AAAAAAAAAAAAAAAAAAAA{90:alnum}")
        .misses("AAAAAAAAAAAAAAAAAAAA{78:alnum}"),
    entry("LINKEDIN_ACCESS_TOKEN", 0.9, r"\bAQ[UVWX][A-Za-z0-9_-]{130,400}")
        .finds("AQX{160:word}")
        .misses("AQX{129:word}"),
    entry("OKTA_API_TOKEN", 0.8, r"\b00[A-Za-z0-9_-]{40}\b")
        .finds("00{40:alnum}")
        .misses("00{39:alnum}")
        .context(&["okta", "ssws"]),
    entry("STYTCH_SECRET", 0.95, r"\bsecret-(?:live|test)-[A-Za-z0-9_=-]{36}\b")
        .finds("secret-live-{36:alnum}")
        .misses("secret-live-{35:alnum}"),
    entry("ZUPLO_API_KEY", 0.95, r"\bzpka_[0-9a-f]{32}_[0-9a-f]{8}\b")
        .finds("zpka_{32:hex}_{8:hex}")
        .misses("zpka_{32:hex}_{7:hex}"),
    entry("CALCOM_API_KEY", 0.95, r"\bcal_(?:live_)?[0-9a-f]{32}\b")
        .finds("cal_live_{32:hex}")
        .misses("cal_live_{31:hex}"),
    entry("RETOOL_TOKEN", 0.95, r"\bretool_01[a-z0-9]{24}\b")
        .finds("retool_01{24:lower}")
        .misses("retool_01{23:lower}"),
    entry("SETTLEMINT_TOKEN", 0.95, r"\bsm_(?:pat|aat|sat)_[A-Za-z0-9]{16}\b")
        .finds("sm_pat_{16:alnum}")
        .misses("sm_pat_{15:alnum}"),
    entry("FRAMEIO_TOKEN", 0.95, r"\bfio-u-[A-Za-z0-9_=-]{64}")
        .finds("fio-u-{64:word}")
        .misses("fio-u-{63:word}"),
    entry("ADOBE_CLIENT_SECRET", 0.95, r"\bp8e-[A-Za-z0-9]{32}\b")
        .finds("p8e-{32:alnum}")
        .misses("p8e-{31:alnum}"),
    entry("MAXMIND_LICENSE_KEY", 0.95, r"\b[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk\b")
        .finds("{6:alnum}_{29:alnum}_mmk")
        .misses("{6:alnum}_{28:alnum}_mmk")
        .context(&["maxmind", "geoip", "license"]),
    entry("LICHESS_TOKEN", 0.9, r"\blip_[A-Za-z0-9]{20}\b").finds("lip_{20:alnum}").misses("lip_{19:alnum}"),
    entry("EBAY_OAUTH_TOKEN", 0.95, r"\bv\^1\.1#i\^1#[A-Za-z0-9^#+/=]{100,2000}")
        .finds("v^1.1#i^1#{200:alnum}")
        .misses("v^1.1#i^1#{99:alnum}"),
    entry("INTERCOM_ACCESS_TOKEN", 0.95, r"\bdG9r[A-Za-z0-9+/]{56,64}={0,2}")
        .finds("dG9r{56:alnum}")
        .misses("dG9r{55:alnum}"),
    entry("ABLY_API_KEY", 0.9, r"\b[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{6}:[A-Za-z0-9_-]{43}")
        .finds("{6:alnum}.{6:alnum}:{43:word}")
        .misses("{6:alnum}.{6:alnum}:{42:word}")
        .context(&["ably"]),
    entry("EXPO_ACCESS_TOKEN", 0.8, r"\b[A-Za-z0-9_-]{40}\b")
        .finds("{40:alnum}")
        .misses("{39:alnum}")
        .checked("letters, a digit, randomness", validate::random_key)
        .context(&["expo_token", "eas_token"]),
    entry("COURIER_API_KEY", 0.95, r"\b(?:pk|dk)_(?:prod|test)_[A-Z0-9]{28}\b")
        .finds("pk_prod_{28:upper}")
        .misses("pk_prod_{27:upper}"),
    entry("KNOCK_SECRET_KEY", 0.85, r"\bsk_(?:prod|dev)_[A-Za-z0-9_-]{40,64}")
        .finds("sk_prod_{43:word}")
        .misses("sk_prod_{39:word}"),
    entry("SEGMENT_PUBLIC_API_TOKEN", 0.95, r"\bsgp_[A-Za-z0-9]{64}\b")
        .finds("sgp_{64:alnum}")
        .misses("sgp_{63:alnum}"),
    entry("BULKHEAD_API_KEY", 0.99, r"\bbh_[a-z0-9]{1,16}_[0-9A-Za-z]{65}\b")
        .finds("bh_test_{65:alnum}")
        .misses("bh_test_{64:alnum}"),
    // Shapes that several services share; the name of one of them must stand before the key.
    entry("SERVICE_HEX_KEY", 0.8, r"\b(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})\b")
        .finds("{32:hex}")
        .misses("{33:hex}")
        .checked("letters, a digit, randomness", validate::random_hex)
        .context(&[
            "algolia",
            "zendesk",
            "trello",
            "flickr",
            "infura",
            "etherscan",
            "discourse",
            "maxmind",
            "rapidapi",
            "contentful",
            "pusher",
            "auth0",
            "onelogin",
            "spotify",
            "twitch",
            "adobe",
            "openweather",
        ]),
    entry("SERVICE_KEY", 0.8, r"\b[A-Za-z0-9_-]{24,64}\b")
        .finds("{43:alnum}")
        .misses("{23:alnum}")
        .checked("letters, a digit, randomness", validate::random_key)
        .context(&[
            "zendesk_",
            "auth0_",
            "linkedin_client",
            "dropbox_app",
            "twitch_client",
            "spotify_client",
            "squarespace_",
            "smartsheet_",
            "alchemy_",
            "rapidapi_",
            "nytimes_",
            "segment_write",
            "sanity_",
        ]),
];
