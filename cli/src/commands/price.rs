//! `bulkhead price`: what models cost, and who says so.

use bulkhead_policy::compile::{ModelPattern, PriceSource, TenantPolicy};
use bulkhead_policy::money::NanoUsd;
use bulkhead_policy::prices::{Price, PriceTable};
use clap::Subcommand;
use serde_json::{Value, json};

use crate::context::{TenantArgs, block_on};
use crate::failure::Failure;
use crate::output::{Format, Table, or_dash, print_list, print_one};
use crate::policy_in_force;

#[derive(Debug, Subcommand)]
pub(crate) enum PriceCommand {
    /// Show what a model costs, by the name that requests use
    ///
    /// For a tenant as its requests are charged; without one by the platform's policy, and without a database by the built-in
    /// table.
    Show {
        /// The model's name
        model: String,
        #[command(flatten)]
        tenant: TenantArgs,
    },
    /// List prices: those that policies state, then the built-in table
    List {
        /// Only models that fit; * stands for anything
        #[arg(default_value = "*", value_parser = pattern)]
        pattern: ModelPattern,
        #[command(flatten)]
        tenant: TenantArgs,
    },
}

fn pattern(text: &str) -> Result<ModelPattern, String> {
    ModelPattern::new(text).map_err(|error| format!("expected {error}"))
}

pub(crate) fn run(command: PriceCommand, format: Format) -> Result<(), Failure> {
    block_on(async {
        match command {
            PriceCommand::Show { model, tenant } => {
                show(&model, &policy_in_force::of(&tenant).await?, format)
            }
            PriceCommand::List { pattern, tenant } => {
                list(&pattern, &policy_in_force::of(&tenant).await?, format)
            }
        }
    })
}

fn show(model: &str, policy: &TenantPolicy, format: Format) -> Result<(), Failure> {
    let Some((price, source)) = policy.priced(model) else {
        return Err(Failure::failed(format!(
            "{model}: no known price; under a budget in usd its requests are refused, until `prices` or `unknown_price` of \
             a policy says what it costs"
        )));
    };
    let lines =
        parts(&price).map(|(name, nano)| format!("\n  {name:<22} {:>12}", NanoUsd::new(nano).to_string()));
    let ceiling = or_dash(price.max_output_tokens);
    let text = format!(
        "{model}: {source}\nUS dollars per million tokens:{}\nOutput tokens at most:   {ceiling:>12}",
        lines.concat()
    );
    print_one(format, &text, &describe(model, &price, source))
}

fn list(pattern: &ModelPattern, policy: &TenantPolicy, format: Format) -> Result<(), Failure> {
    let mut stated: Vec<(&str, Price, PriceSource)> = policy.stated_prices().collect();
    stated.sort_by_key(|(model, ..)| *model);
    let builtin = PriceTable::builtin().rows().map(|(model, price)| (model, price, PriceSource::Builtin));
    let fits = |model: &str| {
        let short = model.split_once('/').is_some_and(|(_, model)| pattern.matches(model));
        short || pattern.matches(model)
    };
    let mut table =
        Table::new(&["MODEL", "INPUT", "CACHED", "CACHE WRITE", "OUTPUT", "OUTPUT TOKENS", "FROM"]);
    let mut values: Vec<Value> = Vec::new();
    for (model, price, source) in stated.into_iter().chain(builtin).filter(|(model, ..)| fits(model)) {
        let usd = |nano| NanoUsd::new(nano).to_string();
        table.row([
            model.to_owned(),
            usd(price.input_nano_per_mtok),
            usd(price.cached_input_nano_per_mtok),
            usd(price.cache_write_nano_per_mtok),
            usd(price.output_nano_per_mtok),
            or_dash(price.max_output_tokens),
            source.to_string(),
        ]);
        values.push(describe(model, &price, source));
    }
    print_list(format, &table, &values)
}

/// Every part of a price with the name that people read.
fn parts(price: &Price) -> [(&'static str, u64); 7] {
    [
        ("input", price.input_nano_per_mtok),
        ("input from a cache", price.cached_input_nano_per_mtok),
        ("written to a cache", price.cache_write_nano_per_mtok),
        ("written for an hour", price.long_cache_write_nano_per_mtok),
        ("spoken input", price.audio_input_nano_per_mtok),
        ("output", price.output_nano_per_mtok),
        ("spoken output", price.audio_output_nano_per_mtok),
    ]
}

/// Dollars as text, because no float holds them, under the names that a policy uses.
fn describe(model: &str, price: &Price, source: PriceSource) -> Value {
    let usd = |nano| NanoUsd::new(nano).to_string();
    json!({
        "model": model, "source": source,
        "input_usd_per_mtok": usd(price.input_nano_per_mtok),
        "cached_input_usd_per_mtok": usd(price.cached_input_nano_per_mtok),
        "cache_write_usd_per_mtok": usd(price.cache_write_nano_per_mtok),
        "long_cache_write_usd_per_mtok": usd(price.long_cache_write_nano_per_mtok),
        "audio_input_usd_per_mtok": usd(price.audio_input_nano_per_mtok),
        "output_usd_per_mtok": usd(price.output_nano_per_mtok),
        "audio_output_usd_per_mtok": usd(price.audio_output_nano_per_mtok),
        "max_output_tokens": price.max_output_tokens,
    })
}
