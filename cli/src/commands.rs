//! The command line: one module per noun.

mod agent;
mod audit;
mod budget;
mod check;
mod credential;
mod data_key;
mod detectors;
mod dev;
mod key;
mod master_key;
mod migrate;
mod policy;
mod price;
mod proxy;
mod scan;
mod tenant;
mod trace;
mod wait;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Failure;
use crate::output::Format;

/// Bulkhead: a reverse proxy between your agents and their LLM providers, for many tenants.
#[derive(Debug, Parser)]
#[command(name = "bulkhead", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// Print JSON instead of tables and sentences
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Try it: a private PostgreSQL, a demo tenant, a demo model and the proxy
    Dev(dev::DevArgs),
    /// Run the proxy
    Proxy(proxy::ProxyArgs),
    /// Bring the database to this version's schema
    Migrate(migrate::MigrateArgs),
    /// Validate configuration and policy files, without a database
    Check(check::CheckArgs),
    /// List what can be detected
    Detectors(detectors::DetectorsArgs),
    /// Look for secrets and personal data in files, without a database
    ///
    /// Ends with 0 if nothing was found, 1 if something was, 2 if it could not be done.
    Scan(scan::ScanArgs),
    /// Tenants
    #[command(subcommand)]
    Tenant(tenant::TenantCommand),
    /// Agents: the programs of a tenant
    #[command(subcommand)]
    Agent(agent::AgentCommand),
    /// API keys of an agent
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Policies: what agents may do, send and spend
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Budgets: what is used, what is left
    #[command(subcommand)]
    Budget(budget::BudgetCommand),
    /// Prices: what models cost, and who says so
    #[command(subcommand)]
    Price(price::PriceCommand),
    /// Credentials for the providers
    #[command(subcommand)]
    Credential(credential::CredentialCommand),
    /// Data keys: what seals a tenant's originals
    #[command(subcommand)]
    DataKey(data_key::DataKeyCommand),
    /// The keys outside the database
    #[command(subcommand)]
    MasterKey(master_key::MasterKeyCommand),
    /// The audit trail: who changed what, and proof that nobody changed that
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Traces: what was asked, decided and paid
    #[command(subcommand)]
    Trace(trace::TraceCommand),
}

/// Does what the command line says.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let format = if arguments.json { Format::Machines } else { Format::People };
    match arguments.command {
        Command::Scan(args) => return scan::run(&args, format),
        Command::Audit(command) => return audit::run(command, format),
        Command::Detectors(args) => detectors::run(&args, format),
        Command::Dev(args) => dev::run(&args, format),
        Command::Proxy(args) => proxy::run(&args),
        Command::Migrate(args) => migrate::run(&args, format),
        Command::Check(args) => check::run(&args, format),
        Command::Tenant(command) => tenant::run(command, format),
        Command::Agent(command) => agent::run(command, format),
        Command::Key(command) => key::run(command, format),
        Command::Policy(command) => policy::run(command, format),
        Command::Budget(command) => budget::run(command, format),
        Command::Price(command) => price::run(command, format),
        Command::Credential(command) => credential::run(command, format),
        Command::DataKey(command) => data_key::run(command, format),
        Command::MasterKey(command) => master_key::run(command, format),
        Command::Trace(command) => trace::run(command, format),
    }?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::Arguments;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
