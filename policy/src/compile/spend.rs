//! Budgets and prices of all layers.

use std::collections::HashMap;
use std::num::NonZeroU64;

use chrono_tz::Tz;

use super::{CompileError, Layer, Layers, refuse};
use crate::document::{BudgetDocument, Decimal, DocumentError, PriceDocument, UnknownPrice, budget_limit};
use crate::ids::BudgetId;
use crate::ledger::{BudgetScope, BudgetSpec};
use crate::prices::{Price, PriceTable, Stated};

/// What to do with a model that has no price.
#[derive(Debug, Clone, Copy)]
pub(super) enum UnknownModel {
    Refuse,
    Assume(Price),
}

pub(super) fn budgets(layers: &Layers<'_>) -> Result<Vec<BudgetSpec>, CompileError> {
    let all = layers.0.iter().flat_map(|(layer, document)| {
        let numbered = document.budgets.iter().enumerate();
        numbered.map(|(index, budget)| {
            compile_budget(*layer, &format!("budgets[{index}]"), budget)
                .map_err(|error| refuse(*layer, error))
        })
    });
    all.collect()
}

fn compile_budget(layer: Layer, path: &str, budget: &BudgetDocument) -> Result<BudgetSpec, DocumentError> {
    let limit = budget_limit(budget)
        .filter(|limit| *limit > 0)
        .ok_or_else(|| DocumentError::new(format!("{path}.limit"), "expected more than 0"))?;
    let zone = budget.time_zone.as_deref().unwrap_or("UTC");
    let time_zone: Tz = zone.parse().map_err(|_| {
        DocumentError::found(format!("{path}.time_zone"), format!("{zone:?}"), "an IANA time zone")
    })?;
    if layer == Layer::Agent && budget.scope == BudgetScope::Tenant {
        let expected = "agent or key; a budget over the tenant belongs into the tenant's policy";
        return Err(DocumentError::found(format!("{path}.scope"), "tenant", expected));
    }
    let id = match layer {
        Layer::Tenant => BudgetId::new(&budget.id),
        Layer::Platform | Layer::Agent => BudgetId::new(&format!("{layer}:{}", budget.id)),
    };
    let mut alert_at: Vec<u64> = budget.alert_at.iter().map(|part| part_of(limit, *part)).collect();
    alert_at.sort_unstable();
    alert_at.dedup();
    let BudgetDocument { scope, unit, window, at_limit, when_unreachable, .. } = *budget;
    let when_unreachable = when_unreachable.unwrap_or_default();
    Ok(BudgetSpec { id, scope, unit, limit, window, time_zone, at_limit, when_unreachable, alert_at })
}

/// Returns a part of a limit, exact to a millionth of it, at least 1.
fn part_of(limit: u64, part: f64) -> u64 {
    const MILLION: f64 = 1_000_000.0;
    // Checked to lie above 0 up to 1, so the rounded number of millionths has at most seven digits.
    let millionths: u64 = format!("{:.0}", (part * MILLION).clamp(0.0, MILLION)).parse().unwrap_or(1_000_000);
    let amount = u128::from(limit) * u128::from(millionths) / 1_000_000;
    u64::try_from(amount).unwrap_or(limit).max(1)
}

/// Returns stated prices; the platform's word on a model counts before the tenant's, or budgets of the
/// platform would be worth what the tenant says.
pub(super) fn prices(layers: &Layers<'_>) -> Result<HashMap<Box<str>, Price>, CompileError> {
    if layers.get(Layer::Agent).is_some_and(|document| !document.prices.is_empty()) {
        let message = "not part of the agent policy; state it in the tenant's";
        return Err(refuse(Layer::Agent, DocumentError::new("prices", message)));
    }
    let mut prices = HashMap::new();
    for layer in [Layer::Tenant, Layer::Platform] {
        let stated = layers.get(layer).into_iter().flat_map(|document| &document.prices);
        prices
            .extend(stated.map(|(model, price)| (model.as_str().into(), compile_price(Some(model), price))));
    }
    Ok(prices)
}

pub(super) fn unknown_model(layers: &Layers<'_>) -> UnknownModel {
    let mut assumed: Option<Price> = None;
    for stated in layers.each(|document| document.unknown_price.as_ref()) {
        match stated {
            UnknownPrice::Refuse => return UnknownModel::Refuse,
            UnknownPrice::Assume(price) => {
                let price = compile_price(None, price);
                assumed = Some(assumed.map_or(price, |known| known.dearer(&price)));
            }
        }
    }
    assumed.map_or(UnknownModel::Refuse, UnknownModel::Assume)
}

fn compile_price(model: Option<&str>, price: &PriceDocument) -> Price {
    let nano = |price: Option<Decimal>| price.map(|Decimal(price)| price.get());
    let ceiling = || {
        model.and_then(|model| PriceTable::builtin().lookup(model)).and_then(|known| known.max_output_tokens)
    };
    Price::of(&Stated {
        input: price.input_usd_per_mtok.0.get(),
        output: price.output_usd_per_mtok.0.get(),
        cached_input: nano(price.cached_input_usd_per_mtok),
        cache_write: nano(price.cache_write_usd_per_mtok),
        long_cache_write: nano(price.long_cache_write_usd_per_mtok),
        audio_input: nano(price.audio_input_usd_per_mtok),
        audio_output: nano(price.audio_output_usd_per_mtok),
        max_output_tokens: price.max_output_tokens.map(NonZeroU64::get).or_else(ceiling),
    })
}
