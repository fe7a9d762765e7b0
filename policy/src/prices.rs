//! What models cost: the product's own table, tenants' overrides, and sums that round up.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::money::NanoUsd;

/// Prices of one model, in nano-dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// Input that came from no cache.
    pub input_nano_per_mtok: u64,
    /// Input read from the provider's cache.
    pub cached_input_nano_per_mtok: u64,
    /// Input written to the provider's cache.
    pub cache_write_nano_per_mtok: u64,
    /// Output, reasoning included.
    pub output_nano_per_mtok: u64,
    /// The most output tokens that the model gives, where known.
    pub max_output_tokens: Option<u64>,
}

/// Tokens of one request, as a price counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenCounts {
    /// All input, with `cached_input` and `cache_write`.
    pub input: u64,
    /// The part of `input` read from a cache.
    pub cached_input: u64,
    /// The part of `input` written to a cache.
    pub cache_write: u64,
    /// All output.
    pub output: u64,
}

const TOKENS_PER_MTOK: u128 = 1_000_000;

/// Returns what `tokens` cost, rounded up to a whole nano-dollar once, over the sum.
///
/// ```
/// use bulkhead_policy::money::NanoUsd;
/// use bulkhead_policy::prices::{PriceTable, TokenCounts, cost};
/// let price = PriceTable::builtin().lookup("gpt-4o-mini").unwrap();   // 0.15 in, 0.6 out per million
/// let tokens = TokenCounts { input: 1_000, output: 500, ..TokenCounts::default() };
/// assert_eq!(cost(price, &tokens), NanoUsd::new(450_000));
/// ```
#[must_use]
pub fn cost(price: &Price, tokens: &TokenCounts) -> NanoUsd {
    let plain = tokens.input.saturating_sub(tokens.cached_input.saturating_add(tokens.cache_write));
    sum(&[
        (plain, price.input_nano_per_mtok),
        (tokens.cached_input, price.cached_input_nano_per_mtok),
        (tokens.cache_write, price.cache_write_nano_per_mtok),
        (tokens.output, price.output_nano_per_mtok),
    ])
}

impl Price {
    /// Returns the most that so many tokens can cost, whatever the provider's cache does.
    #[must_use]
    pub fn worst_case(&self, input_tokens: u64, output_tokens: u64) -> NanoUsd {
        sum(&[(input_tokens, self.dearest_input()), (output_tokens, self.output_nano_per_mtok)])
    }

    /// Returns how many output tokens `money` buys after the dearest case for the input; `None`: any number,
    /// they are free.
    ///
    /// ```
    /// use bulkhead_policy::money::NanoUsd;
    /// use bulkhead_policy::prices::PriceTable;
    /// let price = PriceTable::builtin().lookup("gpt-4o-mini").unwrap();
    /// let tokens = price.affordable_output(NanoUsd::new(450_000), 1_000).unwrap();
    /// assert_eq!(tokens, 500);
    /// assert!(price.worst_case(1_000, tokens) <= NanoUsd::new(450_000));
    /// ```
    #[must_use]
    pub fn affordable_output(&self, money: NanoUsd, input_tokens: u64) -> Option<u64> {
        let total = u128::from(money.get()) * TOKENS_PER_MTOK;
        let left = total.saturating_sub(u128::from(input_tokens) * u128::from(self.dearest_input()));
        let tokens = left.checked_div(u128::from(self.output_nano_per_mtok))?;
        Some(u64::try_from(tokens).unwrap_or(u64::MAX))
    }

    fn dearest_input(&self) -> u64 {
        self.input_nano_per_mtok.max(self.cached_input_nano_per_mtok).max(self.cache_write_nano_per_mtok)
    }

    /// Returns a price that is at least either in every part.
    #[must_use]
    pub fn dearer(&self, other: &Self) -> Self {
        Self {
            input_nano_per_mtok: self.input_nano_per_mtok.max(other.input_nano_per_mtok),
            cached_input_nano_per_mtok: self.cached_input_nano_per_mtok.max(other.cached_input_nano_per_mtok),
            cache_write_nano_per_mtok: self.cache_write_nano_per_mtok.max(other.cache_write_nano_per_mtok),
            output_nano_per_mtok: self.output_nano_per_mtok.max(other.output_nano_per_mtok),
            max_output_tokens: self.max_output_tokens.max(other.max_output_tokens),
        }
    }
}

/// Four products of two 64-bit numbers cannot overflow 128 bits; beyond the largest amount the sum stays
/// there.
fn sum(parts: &[(u64, u64)]) -> NanoUsd {
    let total = parts.iter().fold(0u128, |total, (tokens, nano_per_mtok)| {
        total.saturating_add(u128::from(*tokens) * u128::from(*nano_per_mtok))
    });
    NanoUsd::new(u64::try_from(total.div_ceil(TOKENS_PER_MTOK)).unwrap_or(u64::MAX))
}

/// Prices by model name.
#[derive(Debug)]
pub struct PriceTable {
    /// By full name and by the part behind the last `/`; where several providers meet, the dearest.
    models: HashMap<Box<str>, Price>,
    /// By `provider/model`.
    providers: HashMap<Box<str>, Price>,
}

static BUILTIN: LazyLock<PriceTable> = LazyLock::new(|| PriceTable::read(include_str!("../prices.tsv")));

impl PriceTable {
    /// Returns the table that is compiled in.
    #[must_use]
    pub fn builtin() -> &'static Self {
        &BUILTIN
    }

    fn read(text: &str) -> Self {
        let mut table = Self { models: HashMap::new(), providers: HashMap::new() };
        for line in text.lines().filter(|line| !line.starts_with('#')).skip(1) {
            let row = read_row(line);
            debug_assert!(row.is_some(), "price row {line:?}");
            let Some((provider, model, price)) = row else { continue };
            table.providers.insert(format!("{provider}/{model}").into(), price);
            table.add(model, &price);
            if let Some((_, short)) = model.rsplit_once('/') {
                table.add(short, &price);
            }
        }
        table
    }

    fn add(&mut self, model: &str, price: &Price) {
        self.models.entry(model.into()).and_modify(|known| *known = known.dearer(price)).or_insert(*price);
    }

    /// Finds the price of a model as a caller names it.
    ///
    /// Tried in order: the name; `provider/model`; the part behind the last `/`; the base of a fine-tuned
    /// model (`ft:base:..`); then the same without a date at the end (`-2025-08-07`, `-20250807`). Of several
    /// providers the dearest counts.
    ///
    /// ```
    /// use bulkhead_policy::prices::PriceTable;
    /// let prices = PriceTable::builtin();
    /// assert_eq!(prices.lookup("gpt-4o-2099-01-01"), prices.lookup("gpt-4o"));
    /// assert_eq!(prices.lookup("openai/gpt-4o"), prices.lookup("gpt-4o"));
    /// assert_eq!(prices.lookup("no-such-model"), None);
    /// ```
    #[must_use]
    pub fn lookup(&self, model: &str) -> Option<&Price> {
        let undated = without_date(model);
        self.find(model).or_else(|| undated.and_then(|undated| self.find(undated)))
    }

    fn find(&self, model: &str) -> Option<&Price> {
        let named = |name: &str| self.models.get(name).or_else(|| self.providers.get(name));
        let short = || model.rsplit_once('/').and_then(|(_, short)| self.models.get(short));
        let base = || tuned_base(model).and_then(|base| named(base).or_else(|| named(without_date(base)?)));
        named(model).or_else(short).or_else(base)
    }
}

fn read_row(line: &str) -> Option<(&str, &str, Price)> {
    let mut fields = line.split('\t');
    let mut next = || fields.next();
    let (provider, model) = (next()?, next()?);
    let input = nano(next()?)?;
    let mut or_input = || match fields.next()? {
        "" => Some(input),
        text => nano(text),
    };
    let (cached_input, cache_write) = (or_input()?, or_input()?);
    let output = nano(fields.next()?)?;
    let max_output_tokens = match fields.next()? {
        "" => None,
        text => Some(text.parse().ok()?),
    };
    let price = Price {
        input_nano_per_mtok: input,
        cached_input_nano_per_mtok: cached_input,
        cache_write_nano_per_mtok: cache_write,
        output_nano_per_mtok: output,
        max_output_tokens,
    };
    Some((provider, model, price))
}

fn nano(text: &str) -> Option<u64> {
    text.parse().ok().map(NanoUsd::get)
}

/// Returns `ft:base` of `ft:base:organisation:name:id`.
fn tuned_base(model: &str) -> Option<&str> {
    let rest = model.strip_prefix("ft:")?;
    let (base, _) = rest.split_once(':')?;
    model.get(.."ft:".len() + base.len())
}

/// Returns the name before a date at its end; `None` if there is no date.
fn without_date(model: &str) -> Option<&str> {
    let digits =
        |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let (rest, last) = model.rsplit_once('-')?;
    if digits(last, 8) {
        return Some(rest);
    }
    let (rest, month) = rest.rsplit_once('-')?;
    let (rest, year) = rest.rsplit_once('-')?;
    (digits(last, 2) && digits(month, 2) && digits(year, 4)).then_some(rest)
}

#[cfg(test)]
mod tests;
