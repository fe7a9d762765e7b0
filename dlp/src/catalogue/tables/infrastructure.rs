//! Keys of what runs and watches systems: secret stores, pipelines, monitoring.

use crate::catalogue::entry::{Entry, Near, Table, entry};
use crate::validate;

pub(super) const TABLES: &[Table] = &[Table { category: "secret.infrastructure", entries: KEYS }];

const KEYS: &[Entry] = &[
    entry("HASHICORP_VAULT_TOKEN", 0.95, r"\bhv[sbr]\.[A-Za-z0-9_-]{24,300}")
        .finds("hvs.{90:word}")
        .misses("hvs.{23:word}"),
    entry("HASHICORP_VAULT_LEGACY_TOKEN", 0.8, r"\b[sbr]\.[A-Za-z0-9]{24}\b")
        .finds("s.{24:alnum}")
        .misses("s.{23:alnum}")
        .checked("a digit, a small and a capital letter", validate::mixed_key)
        .context(&["vault"]),
    entry("TERRAFORM_CLOUD_TOKEN", 0.99, r"\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60,70}")
        .finds("{14:alnum}.atlasv1.{67:word}")
        .misses("{13:alnum}.atlasv1.{67:word}")
        .context(&["terraform", "tfe_", "tfc_", "atlas_token", "token"]),
    entry("PULUMI_ACCESS_TOKEN", 0.99, r"\bpul-[0-9a-f]{40}\b").finds("pul-{40:hex}").misses("pul-{39:hex}"),
    entry(
        "DOPPLER_TOKEN",
        0.99,
        r"\bdp\.(?:pt|ct|sa|said|scim|audit|st(?:\.[a-z0-9_-]{2,35})?)\.[A-Za-z0-9]{40,44}\b",
    )
    .finds("dp.st.prd.{43:alnum}")
    .misses("dp.st.prd.{39:alnum}"),
    entry("INFISICAL_SERVICE_TOKEN", 0.95, r"\bst\.[0-9a-f]{24}\.[0-9a-f]{32}\.[0-9a-f]{32}\b")
        .finds("st.{24:hex}.{32:hex}.{32:hex}")
        .misses("st.{24:hex}.{32:hex}.{31:hex}"),
    entry("ONEPASSWORD_SERVICE_TOKEN", 0.99, r"\bops_eyJ[A-Za-z0-9+/_-]{250,1400}={0,3}")
        .finds("ops_eyJ{400:alnum}")
        .misses("ops_eyJ{249:alnum}"),
    entry(
        "ONEPASSWORD_SECRET_KEY",
        0.95,
        r"\bA3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3}\b",
    )
    .finds("A3-{6:upper}-{6:upper}-{5:upper}-{5:upper}-{5:upper}-{5:upper}")
    .misses("A3-{6:upper}-{6:upper}-{5:upper}-{5:upper}-{5:upper}-{4:upper}"),
    entry(
        "BITWARDEN_ACCESS_TOKEN",
        0.95,
        r"\b0\.[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.[A-Za-z0-9]{30}:[A-Za-z0-9+/]{22}==",
    )
    .finds("0.{8:hex}-{4:hex}-{4:hex}-{4:hex}-{12:hex}.{30:alnum}:{22:alnum}==")
    .misses("0.{8:hex}-{4:hex}-{4:hex}-{4:hex}-{12:hex}.{29:alnum}:{22:alnum}==")
    .near(Near::Positions),
    entry("AGE_SECRET_KEY", 0.99, r"\bAGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}\b")
        .finds("AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ")
        .misses("AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ"),
    entry(
        "TAILSCALE_KEY",
        0.99,
        r"\btskey-(?:auth|api|client|scim|webhook)-[A-Za-z0-9]{8,20}(?:CNTRL)?-[A-Za-z0-9]{20,40}\b",
    )
    .finds("tskey-auth-{12:alnum}CNTRL-{32:alnum}")
    .misses("tskey-auth-{12:alnum}CNTRL-{19:alnum}"),
    entry("DEFINED_NETWORKING_TOKEN", 0.95, r"\bdnkey-[A-Za-z0-9=_-]{26}-[A-Za-z0-9=_-]{52}")
        .finds("dnkey-{26:alnum}-{52:alnum}")
        .misses("dnkey-{26:alnum}-{51:alnum}"),
    entry("OPENSHIFT_TOKEN", 0.95, r"\bsha256~[A-Za-z0-9_-]{43}")
        .finds("sha256~{43:word}")
        .misses("sha256~{42:word}"),
    entry("DOCKER_SWARM_TOKEN", 0.99, r"\bSWMTKN-1-[a-z0-9]{50}-[a-z0-9]{25}\b")
        .finds("SWMTKN-1-{50:lower}-{25:lower}")
        .misses("SWMTKN-1-{50:lower}-{24:lower}"),
    entry("DOCKER_SWARM_UNLOCK_KEY", 0.99, r"\bSWMKEY-1-[A-Za-z0-9+/]{43}")
        .finds("SWMKEY-1-{43:alnum}")
        .misses("SWMKEY-1-{42:alnum}"),
    entry("BUILDKITE_TOKEN", 0.95, r"\bbk(?:ua|aj|rt|ct|pat|at)_[A-Za-z0-9]{40,64}\b")
        .finds("bkua_{40:lower}")
        .misses("bkua_{39:lower}"),
    entry("CIRCLECI_TOKEN", 0.99, r"\bCCI(?:PAT|PRJ)_[A-Za-z0-9]{22}_[0-9a-f]{40}\b")
        .finds("CCIPAT_{22:alnum}_{40:hex}")
        .misses("CCIPAT_{22:alnum}_{39:hex}"),
    entry("HARNESS_TOKEN", 0.95, r"\b[ps]at\.[A-Za-z0-9_-]{22}\.[0-9a-f]{24}\.[A-Za-z0-9]{20}\b")
        .finds("pat.{22:word}.{24:hex}.{20:alnum}")
        .misses("pat.{22:word}.{24:hex}.{19:alnum}"),
    entry("OCTOPUS_DEPLOY_KEY", 0.9, r"\bAPI-[A-Z0-9]{26,32}\b")
        .finds("API-{26:upper}")
        .misses("API-{25:upper}"),
    entry("PREFECT_API_KEY", 0.95, r"\bpn[ub]_[a-zA-Z0-9]{36}\b")
        .finds("pnu_{36:alnum}")
        .misses("pnu_{35:alnum}"),
    entry("TRIGGERDEV_SECRET_KEY", 0.95, r"\btr_(?:dev|prod|stg|preview|pat)_[A-Za-z0-9]{20,44}\b")
        .finds("tr_prod_{24:alnum}")
        .misses("tr_prod_{19:alnum}"),
    entry("INNGEST_SIGNING_KEY", 0.95, r"\bsignkey-(?:prod|test|branch)-[0-9a-f]{32,64}\b")
        .finds("signkey-prod-{64:hex}")
        .misses("signkey-prod-{31:hex}"),
    entry(
        "LAUNCHDARKLY_KEY",
        0.9,
        r"\b(?:sdk|api|mob|rel)-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b",
    )
    .finds("api-{8:hex}-{4:hex}-4{3:hex}-{4:hex}-{12:hex}")
    .misses("api-{8:hex}-{4:hex}-4{3:hex}-{4:hex}-{11:hex}"),
    entry("STACKHAWK_API_KEY", 0.95, r"\bhawk\.[A-Za-z0-9_-]{20}\.[A-Za-z0-9_-]{20}\b")
        .finds("hawk.{20:alnum}.{20:alnum}")
        .misses("hawk.{20:alnum}.{19:alnum}"),
    entry("SONARQUBE_TOKEN", 0.95, r"\bsq[upa]_[0-9a-f]{40}\b").finds("squ_{40:hex}").misses("squ_{39:hex}"),
    entry(
        "SNYK_TOKEN",
        0.99,
        r"\bsnyk_(?:uat|sat)\.[0-9a-f]{8}\.[A-Za-z0-9_-]{30,600}(?:\.[A-Za-z0-9_-]{10,200})?",
    )
    .finds("snyk_uat.{8:hex}.{60:word}")
    .misses("snyk_uat.{8:hex}.{29:word}"),
    entry("INFRACOST_API_KEY", 0.95, r"\bico-[A-Za-z0-9]{32}\b")
        .finds("ico-{32:alnum}")
        .misses("ico-{31:alnum}"),
    entry("SPECTRAL_API_TOKEN", 0.85, r"\bspu-[a-z0-9]{32}\b")
        .finds("spu-{32:lower}")
        .misses("spu-{31:lower}"),
    // Monitoring.
    entry("DATADOG_API_KEY", 0.7, r"\b[0-9a-f]{32}(?:[0-9a-f]{8})?\b")
        .finds("{32:hex}")
        .misses("{31:hex}")
        .checked("letters, a digit, randomness", validate::random_hex)
        .context(&["datadog", "dd_api_key", "dd-api-key", "dd_app_key", "dd-application-key"]),
    entry("DATADOG_TOKEN", 0.99, r"\bdd(?:pat|app|sat)_[A-Za-z0-9]{22,60}\b")
        .finds("ddpat_{40:alnum}")
        .misses("ddpat_{21:alnum}"),
    entry("GRAFANA_SERVICE_ACCOUNT_TOKEN", 0.99, r"\bglsa_[A-Za-z0-9]{32}_[0-9a-fA-F]{8}\b")
        .finds("glsa_{32:alnum}_{8:hex}")
        .misses("glsa_{32:alnum}_{7:hex}"),
    entry("GRAFANA_CLOUD_TOKEN", 0.99, r"\bglc_eyJ[A-Za-z0-9+/]{40,400}={0,3}")
        .finds("glc_eyJ{120:alnum}")
        .misses("glc_eyJ{39:alnum}"),
    entry("GRAFANA_LEGACY_API_KEY", 0.95, r"\beyJrIjoi[A-Za-z0-9+/]{60,400}={0,3}")
        .finds("eyJrIjoi{80:alnum}==")
        .misses("eyJrIjoi{59:alnum}"),
    entry("NEWRELIC_KEY", 0.95, r"\bNRAK-[A-Z0-9]{27}\b").finds("NRAK-{27:upper}").misses("NRAK-{26:upper}"),
    entry("NEWRELIC_INSERT_KEY", 0.95, r"\bNRI[IQ]-[A-Za-z0-9_-]{32}")
        .finds("NRII-{32:word}")
        .misses("NRII-{31:word}"),
    entry("NEWRELIC_BROWSER_KEY", 0.85, r"\bNRJS-[0-9a-f]{19}\b")
        .finds("NRJS-{19:hex}")
        .misses("NRJS-{18:hex}"),
    entry("NEWRELIC_LICENSE_KEY", 0.95, r"\b(?:eu01xx)?[0-9a-f]{30,36}NRAL\b")
        .finds("{36:hex}NRAL")
        .misses("{36:hex}NRAM")
        .context(&["new_relic", "newrelic", "new relic", "license_key", "licensekey"]),
    entry("SENTRY_ORG_TOKEN", 0.99, r"\bsntrys_eyJ[A-Za-z0-9+/=_-]{60,400}")
        .finds("sntrys_eyJ{120:alnum}_{43:alnum}")
        .misses("sntrys_eyJ{59:alnum}"),
    entry("SENTRY_USER_TOKEN", 0.99, r"\bsntryu_[0-9a-f]{64}\b")
        .finds("sntryu_{64:hex}")
        .misses("sntryu_{63:hex}"),
    entry(
        "SENTRY_DSN_WITH_SECRET",
        0.95,
        r"\bhttps://[0-9a-f]{32}:[0-9a-f]{32}@[a-z0-9.-]{4,80}/[0-9]{1,20}",
    )
    .finds("https://{32:hex}:{32:hex}@sentry.example.net/42")
    .misses("https://{32:hex}:{31:hex}@sentry.example.net/x")
    .near(Near::PrefixThen(b'@')),
    entry("DYNATRACE_TOKEN", 0.99, r"\bdt0[a-zA-Z][0-9]{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64}\b")
        .finds("dt0c01.{24:upper}.{64:upper}")
        .misses("dt0c01.{24:upper}.{63:upper}"),
    entry("HONEYCOMB_API_KEY", 0.95, r"\bhc[abx](?:ik|mk|lk)_[a-z0-9]{58}\b")
        .finds("hcaik_{58:lower}")
        .misses("hcaik_{57:lower}"),
    entry("POSTHOG_PERSONAL_KEY", 0.95, r"\bphx_[A-Za-z0-9]{43,48}\b")
        .finds("phx_{47:alnum}")
        .misses("phx_{42:alnum}"),
    entry("LOGFIRE_WRITE_TOKEN", 0.95, r"\bpylf_v1_[a-z]{2}_[A-Za-z0-9]{40,48}\b")
        .finds("pylf_v1_us_{43:alnum}")
        .misses("pylf_v1_us_{39:alnum}"),
    entry("ROOTLY_API_TOKEN", 0.95, r"\brootly_[0-9a-f]{64}\b")
        .finds("rootly_{64:hex}")
        .misses("rootly_{63:hex}"),
    entry("CHECKLY_API_KEY", 0.95, r"\bcu_[0-9a-f]{32}\b").finds("cu_{32:hex}").misses("cu_{31:hex}"),
    entry("ELASTIC_CLOUD_KEY", 0.95, r"\bessu_[A-Za-z0-9+/=]{40,160}")
        .finds("essu_{60:alnum}")
        .misses("essu_{39:alnum}"),
    entry("FASTLY_API_TOKEN", 0.7, r"\b[A-Za-z0-9_-]{32}\b")
        .finds("{32:alnum}")
        .misses("{31:alnum}")
        .checked("letters, a digit, randomness", validate::random_key)
        .context(&["fastly"]),
    // Shapes that several tools share; the name of one of them must stand before the key.
    entry("INFRASTRUCTURE_HEX_KEY", 0.8, r"\b(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}|11[0-9a-f]{32})\b")
        .finds("{40:hex}")
        .misses("{41:hex}")
        .checked("letters, a digit, randomness", validate::random_hex)
        .context(&[
            "bugsnag",
            "rollbar",
            "mixpanel",
            "amplitude",
            "jenkins",
            "travis",
            "opsgenie",
            "raygun",
            "appveyor",
            "loggly",
        ]),
    entry("INFRASTRUCTURE_UUID_KEY", 0.8, r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
        .finds("{8:hex}-{4:hex}-{4:hex}-{4:hex}-{12:hex}")
        .misses("{8:hex}-{4:hex}-{4:hex}-{4:hex}-{11:hex}")
        .context(&[
            "splunk",
            "codecov",
            "snyk",
            "consul",
            "nomad_token",
            "logdna",
            "humio",
            "pagerduty",
            "opsgenie",
        ]),
];
