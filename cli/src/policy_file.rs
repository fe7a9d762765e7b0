//! Policy documents in files: read, checked as far as a file alone allows, and completed for `bulkhead dev`.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use bulkhead_policy::address::Reach;
use bulkhead_policy::compile::{
    CompileInput, CompileOptions, Credential, DetectorCache, Layer, TenantPolicy, compile,
};
use bulkhead_policy::document::{CheckOptions, PolicyDocument, UpstreamDialect, UpstreamDocument};
use bulkhead_policy::ids::{CredentialId, Revision};
use chrono::Utc;
use secrecy::SecretString;

use crate::context::DatabaseArgs;
use crate::failure::Failure;

/// Name of the credential that dev's own upstreams use.
pub(crate) const DEV_CREDENTIAL: &str = "demo";

/// Where upstreams may be in that database's installation.
pub(crate) fn reach(database: &DatabaseArgs) -> Result<Reach, Failure> {
    if database.dev()?.is_some() { Ok(Reach::Anywhere) } else { database.reach() }
}

/// Reads a document from a file, or from standard input for `-`.
pub(crate) fn read(path: &Path, upstreams: &Reach) -> Result<PolicyDocument, Failure> {
    let text = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
    parse(&text, upstreams, &path.display().to_string())
}

/// Reads a document; `source` is named in errors.
pub(crate) fn parse(text: &str, upstreams: &Reach, source: &str) -> Result<PolicyDocument, Failure> {
    PolicyDocument::parse(text, &CheckOptions { upstreams: upstreams.clone() })
        .map_err(|error| Failure::Usage(format!("{source}: {}", one_line(&error.to_string()))))
}

/// Checks documents laid over each other, as a node will. `credentials` are the names that exist; none: all do.
pub(crate) fn check_layers(
    layers: &[(Layer, &PolicyDocument)],
    credentials: Option<&[String]>,
    upstreams: &Reach,
    source: &str,
) -> Result<(), Failure> {
    compile_layers(layers, credentials, upstreams, source).map(|_| ())
}

/// The same, and gives what they compile to.
pub(crate) fn compile_layers(
    layers: &[(Layer, &PolicyDocument)],
    credentials: Option<&[String]>,
    upstreams: &Reach,
    source: &str,
) -> Result<TenantPolicy, Failure> {
    compile_with(&DetectorCache::default(), layers, credentials, upstreams, source)
}

/// The same, for many that share detectors: those of a policy that is kept are compiled once.
pub(crate) fn compile_with(
    detectors: &DetectorCache,
    layers: &[(Layer, &PolicyDocument)],
    credentials: Option<&[String]>,
    upstreams: &Reach,
    source: &str,
) -> Result<TenantPolicy, Failure> {
    let named = layers
        .iter()
        .flat_map(|(_, document)| document.upstreams.values())
        .filter_map(|u| u.credential.clone());
    let names: Vec<String> = credentials.map_or_else(|| named.collect(), <[String]>::to_vec);
    // Only whether a credential exists matters here, not what it is.
    let stand_in = Credential {
        id: CredentialId::fresh(Utc::now()),
        version: 1,
        secret: Arc::new(SecretString::from("stand-in".to_owned())),
    };
    let credentials: HashMap<String, Credential> =
        names.into_iter().map(|name| (name, stand_in.clone())).collect();
    let input = CompileInput {
        revision: Revision::default(),
        layers,
        credentials: &credentials,
        options: &CompileOptions { upstreams: upstreams.clone(), ..CompileOptions::default() },
        detectors,
        value_key: None,
        data_key: None,
    };
    compile(&input).map_err(|error| Failure::Usage(format!("{source}: {}", one_line(&error.to_string()))))
}

/// Adds dev's upstreams where the document names none: every dialect at one base URL.
pub(crate) fn complete_for_dev(mut document: PolicyDocument, base_url: &str) -> PolicyDocument {
    if !document.upstreams.is_empty() {
        return document;
    }
    let upstream = |dialect| UpstreamDocument {
        base_url: base_url.to_owned(),
        dialect,
        credential: Some(DEV_CREDENTIAL.to_owned()),
    };
    document.upstreams = BTreeMap::from([
        ("anthropic".to_owned(), upstream(UpstreamDialect::Anthropic)),
        ("gemini".to_owned(), upstream(UpstreamDialect::Gemini)),
        ("openai".to_owned(), upstream(UpstreamDialect::OpenAi)),
    ]);
    // Without routes every model goes to the upstream that speaks the caller's dialect.
    document
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{Reach, check_layers, complete_for_dev, parse};
    use bulkhead_policy::compile::Layer;
    use bulkhead_policy::document::PolicyDocument;

    const DEMO: &str = include_str!("../demo-policy.yaml");

    fn document(text: &str) -> PolicyDocument {
        parse(text, &Reach::Anywhere, "test").expect("is valid")
    }

    #[test]
    fn the_demo_policy_compiles_with_devs_upstreams() {
        let completed = complete_for_dev(document(DEMO), "http://127.0.0.1:4000");
        check_layers(&[(Layer::Tenant, &completed)], None, &Reach::Anywhere, "demo").expect("compiles");
        assert_eq!(completed.upstreams.len(), 3);
        assert_eq!(completed.routes, None);
    }

    #[test]
    fn own_upstreams_and_routes_are_left_alone() {
        let own = "upstreams: { x: { base_url: 'http://127.0.0.1:1', dialect: openai } }";
        assert_eq!(complete_for_dev(document(own), "http://127.0.0.1:2"), document(own));
        let routed =
            complete_for_dev(document("routes: [{ models: ['*'], to: [openai] }]"), "http://127.0.0.1:2");
        assert_eq!(routed.routes.map(|routes| routes.len()), Some(1));
        assert_eq!(routed.upstreams.len(), 3);
    }

    #[test]
    fn mistakes_are_told_in_one_line_with_their_place() {
        for (text, part) in [
            ("dlp: { rules: [{ detect: [x], on: never, action: mask }] }", "dlp.rules"),
            ("dpl: {}", "dpl"),
            ("limits: { requests_per_minute: 0 }", "limits.requests_per_minute"),
        ] {
            let error = parse(text, &Reach::Public, "a.yaml").expect_err(text).to_string();
            assert!(
                error.starts_with("a.yaml: ") && error.contains(part) && !error.contains('\n'),
                "{error}"
            );
        }
        let loopback = "upstreams: { x: { base_url: 'http://127.0.0.1:1', dialect: openai } }";
        assert!(parse(loopback, &Reach::Public, "a.yaml").is_err());
        let ours = Reach::from_iter(["10.2.0.0/16".parse().expect("is a network")]);
        for (host, is_within) in [
            ("http://10.2.0.1:8000", true),
            ("http://models.internal", true),
            ("http://10.3.0.1", false),
            ("https://127.0.0.1", false),
        ] {
            let text = format!("upstreams: {{ x: {{ base_url: '{host}', dialect: openai }} }}");
            assert_eq!(parse(&text, &ours, "a.yaml").is_ok(), is_within, "{host}");
        }
    }

    #[test]
    fn a_credential_that_does_not_exist_is_found_before_publishing() {
        let text =
            "upstreams: { x: { base_url: 'https://api.openai.com', dialect: openai, credential: prod } }";
        let document = document(text);
        let layers = [(Layer::Tenant, &document)];
        assert!(check_layers(&layers, None, &Reach::Public, "a.yaml").is_ok());
        assert!(check_layers(&layers, Some(&["prod".to_owned()]), &Reach::Public, "a.yaml").is_ok());
        let error = check_layers(&layers, Some(&[]), &Reach::Public, "a.yaml").expect_err("no credential");
        assert!(error.to_string().contains("prod"), "{error}");
    }
}
