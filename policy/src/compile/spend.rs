//! Budgets and prices of all layers.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU64;

use chrono_tz::Tz;
use serde::Serialize;

use super::{CompileError, Layer, Layers, ModelPattern, refuse};
use crate::document::{BudgetDocument, Decimal, DocumentError, PriceDocument, UnknownPrice, budget_limit};
use crate::ids::BudgetId;
use crate::ledger::{BudgetScope, BudgetSpec};
use crate::prices::{Price, PriceTable, Stated};

/// What to do with a model that has no price.
#[derive(Debug, Clone, Copy)]
enum UnknownModel {
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
    let models: Result<Vec<ModelPattern>, DocumentError> = budget
        .models
        .iter()
        .flatten()
        .enumerate()
        .map(|(at, model)| {
            ModelPattern::new(model).map_err(|error| {
                DocumentError::found(format!("{path}.models[{at}]"), format!("{model:?}"), error)
            })
        })
        .collect();
    let mut alert_at: Vec<u64> = budget.alert_at.iter().map(|part| part_of(limit, *part)).collect();
    alert_at.sort_unstable();
    alert_at.dedup();
    let BudgetDocument { scope, unit, window, at_limit, when_unreachable, .. } = *budget;
    let when_unreachable = when_unreachable.unwrap_or_default();
    let models = models?;
    Ok(BudgetSpec { id, scope, unit, limit, window, time_zone, models, at_limit, when_unreachable, alert_at })
}

/// Returns a part of a limit, exact to a millionth of it, at least 1.
fn part_of(limit: u64, part: f64) -> u64 {
    const MILLION: f64 = 1_000_000.0;
    // Checked to lie above 0 up to 1, so the rounded number of millionths has at most seven digits.
    let millionths: u64 = format!("{:.0}", (part * MILLION).clamp(0.0, MILLION)).parse().unwrap_or(1_000_000);
    let amount = u128::from(limit) * u128::from(millionths) / 1_000_000;
    u64::try_from(amount).unwrap_or(limit).max(1)
}

/// What the models cost that a policy's requests name.
#[derive(Debug)]
pub(super) struct Prices {
    stated: HashMap<Box<str>, (Price, PriceSource)>,
    unknown: UnknownModel,
}

/// Where a price was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PriceSource {
    /// The platform's policy.
    Platform,
    /// The tenant's policy.
    Tenant,
    /// The table that is compiled in.
    Builtin,
    /// `unknown_price`: nobody has named one.
    Assumed,
}

impl fmt::Display for PriceSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Platform => "platform policy",
            Self::Tenant => "tenant policy",
            Self::Builtin => "built in",
            Self::Assumed => "assumed by unknown_price",
        })
    }
}

impl Prices {
    /// Takes the prices that documents state; the platform's word on a model counts before the tenant's, or budgets of the
    /// platform would be worth what the tenant says.
    pub(super) fn of(layers: &Layers<'_>) -> Result<Self, CompileError> {
        if layers.get(Layer::Agent).is_some_and(|document| !document.prices.is_empty()) {
            let message = "not part of the agent policy; state it in the tenant's";
            return Err(refuse(Layer::Agent, DocumentError::new("prices", message)));
        }
        let mut all = HashMap::new();
        for (layer, source) in
            [(Layer::Tenant, PriceSource::Tenant), (Layer::Platform, PriceSource::Platform)]
        {
            let stated = layers.get(layer).into_iter().flat_map(|document| &document.prices);
            all.extend(
                stated.map(|(model, price)| {
                    (model.as_str().into(), (compile_price(Some(model), price), source))
                }),
            );
        }
        Ok(Self { stated: all, unknown: unknown_model(layers) })
    }

    pub(super) fn stated(&self) -> impl Iterator<Item = (&str, Price, PriceSource)> {
        self.stated.iter().map(|(model, (price, source))| (&**model, *price, *source))
    }

    pub(super) fn find(&self, model: &str) -> Option<(Price, PriceSource)> {
        let builtin = || PriceTable::builtin().lookup(model).map(|price| (*price, PriceSource::Builtin));
        self.stated.get(model).copied().or_else(builtin).or(match self.unknown {
            UnknownModel::Refuse => None,
            UnknownModel::Assume(price) => Some((price, PriceSource::Assumed)),
        })
    }
}

fn unknown_model(layers: &Layers<'_>) -> UnknownModel {
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
