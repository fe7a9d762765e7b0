//! Policies as they are in force, read from the database, and whether nodes can take them.

use bulkhead_policy::address::Reach;
use bulkhead_policy::compile::{DetectorCache, Layer as CompileLayer, TenantPolicy};
use bulkhead_policy::document::PolicyDocument;
use bulkhead_store::system::PlatformPolicy;
use bulkhead_store::tenant::{Layer, PolicyInForce, TenantTx};
use bulkhead_store::{Role, Store, system};

use crate::context::{DatabaseArgs, TenantArgs};
use crate::failure::Failure;
use crate::policy_file;

/// A tenant's documents in force, of which nodes take all or none.
#[derive(Debug)]
pub(crate) struct Documents {
    all: Vec<PolicyInForce>,
    credentials: Vec<String>,
    upstreams: Reach,
}

impl Documents {
    /// Reads them as `tx` sees them. After a change in the same transaction they stay so until its commit: every other change
    /// waits for the tenant's revision.
    pub(crate) async fn read(tx: &mut TenantTx, upstreams: &Reach) -> Result<Self, Failure> {
        let credentials = tx.credentials().await?.into_iter().map(|credential| credential.name).collect();
        Ok(Self { all: tx.policies_in_force().await?, credentials, upstreams: upstreams.clone() })
    }

    /// Compiles them over the platform's document, as a node will. `changed` is the layer that is new, none the platform's, and
    /// `source` where that came from, for errors.
    pub(crate) fn check(
        &self,
        floor: Option<&PolicyDocument>,
        changed: Option<Layer>,
        detectors: &DetectorCache,
        source: &str,
    ) -> Result<(), Failure> {
        let parse = |policy: &PolicyInForce| policy_file::parse(&policy.document, &self.upstreams, source);
        let compile = |layers: &[(CompileLayer, &PolicyDocument)]| {
            policy_file::compile_with(detectors, layers, Some(&self.credentials), &self.upstreams, source)
        };
        let blame = |misfit: Failure, policy: Layer, agent: Option<&str>| {
            if changed == Some(policy) { misfit } else { unfit(&misfit, agent) }
        };
        let of_tenant = |misfit| blame(misfit, Layer::Tenant, None);
        let own = self.all.iter().find(|policy| policy.layer == Layer::Tenant);
        let own = own.map(parse).transpose().map_err(of_tenant)?.unwrap_or_default();
        let mut layers = vec![(CompileLayer::Tenant, &own)];
        layers.extend(floor.map(|document| (CompileLayer::Platform, document)));
        // Kept, so that the agents' find its detectors compiled.
        let _own = compile(&layers).map_err(of_tenant)?;
        // Where the policies of several agents do not fit, each is put right before the next: one agent's new policy is held
        // up by no other's.
        let all = matches!(changed, None | Some(Layer::Tenant));
        let of_agents = self.all.iter().filter(|policy| policy.layer != Layer::Tenant);
        for policy in of_agents.filter(|policy| all || changed == Some(policy.layer)) {
            parse(policy)
                .and_then(|document| {
                    compile(&[layers.as_slice(), &[(CompileLayer::Agent, &document)]].concat())
                })
                .map_err(|misfit| blame(misfit, policy.layer, policy.agent.as_deref()))?;
        }
        Ok(())
    }
}

/// What to do where another document than the new one does not compile.
fn unfit(misfit: &Failure, agent: Option<&str>) -> Failure {
    let (whose, remedy) = match agent {
        Some(agent) => (
            format!("of agent {agent}"),
            format!(
                "`bulkhead policy apply FILE --agent {agent}`, or take it off with `bulkhead policy remove --agent {agent}`"
            ),
        ),
        None => ("of the tenant".to_owned(), "`bulkhead policy apply FILE`".to_owned()),
    };
    Failure::Usage(format!(
        "{misfit} (that is the policy {whose}, and nodes take all policies of a tenant or none: first put one in force there \
         that fits both before and after, with {remedy})"
    ))
}

/// Refuses a new document of the platform with which nodes would refuse a tenant that they take now.
pub(crate) async fn check_tenants(
    store: &Store,
    floor: Option<&PolicyDocument>,
    detectors: &DetectorCache,
    upstreams: &Reach,
    source: &str,
) -> Result<(), Failure> {
    // What cannot be read no node can take, so its successor makes nothing worse.
    let Ok(before) = system::platform_policy(store).await?.map(read_floor).transpose() else { return Ok(()) };
    for tenant in system::tenants(store).await? {
        let documents = Documents::read(&mut store.tenant(tenant.id).await?, upstreams).await?;
        let source = format!("{source}: tenant {}", tenant.name);
        let check = |floor| documents.check(floor, None, detectors, &source);
        // A tenant that nodes refuse anyway must not hold up the platform.
        if let Err(misfit) = check(floor)
            && check(before.as_ref()).is_ok()
        {
            return Err(misfit);
        }
    }
    Ok(())
}

/// The policy of the tenant that is named; of the platform where none is; an empty one where there is no database.
pub(crate) async fn of(tenant: &TenantArgs) -> Result<TenantPolicy, Failure> {
    let floor = if tenant.database.is_given()? { platform(&tenant.database).await? } else { None };
    let own = match tenant.given()? {
        Some(_) => document(&mut tenant.begin().await?, Layer::Tenant).await?,
        None => None,
    };
    let layers = [(CompileLayer::Platform, floor.as_ref()), (CompileLayer::Tenant, own.as_ref())];
    let layers: Vec<_> =
        layers.into_iter().filter_map(|(layer, document)| Some((layer, document?))).collect();
    policy_file::compile_layers(&layers, None, &Reach::Anywhere, "the policy in force")
}

/// The platform's document.
pub(crate) async fn platform(database: &DatabaseArgs) -> Result<Option<PolicyDocument>, Failure> {
    let store = database.connect(Role::Migrator).await?;
    let floor = system::platform_policy(&store).await?;
    store.close().await;
    floor.map(read_floor).transpose()
}

fn read_floor(policy: PlatformPolicy) -> Result<PolicyDocument, Failure> {
    parse(&policy.document, "the platform's policy")
}

/// The document of a tenant, or of one of its agents.
pub(crate) async fn document(tx: &mut TenantTx, layer: Layer) -> Result<Option<PolicyDocument>, Failure> {
    match tx.active_policy(layer).await? {
        Some(version) => parse(&tx.policy_document(version).await?, "the policy in force").map(Some),
        None => Ok(None),
    }
}

fn parse(text: &str, source: &str) -> Result<PolicyDocument, Failure> {
    // What is in force was judged when it was published.
    policy_file::parse(text, &Reach::Anywhere, source)
}
