//! Keys of source control and of package registries.

use crate::catalogue::entry::{Entry, Near, Table, entry};

pub(super) const TABLES: &[Table] = &[Table { category: "secret.scm", entries: KEYS }];

const KEYS: &[Entry] = &[
    entry("GITHUB_TOKEN", 0.99, r"\bgh[pousr]_[A-Za-z0-9]{36}\b")
        .finds("ghp_{36:alnum}")
        .misses("ghp_{35:alnum}"),
    entry("GITHUB_FINE_GRAINED_PAT", 0.99, r"\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b")
        .finds("github_pat_{22:alnum}_{59:alnum}")
        .misses("github_pat_{22:alnum}_{58:alnum}"),
    entry("GITLAB_TOKEN", 0.99, r"\bgl(?:pat|dt|rt|cbt|ptt|soat)-[A-Za-z0-9_.-]{20,64}")
        .finds("glpat-{20:word}")
        .misses("glpat-{19:word}"),
    entry("GITLAB_FEED_TOKEN", 0.99, r"\bglft-[A-Za-z0-9_-]{20,64}")
        .finds("glft-{20:word}")
        .misses("glft-{19:word}"),
    entry("GITLAB_INCOMING_MAIL_TOKEN", 0.99, r"\bglimt-[A-Za-z0-9_-]{25}")
        .finds("glimt-{25:word}")
        .misses("glimt-{24:word}"),
    entry("GITLAB_AGENT_TOKEN", 0.99, r"\bglagent-[A-Za-z0-9_-]{50}")
        .finds("glagent-{50:word}")
        .misses("glagent-{49:word}"),
    entry("GITLAB_FEATURE_FLAGS_TOKEN", 0.99, r"\bglffct-[A-Za-z0-9_-]{20,64}")
        .finds("glffct-{20:word}")
        .misses("glffct-{19:word}"),
    entry("GITLAB_RUNNER_REGISTRATION", 0.99, r"\bGR1348941[A-Za-z0-9_-]{20,64}")
        .finds("GR1348941{20:word}")
        .misses("GR1348941{19:word}"),
    entry("GITLAB_SESSION_COOKIE", 0.95, r"\b_gitlab_session=[0-9a-f]{32}\b")
        .finds("_gitlab_session={32:hex}")
        .misses("_gitlab_session={31:hex}"),
    entry("BITBUCKET_APP_PASSWORD", 0.99, r"\bATBB[A-Za-z0-9]{32}\b")
        .finds("ATBB{32:alnum}")
        .misses("ATBB{31:alnum}"),
    entry("BITBUCKET_ACCESS_TOKEN", 0.99, r"\bATCTT3xFf[A-Za-z0-9_=-]{150,250}")
        .finds("ATCTT3xFf{180:word}=0A1B2C3D")
        .misses("ATCTT3xFf{149:alnum}"),
    entry("SOURCEGRAPH_TOKEN", 0.99, r"\bsgp_(?:(?:[0-9a-f]{16}|local)_)?[0-9a-f]{40}\b")
        .finds("sgp_{16:hex}_{40:hex}")
        .misses("sgp_{16:hex}_{39:hex}"),
    entry("NPM_TOKEN", 0.99, r"\bnpm_[A-Za-z0-9]{36}\b").finds("npm_{36:alnum}").misses("npm_{37:alnum}"),
    entry("NPM_CONFIG_AUTH_TOKEN", 0.9, r"\b_authToken=[A-Za-z0-9_.=/+-]{20,200}")
        .finds("_authToken={36:lower}")
        .misses("_authToken={19:lower}"),
    entry("PYPI_TOKEN", 0.99, r"\bpypi-AgEI[A-Za-z0-9_-]{50,250}")
        .finds("pypi-AgEI{150:word}")
        .misses("pypi-AgEI{49:word}"),
    entry("RUBYGEMS_TOKEN", 0.99, r"\brubygems_[0-9a-f]{48}\b")
        .finds("rubygems_{48:hex}")
        .misses("rubygems_{47:hex}"),
    entry("CRATES_IO_TOKEN", 0.99, r"\bcio[A-Za-z0-9]{32}\b")
        .finds("cio{32:alnum}")
        .misses("cio{31:alnum}")
        .near(Near::Positions),
    entry("NUGET_API_KEY", 0.95, r"\boy2[a-z0-9]{43}\b").finds("oy2{43:lower}").misses("oy2{42:lower}"),
    entry("DOCKERHUB_PAT", 0.99, r"\bdckr_pat_[A-Za-z0-9_-]{27}")
        .finds("dckr_pat_{27:word}")
        .misses("dckr_pat_{26:word}"),
    entry("DOCKERHUB_ORG_TOKEN", 0.99, r"\bdckr_oat_[A-Za-z0-9_-]{32}")
        .finds("dckr_oat_{32:word}")
        .misses("dckr_oat_{31:word}"),
    entry("PACKAGIST_TOKEN", 0.99, r"\bpackagist_[ou][ru]t_[0-9a-f]{68}\b")
        .finds("packagist_ort_{68:hex}")
        .misses("packagist_ort_{67:hex}"),
    entry("CLOJARS_TOKEN", 0.99, r"\bCLOJARS_[0-9a-f]{60}\b")
        .finds("CLOJARS_{60:hex}")
        .misses("CLOJARS_{59:hex}"),
    entry("HEX_PM_KEY", 0.8, r"\bHEX_API_KEY=[0-9a-f]{32}\b")
        .finds("HEX_API_KEY={32:hex}")
        .misses("HEX_API_KEY={31:hex}"),
    entry("CLOUDSMITH_API_KEY", 0.95, r"\bcsa_[0-9a-f]{40}\b").finds("csa_{40:hex}").misses("csa_{39:hex}"),
    entry("ARTIFACTORY_API_KEY", 0.95, r"\bAKCp[A-Za-z0-9]{69}\b")
        .finds("AKCp{69:alnum}")
        .misses("AKCp{68:alnum}"),
    entry("ARTIFACTORY_REFERENCE_TOKEN", 0.95, r"\bcmVmdGtuO[A-Za-z0-9]{55}\b")
        .finds("cmVmdGtuO{55:alnum}")
        .misses("cmVmdGtuO{54:alnum}"),
    entry("README_API_KEY", 0.95, r"\brdme_[a-z0-9]{70}\b")
        .finds("rdme_{70:lower}")
        .misses("rdme_{69:lower}"),
    entry("SCALINGO_TOKEN", 0.95, r"\btk-us-[A-Za-z0-9_-]{48}\b")
        .finds("tk-us-{48:alnum}")
        .misses("tk-us-{47:alnum}"),
    entry("FORGE_TOKEN", 0.8, r"\b[0-9a-f]{40}\b")
        .finds("{40:hex}")
        .misses("{39:hex}")
        .checked("letters, a digit, randomness", crate::validate::random_hex)
        .context(&["gitea_token", "gogs_token", "forgejo_token", "codeberg_token"]),
    entry(
        "GIT_URL_WITH_TOKEN",
        0.95,
        r"\bhttps://(?:oauth2|x-access-token|x-token-auth|gitlab-ci-token)(?::[A-Za-z0-9_.=-]{16,250})@",
    )
    .finds("https://x-access-token:{40:alnum}@")
    .misses("https://x-access-token:{15:alnum}@")
    .near(Near::PrefixThen(b'@')),
];
