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
    /// All output tokens.
    pub output: u64,
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
    input: Count,
    cache_read: Count,
    cache_write: Count,
    output: Count,
}

impl AnthropicUsage {
    /// Takes over what `usage` names and keeps the rest.
    pub(crate) fn merge(&mut self, usage: Value<'_, '_>) {
        let count = |name| Count::read(Some(usage), name);
        self.input = count("input_tokens").or(self.input);
        self.cache_read = count("cache_read_input_tokens").or(self.cache_read);
        self.cache_write = count("cache_creation_input_tokens").or(self.cache_write);
        self.output = count("output_tokens").or(self.output);
    }

    /// The counts, if there are any and all of them are usable.
    pub(crate) fn usage(self) -> Option<Usage> {
        self.read().unwrap_or(None)
    }

    fn read(self) -> Result<Option<Usage>, Unusable> {
        let (input, output) = (self.input.tokens()?, self.output.tokens()?);
        let cached_input = self.cache_read.tokens()?.unwrap_or(0);
        let cache_write = self.cache_write.tokens()?.unwrap_or(0);
        if input.is_none() && output.is_none() {
            return Ok(None);
        }
        Ok(Some(Usage {
            // Anthropic's `input_tokens` leaves the cached ones out.
            input: input.unwrap_or(0).saturating_add(cached_input).saturating_add(cache_write),
            cached_input,
            cache_write,
            output: output.unwrap_or(0),
            reasoning: 0,
        }))
    }
}

/// Reads the `usage` of Chat Completions, Completions, Embeddings (`prompt_tokens`) and of
/// Responses (`input_tokens`); `None` if a count in it is unusable.
pub(crate) fn openai(usage: Value<'_, '_>) -> Option<Usage> {
    read_openai(usage).unwrap_or(None)
}

fn read_openai(usage: Value<'_, '_>) -> Result<Option<Usage>, Unusable> {
    let count = |name| Count::read(Some(usage), name).tokens();
    let detail = |of, name| Count::read(usage.get(of), name).tokens();
    let input = count("prompt_tokens")?.or(count("input_tokens")?);
    let output = count("completion_tokens")?.or(count("output_tokens")?);
    let total = count("total_tokens")?;
    let cached = detail("prompt_tokens_details", "cached_tokens")?;
    let cached = cached.or(detail("input_tokens_details", "cached_tokens")?);
    let reasoning = detail("completion_tokens_details", "reasoning_tokens")?;
    let reasoning = reasoning.or(detail("output_tokens_details", "reasoning_tokens")?);
    if input.is_none() && output.is_none() {
        return Ok(None);
    }
    let input = input.unwrap_or(0);
    // Some compatible providers leave reasoning out of the completion and count it in the total.
    let rest = total.unwrap_or(0).saturating_sub(input);
    Ok(Some(Usage {
        input,
        cached_input: cached.unwrap_or(0),
        cache_write: 0,
        output: output.unwrap_or(0).max(rest),
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
    Ok(Some(Usage { input, cached_input, cache_write: 0, output, reasoning }))
}

/// Reads Gemini's answer to `:countTokens`, which is the count itself.
pub(crate) fn gemini_count(reply: Value<'_, '_>) -> Option<Usage> {
    let count = |name| Count::read(Some(reply), name).tokens().ok();
    let (input, cached) = (count("totalTokens")??, count("cachedContentTokenCount")?);
    Some(Usage { input, cached_input: cached.unwrap_or(0), ..Usage::default() })
}

#[cfg(test)]
mod tests;
