//! Upstreams with their credentials, and the routing table.

use std::collections::HashMap;

use super::{CompileError, CompileInput, Credential, Layer, Layers, ModelPattern, refuse};
use crate::address::BaseUrl;
use crate::document::{DocumentError, PolicyDocument, RouteDocument, UpstreamDialect};

/// A provider that requests can be sent to.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// The tenant's name for it.
    pub name: Box<str>,
    /// Where it is.
    pub base: BaseUrl,
    /// What it speaks.
    pub dialect: UpstreamDialect,
    /// What it wants to see; `None`: nothing.
    pub credential: Option<Credential>,
}

/// Names an upstream within its policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UpstreamIndex(usize);

impl UpstreamIndex {
    pub(super) fn position(self) -> usize {
        self.0
    }
}

/// One line of the routing table.
#[derive(Debug)]
pub(super) struct Route {
    models: Vec<ModelPattern>,
    to: Vec<UpstreamIndex>,
}

impl Route {
    pub(super) fn matches(&self, model: &str) -> bool {
        self.models.iter().any(|pattern| pattern.matches(model))
    }

    pub(super) fn upstreams(&self) -> &[UpstreamIndex] {
        &self.to
    }
}

pub(super) fn compile(
    layers: &Layers<'_>,
    input: &CompileInput<'_>,
) -> Result<(Vec<Upstream>, Vec<Route>), CompileError> {
    refuse_foreign_sections(layers)?;
    let Some(tenant) = layers.get(Layer::Tenant) else { return Ok((Vec::new(), Vec::new())) };
    let upstreams = tenant.upstreams.keys().map(|name| compile_upstream(tenant, name, input));
    let upstreams = upstreams.collect::<Result<Vec<_>, _>>().map_err(|error| refuse(Layer::Tenant, error))?;
    let indices: HashMap<&str, UpstreamIndex> = tenant
        .upstreams
        .keys()
        .enumerate()
        .map(|(index, name)| (name.as_str(), UpstreamIndex(index)))
        .collect();
    // The tenant's own table is checked even where an agent's stands in for it.
    let mut routes = match &tenant.routes {
        Some(routes) => compile_routes(routes, &indices, Layer::Tenant)?,
        None => everywhere(&indices),
    };
    if let Some(own) = layers.get(Layer::Agent).and_then(|agent| agent.routes.as_ref()) {
        routes = compile_routes(own, &indices, Layer::Agent)?;
    }
    Ok((upstreams, routes))
}

fn refuse_foreign_sections(layers: &Layers<'_>) -> Result<(), CompileError> {
    for (layer, document) in &layers.0 {
        let misplaced = match layer {
            Layer::Tenant => None,
            Layer::Platform if document.routes.is_some() => Some("routes"),
            _ if !document.upstreams.is_empty() => Some("upstreams"),
            Layer::Platform | Layer::Agent => None,
        };
        if let Some(section) = misplaced {
            let message = format!("not part of the {layer} policy; state it in the tenant's");
            return Err(refuse(*layer, DocumentError::new(section, &message)));
        }
    }
    Ok(())
}

fn compile_upstream(
    tenant: &PolicyDocument,
    name: &str,
    input: &CompileInput<'_>,
) -> Result<Upstream, DocumentError> {
    let path = format!("upstreams.{name}");
    let Some(document) = tenant.upstreams.get(name) else {
        return Err(DocumentError::new(path, "no such upstream"));
    };
    let base = BaseUrl::parse(&document.base_url, &input.options.upstreams)
        .map_err(|error| DocumentError::new(format!("{path}.base_url"), &format!("expected {error}")))?;
    let credential = document.credential.as_ref().map(|wanted| {
        input.credentials.get(wanted).cloned().ok_or_else(|| {
            let expected = "the name of a stored credential of the tenant";
            DocumentError::found(format!("{path}.credential"), format!("{wanted:?}"), expected)
        })
    });
    Ok(Upstream { name: name.into(), base, dialect: document.dialect, credential: credential.transpose()? })
}

fn compile_routes(
    routes: &[RouteDocument],
    indices: &HashMap<&str, UpstreamIndex>,
    layer: Layer,
) -> Result<Vec<Route>, CompileError> {
    let compiled = routes.iter().enumerate().map(|(number, route)| compile_route(number, route, indices));
    compiled.collect::<Result<_, _>>().map_err(|error| refuse(layer, error))
}

fn compile_route(
    number: usize,
    route: &RouteDocument,
    indices: &HashMap<&str, UpstreamIndex>,
) -> Result<Route, DocumentError> {
    let path = format!("routes[{number}]");
    let patterns = route.models.iter().map(|model| ModelPattern::new(model));
    let models = patterns
        .collect::<Result<_, _>>()
        .map_err(|error| DocumentError::new(format!("{path}.models"), &format!("expected {error}")))?;
    let targets = route.to.iter().enumerate().map(|(position, name)| {
        indices.get(name.as_str()).copied().ok_or_else(|| {
            let found = format!("{name:?}");
            DocumentError::found(
                format!("{path}.to[{position}]"),
                found,
                "the name of one of the tenant's upstreams",
            )
        })
    });
    Ok(Route { models, to: targets.collect::<Result<_, _>>()? })
}

/// The table where none is written: every model to every upstream, of which a request takes those of its
/// dialect.
fn everywhere(indices: &HashMap<&str, UpstreamIndex>) -> Vec<Route> {
    let mut to: Vec<UpstreamIndex> = indices.values().copied().collect();
    to.sort_by_key(|index| index.0);
    match (ModelPattern::new("*"), to.is_empty()) {
        (Ok(any), false) => vec![Route { models: vec![any], to }],
        _ => Vec::new(),
    }
}
