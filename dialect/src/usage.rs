//! What a reply used, in one meaning for every provider.

use crate::json::Value;

/// Token counts of one request.
///
/// `input` counts every input token, cached ones included, and `output` counts every output token,
/// reasoning included, whatever the provider's own fields count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All input tokens.
    pub input: u64,
    /// Those of `input` that the provider read from its cache.
    pub cached_input: u64,
    /// Those of `input` that the provider wrote to its cache.
    pub cache_write: u64,
    /// Those of `cache_write` that it keeps for an hour.
    pub long_cache_write: u64,
    /// Those of `input` that were sound.
    pub audio_input: u64,
    /// All output tokens.
    pub output: u64,
    /// Those of `output` that were sound.
    pub audio_output: u64,
    /// Those of `output` that were reasoning.
    pub reasoning: u64,
}

/// More tokens than any reply has; a provider that says so is wrong.
const TOKENS_MAX: u64 = 1_000_000_000;

/// One member of a usage object.
///
/// What is no count makes the whole usage count as missing: read as 0 it would be free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Count {
    #[default]
    Missing,
    Tokens(u64),
    /// Negative, fractional, too large or no number.
    Unusable,
}

impl Count {
    fn read(of: Option<Value<'_, '_>>, name: &str) -> Self {
        let Some(count) = of.and_then(|of| of.get(name)).filter(|count| !count.is_null()) else {
            return Self::Missing;
        };
        count.as_u64().filter(|tokens| *tokens <= TOKENS_MAX).map_or(Self::Unusable, Self::Tokens)
    }

    fn or(self, other: Self) -> Self {
        if self == Self::Missing { other } else { self }
    }

    /// The sum; what is missing counts nothing, and what is unusable spoils it.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unusable, _) | (_, Self::Unusable) => Self::Unusable,
            (Self::Missing, count) | (count, Self::Missing) => count,
            (Self::Tokens(one), Self::Tokens(two)) => Self::Tokens(one.saturating_add(two)),
        }
    }

    fn tokens(self) -> Result<Option<u64>, Unusable> {
        match self {
            Self::Missing => Ok(None),
            Self::Tokens(tokens) => Ok(Some(tokens)),
            Self::Unusable => Err(Unusable),
        }
    }
}

/// A usage that says nothing, because a count in it is none.
struct Unusable;

/// The fields of Anthropic's usage seen so far. Each event repeats some of them, cumulatively.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AnthropicUsage {
    own: AnthropicCounts,
    /// What other passes over the conversation used, such as one that shortens it; it is not in `own`.
    beside: AnthropicCounts,
}

#[derive(Clone, Copy, Debug, Default)]
struct AnthropicCounts {
    input: Count,
    cache_read: Count,
    cache_write: Count,
    long_cache_write: Count,
    output: Count,
}

impl AnthropicUsage {
    /// Takes over what `usage` names and keeps the rest.
    pub(crate) fn merge(&mut self, usage: Value<'_, '_>) {
        self.own.merge(usage);
        let Some(passes) = usage.get("iterations").filter(|passes| !passes.is_null()) else { return };
        self.beside = AnthropicCounts::default();
        for pass in passes.items().filter(|pass| !pass.get("type").is_some_and(|kind| kind.is("message"))) {
            let mut counts = AnthropicCounts::default();
            counts.merge(pass);
            self.beside.add(counts);
        }
    }

    /// The counts, if there are any and all of them are usable.
    pub(crate) fn usage(self) -> Option<Usage> {
        let own = self.own.read().unwrap_or(None)?;
        match self.beside.read() {
            Ok(None) => Some(own),
            Ok(Some(beside)) => Some(own.and(beside)),
            Err(Unusable) => None,
        }
    }
}

impl AnthropicCounts {
    fn merge(&mut self, usage: Value<'_, '_>) {
        let count = |name| Count::read(Some(usage), name);
        self.input = count("input_tokens").or(self.input);
        self.cache_read = count("cache_read_input_tokens").or(self.cache_read);
        self.cache_write = count("cache_creation_input_tokens").or(self.cache_write);
        let long = Count::read(usage.get("cache_creation"), "ephemeral_1h_input_tokens");
        self.long_cache_write = long.or(self.long_cache_write);
        self.output = count("output_tokens").or(self.output);
    }

    fn add(&mut self, other: Self) {
        self.input = self.input.and(other.input);
        self.cache_read = self.cache_read.and(other.cache_read);
        self.cache_write = self.cache_write.and(other.cache_write);
        self.long_cache_write = self.long_cache_write.and(other.long_cache_write);
        self.output = self.output.and(other.output);
    }

    fn read(self) -> Result<Option<Usage>, Unusable> {
        let (input, output) = (self.input.tokens()?, self.output.tokens()?);
        let cached_input = self.cache_read.tokens()?.unwrap_or(0);
        let cache_write = self.cache_write.tokens()?.unwrap_or(0);
        let long_cache_write = self.long_cache_write.tokens()?.unwrap_or(0);
        if input.is_none() && output.is_none() {
            return Ok(None);
        }
        Ok(Some(Usage {
            // Anthropic's `input_tokens` leaves the cached ones out.
            input: input.unwrap_or(0).saturating_add(cached_input).saturating_add(cache_write),
            cached_input,
            cache_write,
            long_cache_write,
            output: output.unwrap_or(0),
            ..Usage::default()
        }))
    }
}

impl Usage {
    /// What two passes used together.
    fn and(self, other: Self) -> Self {
        let both = |part: fn(&Self) -> u64| part(&self).saturating_add(part(&other));
        Self {
            input: both(|usage| usage.input),
            cached_input: both(|usage| usage.cached_input),
            cache_write: both(|usage| usage.cache_write),
            long_cache_write: both(|usage| usage.long_cache_write),
            audio_input: both(|usage| usage.audio_input),
            output: both(|usage| usage.output),
            audio_output: both(|usage| usage.audio_output),
            reasoning: both(|usage| usage.reasoning),
        }
    }
}

/// Reads the `usage` of Chat Completions, Completions, Embeddings (`prompt_tokens`) and of
/// Responses (`input_tokens`); `None` if a count in it is unusable.
pub(crate) fn openai(usage: Value<'_, '_>) -> Option<Usage> {
    read_openai(usage).unwrap_or(None)
}

fn read_openai(usage: Value<'_, '_>) -> Result<Option<Usage>, Unusable> {
    let count = |name| Count::read(Some(usage), name).tokens();
    // Chat and Completions name the details after prompt and completion, Responses after input and output.
    let detail = |[chat, responses]: [&str; 2], name| -> Result<Option<u64>, Unusable> {
        let of = |of| Count::read(usage.get(of), name).tokens();
        Ok(of(chat)?.or(of(responses)?))
    };
    let of_input = ["prompt_tokens_details", "input_tokens_details"];
    let of_output = ["completion_tokens_details", "output_tokens_details"];
    let input = count("prompt_tokens")?.or(count("input_tokens")?);
    let output = count("completion_tokens")?.or(count("output_tokens")?);
    let total = count("total_tokens")?;
    // The latter is DeepSeek's name for it.
    let cached = detail(of_input, "cached_tokens")?.or(count("prompt_cache_hit_tokens")?);
    let cache_write = detail(of_input, "cache_write_tokens")?;
    let (audio_input, audio_output) = (detail(of_input, "audio_tokens")?, detail(of_output, "audio_tokens")?);
    let reasoning = detail(of_output, "reasoning_tokens")?;
    if input.is_none() && output.is_none() {
        return Ok(None);
    }
    let input = input.unwrap_or(0);
    // Some compatible providers leave reasoning out of the completion and count it in the total.
    let rest = total.unwrap_or(0).saturating_sub(input);
    Ok(Some(Usage {
        input,
        cached_input: cached.unwrap_or(0),
        cache_write: cache_write.unwrap_or(0),
        long_cache_write: 0,
        audio_input: audio_input.unwrap_or(0),
        output: output.unwrap_or(0).max(rest),
        audio_output: audio_output.unwrap_or(0),
        reasoning: reasoning.unwrap_or(0),
    }))
}

/// Reads Gemini's `usageMetadata`; `None` if a count in it is unusable.
pub(crate) fn gemini(usage: Value<'_, '_>) -> Option<Usage> {
    read_gemini(usage).unwrap_or(None)
}

fn read_gemini(usage: Value<'_, '_>) -> Result<Option<Usage>, Unusable> {
    let count = |name| Count::read(Some(usage), name).tokens();
    let (prompt, candidates) = (count("promptTokenCount")?, count("candidatesTokenCount")?);
    let (thoughts, tools) = (count("thoughtsTokenCount")?, count("toolUsePromptTokenCount")?);
    let cached_input = count("cachedContentTokenCount")?.unwrap_or(0);
    let total = count("totalTokenCount")?;
    if [prompt, candidates, thoughts].iter().all(Option::is_none) {
        return Ok(None);
    }
    // The cached part is counted in the prompt; what the provider's own tools read is not.
    let input = prompt.unwrap_or(0).saturating_add(tools.unwrap_or(0));
    let (candidates, reasoning) = (candidates.unwrap_or(0), thoughts.unwrap_or(0));
    let apart = candidates.saturating_add(reasoning);
    let output = match total.and_then(|total| total.checked_sub(input)) {
        // Some compatible providers count the thoughts among the candidates.
        Some(rest) if rest == candidates => candidates.max(reasoning),
        rest => apart.max(rest.unwrap_or(0)),
    };
    let audio_input =
        spoken(usage, "promptTokensDetails")?.saturating_add(spoken(usage, "toolUsePromptTokensDetails")?);
    let audio_output = spoken(usage, "candidatesTokensDetails")?;
    Ok(Some(Usage { input, cached_input, audio_input, output, audio_output, reasoning, ..Usage::default() }))
}

/// The sound among the tokens that one of Gemini's lists tells apart by their modality.
fn spoken(usage: Value<'_, '_>, list: &str) -> Result<u64, Unusable> {
    let details = usage.get(list).into_iter().flat_map(|list| list.items());
    let mut spoken =
        details.filter(|detail| detail.get("modality").is_some_and(|modality| modality.is("AUDIO")));
    spoken.try_fold(0u64, |sum, detail| {
        Ok(sum.saturating_add(Count::read(Some(detail), "tokenCount").tokens()?.unwrap_or(0)))
    })
}

/// Reads Gemini's answer to `:countTokens`, which is the count itself.
pub(crate) fn gemini_count(reply: Value<'_, '_>) -> Option<Usage> {
    let count = |name| Count::read(Some(reply), name).tokens().ok();
    let (input, cached) = (count("totalTokens")??, count("cachedContentTokenCount")?);
    Some(Usage { input, cached_input: cached.unwrap_or(0), ..Usage::default() })
}

#[cfg(test)]
mod tests;
