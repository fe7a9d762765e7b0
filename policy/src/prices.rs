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
    /// Input written to a cache that keeps it for an hour.
    pub long_cache_write_nano_per_mtok: u64,
    /// Spoken input, whether or not it came from a cache.
    pub audio_input_nano_per_mtok: u64,
    /// Output, reasoning included.
    pub output_nano_per_mtok: u64,
    /// Spoken output.
    pub audio_output_nano_per_mtok: u64,
    /// The most output tokens that the model gives, where known.
    pub max_output_tokens: Option<u64>,
}

/// What a price list says of a model, in nano-dollars per million tokens; [`Price::of`] fills in the rest.
///
/// - Reading from a cache and writing to it cost what input costs.
/// - Writing for an hour costs twice the input where writing costs more than input (Anthropic's rule), else what writing
///   costs.
/// - Sound costs [`AUDIO_TIMES`] what text costs: more than at any model of the built-in table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "named as the fields of `Price`")]
pub struct Stated {
    pub input: u64,
    pub output: u64,
    pub cached_input: Option<u64>,
    pub cache_write: Option<u64>,
    pub long_cache_write: Option<u64>,
    pub audio_input: Option<u64>,
    pub audio_output: Option<u64>,
    pub max_output_tokens: Option<u64>,
}

/// How many times the price of text sound costs where nobody says. Models that mainly read text take 3 to 7 times for
/// it; those made for sound take more, and are not in the built-in table.
pub const AUDIO_TIMES: u64 = 8;

/// Tokens of one request, as a price counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenCounts {
    /// All input, with `cached_input`, `cache_write` and `audio_input`.
    pub input: u64,
    /// The part of `input` read from a cache.
    pub cached_input: u64,
    /// The part of `input` written to a cache.
    pub cache_write: u64,
    /// The part of `cache_write` that is kept for an hour.
    pub long_cache_write: u64,
    /// The part of `input` that was sound.
    pub audio_input: u64,
    /// All output, with `audio_output`.
    pub output: u64,
    /// The part of `output` that was sound.
    pub audio_output: u64,
}

const TOKENS_PER_MTOK: u128 = 1_000_000;

/// Returns what `tokens` cost, rounded up to a whole nano-dollar once, over the sum.
///
/// Sound that came from a cache counts as sound.
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
    let TokenCounts { input, cached_input, cache_write, audio_input, output, audio_output, .. } = *tokens;
    let parts = cached_input.saturating_add(cache_write).saturating_add(audio_input);
    // Parts that come to more than the whole overlap: some of the sound was cached.
    let cached_sound = parts.saturating_sub(input).min(audio_input);
    let long = tokens.long_cache_write.min(cache_write);
    sum(&[
        (input.saturating_sub(parts), price.input_nano_per_mtok),
        (cached_input.saturating_sub(cached_sound), price.cached_input_nano_per_mtok),
        (cache_write - long, price.cache_write_nano_per_mtok),
        (long, price.long_cache_write_nano_per_mtok),
        (audio_input, price.audio_input_nano_per_mtok),
        (output.saturating_sub(audio_output), price.output_nano_per_mtok),
        (audio_output, price.audio_output_nano_per_mtok),
    ])
}

impl Price {
    /// Completes what a price list says.
    ///
    /// ```
    /// use bulkhead_policy::prices::{Price, Stated};
    /// let price = Price::of(&Stated { input: 3, output: 15, cache_write: Some(4), ..Stated::default() });
    /// assert_eq!((price.cached_input_nano_per_mtok, price.long_cache_write_nano_per_mtok), (3, 6));
    /// assert_eq!((price.audio_input_nano_per_mtok, price.audio_output_nano_per_mtok), (24, 120));
    /// ```
    #[must_use]
    pub fn of(stated: &Stated) -> Self {
        let Stated { input, output, .. } = *stated;
        let cache_write = stated.cache_write.unwrap_or(input);
        let long = if cache_write > input { cache_write.max(input.saturating_mul(2)) } else { cache_write };
        Self {
            input_nano_per_mtok: input,
            cached_input_nano_per_mtok: stated.cached_input.unwrap_or(input),
            cache_write_nano_per_mtok: cache_write,
            long_cache_write_nano_per_mtok: stated.long_cache_write.unwrap_or(long),
            audio_input_nano_per_mtok: stated.audio_input.unwrap_or(input.saturating_mul(AUDIO_TIMES)),
            output_nano_per_mtok: output,
            audio_output_nano_per_mtok: stated.audio_output.unwrap_or(output.saturating_mul(AUDIO_TIMES)),
            max_output_tokens: stated.max_output_tokens,
        }
    }

    /// Returns the most that a token of such a request can cost, whatever the provider's cache does.
    #[must_use]
    pub fn dearest(&self, asked: Asked) -> DearestPrice {
        let when = |asked: bool, price: u64| if asked { price } else { 0 };
        let input = [
            self.input_nano_per_mtok,
            self.cached_input_nano_per_mtok,
            self.cache_write_nano_per_mtok,
            when(asked.long_cache, self.long_cache_write_nano_per_mtok),
            when(asked.audio_input, self.audio_input_nano_per_mtok),
        ];
        let output = self.output_nano_per_mtok.max(when(asked.audio_output, self.audio_output_nano_per_mtok));
        DearestPrice {
            input_nano_per_mtok: input.into_iter().fold(0, u64::max),
            output_nano_per_mtok: output,
        }
    }

    /// Returns a price that is at least either in every part.
    #[must_use]
    pub fn dearer(&self, other: &Self) -> Self {
        let dearer = |part: fn(&Self) -> u64| part(self).max(part(other));
        Self {
            input_nano_per_mtok: dearer(|price| price.input_nano_per_mtok),
            cached_input_nano_per_mtok: dearer(|price| price.cached_input_nano_per_mtok),
            cache_write_nano_per_mtok: dearer(|price| price.cache_write_nano_per_mtok),
            long_cache_write_nano_per_mtok: dearer(|price| price.long_cache_write_nano_per_mtok),
            audio_input_nano_per_mtok: dearer(|price| price.audio_input_nano_per_mtok),
            output_nano_per_mtok: dearer(|price| price.output_nano_per_mtok),
            audio_output_nano_per_mtok: dearer(|price| price.audio_output_nano_per_mtok),
            max_output_tokens: self.max_output_tokens.max(other.max_output_tokens),
        }
    }
}

/// What a request asks for that has a price of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// It carries sound.
    pub audio_input: bool,
    /// It wants sound.
    pub audio_output: bool,
    /// It wants a cache that keeps for an hour.
    pub long_cache: bool,
}

/// The most that a token of one request can cost, in nano-dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DearestPrice {
    input_nano_per_mtok: u64,
    output_nano_per_mtok: u64,
}

impl DearestPrice {
    /// Returns the most that so many tokens can cost.
    #[must_use]
    pub fn worst_case(&self, input_tokens: u64, output_tokens: u64) -> NanoUsd {
        sum(&[(input_tokens, self.input_nano_per_mtok), (output_tokens, self.output_nano_per_mtok)])
    }

    /// Returns how many output tokens `money` buys after the dearest case for the input; `None`: any number,
    /// they are free.
    ///
    /// ```
    /// use bulkhead_policy::money::NanoUsd;
    /// use bulkhead_policy::prices::{Asked, PriceTable};
    /// let price = PriceTable::builtin().lookup("gpt-4o-mini").unwrap().dearest(Asked::default());
    /// let tokens = price.affordable_output(NanoUsd::new(450_000), 1_000).unwrap();
    /// assert_eq!(tokens, 500);
    /// assert!(price.worst_case(1_000, tokens) <= NanoUsd::new(450_000));
    /// ```
    #[must_use]
    pub fn affordable_output(&self, money: NanoUsd, input_tokens: u64) -> Option<u64> {
        let total = u128::from(money.get()) * TOKENS_PER_MTOK;
        let left = total.saturating_sub(u128::from(input_tokens) * u128::from(self.input_nano_per_mtok));
        let tokens = left.checked_div(u128::from(self.output_nano_per_mtok))?;
        Some(u64::try_from(tokens).unwrap_or(u64::MAX))
    }
}

/// A product of two 64-bit numbers cannot overflow 128 bits; beyond the largest amount the sum stays there.
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

    /// Returns every row, `provider/model` with its price, ordered by name.
    pub fn rows(&self) -> impl Iterator<Item = (&str, Price)> {
        let mut rows: Vec<(&str, Price)> =
            self.providers.iter().map(|(model, price)| (&**model, *price)).collect();
        rows.sort_unstable_by_key(|(model, _)| *model);
        rows.into_iter()
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
    let mut stated = || match fields.next()? {
        "" => Some(None),
        text => nano(text).map(Some),
    };
    let (cached_input, cache_write) = (stated()?, stated()?);
    let output = nano(fields.next()?)?;
    let max_output_tokens = match fields.next()? {
        "" => None,
        text => Some(text.parse().ok()?),
    };
    let stated = Stated { input, output, cached_input, cache_write, max_output_tokens, ..Stated::default() };
    let price = Price::of(&stated);
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
