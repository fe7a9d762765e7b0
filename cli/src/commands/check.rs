//! `bulkhead check`: validates files without a database or a network.

use std::path::{Path, PathBuf};

use bulkhead_policy::address::Reach;
use bulkhead_policy::compile::Layer;
use bulkhead_policy::document::PolicyDocument;
use clap::Args;
use serde_json::json;

use crate::config;
use crate::failure::Failure;
use crate::output::{Format, print_one};
use crate::policy_file;

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct CheckArgs {
    /// A configuration file of `bulkhead proxy`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A tenant's policy, or of the kind that --platform or --agent says; may be repeated
    #[arg(long, value_name = "FILE", num_args = 1..)]
    policy: Vec<PathBuf>,
    #[command(flatten)]
    kind: KindArgs,
}

/// Whose policies files are, if not a tenant's.
#[derive(Debug, Default, Args)]
pub(crate) struct KindArgs {
    /// The policies are the platform's
    #[arg(long, conflicts_with = "agent")]
    platform: bool,
    /// Each policy narrows a tenant's for an agent
    #[arg(long)]
    agent: bool,
    /// The tenant's policy that those of its agents must fit; without it nobody knows the names in it
    #[arg(long, value_name = "FILE", requires = "agent")]
    over: Option<PathBuf>,
}

impl KindArgs {
    fn layer(&self) -> Layer {
        match (self.platform, self.agent) {
            (true, _) => Layer::Platform,
            (false, true) => Layer::Agent,
            (false, false) => Layer::Tenant,
        }
    }
}

pub(crate) fn run(args: &CheckArgs, format: Format) -> Result<(), Failure> {
    if args.kind.layer() != Layer::Tenant && args.policy.is_empty() {
        let message = "--platform and --agent say whose policies are checked: give them with --policy FILE";
        return Err(Failure::Usage(message.to_owned()));
    }
    check_policies(&args.policy, &args.kind, args.config.as_deref())?;
    print_valid(args.config.iter().chain(&args.policy), format)
}

/// Says that files are valid.
pub(crate) fn print_valid<'a>(
    files: impl Iterator<Item = &'a PathBuf>,
    format: Format,
) -> Result<(), Failure> {
    let files: Vec<String> = files.map(|path| path.display().to_string()).collect();
    print_one(format, &format!("valid: {}", files.join(", ")), &json!({"valid": files}))
}

/// Checks the configuration and each file as a policy of that kind under it, of a tenant whose credentials all exist.
pub(crate) fn check_policies(
    files: &[PathBuf],
    kind: &KindArgs,
    config: Option<&Path>,
) -> Result<(), Failure> {
    let reach =
        config.map_or(Ok(Reach::Public), |path| config::load(path).map(|config| config.proxy.upstreams))?;
    let read = |path: &Path, layer, over: Option<&PolicyDocument>| {
        let document = policy_file::read(path, &reach)?;
        check_document(&document, layer, over, &reach, &path.display().to_string())?;
        Ok(document)
    };
    let over = kind.over.as_deref().map(|path| read(path, Layer::Tenant, None)).transpose()?;
    files.iter().try_for_each(|path| read(path, kind.layer(), over.as_ref()).map(drop))
}

fn check_document(
    document: &PolicyDocument,
    layer: Layer,
    over: Option<&PolicyDocument>,
    reach: &Reach,
    source: &str,
) -> Result<(), Failure> {
    let tenants = over.map(|document| (Layer::Tenant, document));
    let layers: Vec<(Layer, &PolicyDocument)> = tenants.into_iter().chain([(layer, document)]).collect();
    let checked = policy_file::check_layers(&layers, None, reach, source);
    checked.map_err(|error| match (layer, over) {
        (Layer::Agent, None) => {
            Failure::Usage(format!("{error} (what the tenant's policy names is known with --over FILE)"))
        }
        _ => error,
    })
}

#[cfg(test)]
mod tests {
    use super::{Reach, check_document};
    use crate::policy_file::parse;
    use bulkhead_policy::compile::Layer;

    const UPSTREAMS: &str = "upstreams: { a: { base_url: 'https://api.openai.com', dialect: openai } }";
    const OWN_DETECTOR: &str = "dlp: { detectors: [{ id: OURS, terms: [x1] }] }";

    /// The error of a document of that kind; empty if there is none.
    fn check(layer: Layer, text: &str, over: Option<&str>) -> String {
        let document = |text: &str| parse(text, &Reach::Public, "test").expect("can be read");
        let over = over.map(document);
        let checked = check_document(&document(text), layer, over.as_ref(), &Reach::Public, "a.yaml");
        checked.map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn each_kind_has_its_own_rules() {
        let limits = "limits: { per_agent: { requests_per_minute: 5 } }";
        let platform_detector = "dlp: { detectors: [{ id: PLATFORM_X, terms: [x1] }] }";
        for (text, platform, tenant, agent) in [
            ("{}", "", "", ""),
            (UPSTREAMS, "upstreams: not part of the platform", "", "upstreams: not part of the agent"),
            (limits, "", "", "limits.per_agent"),
            (platform_detector, "", "dlp.detectors[0].id", "dlp.detectors[0].id"),
            (OWN_DETECTOR, "dlp.detectors[0].id", "", ""),
        ] {
            for (layer, part) in [(Layer::Platform, platform), (Layer::Tenant, tenant), (Layer::Agent, agent)]
            {
                let error = check(layer, text, None);
                assert_eq!(error.is_empty(), part.is_empty(), "{layer}: {text}: {error}");
                assert!(error.contains(part), "{layer}: {text}: {error}");
            }
        }
    }

    #[test]
    fn an_agent_s_policy_is_looked_at_over_the_tenant_s_that_is_given() {
        let routes = |to| format!("routes: [{{ models: ['*'], to: [{to}] }}]");
        assert_eq!(check(Layer::Agent, &routes("b"), None), "");
        assert_eq!(check(Layer::Agent, &routes("a"), Some(UPSTREAMS)), "");
        assert!(check(Layer::Agent, &routes("b"), Some(UPSTREAMS)).contains("routes[0].to[0]"));
        let rule = "dlp: { rules: [{ detect: [OURS], on: both, action: mask }] }";
        assert_eq!(check(Layer::Agent, rule, Some(OWN_DETECTOR)), "");
        assert!(check(Layer::Agent, rule, None).contains("--over"));
    }
}
