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

/// The fields of Anthropic's usage seen so far. Each event repeats some of them, cumulatively.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AnthropicUsage {
    input: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    output: Option<u64>,
}

impl AnthropicUsage {
    /// Takes over what `usage` names and keeps the rest.
    pub(crate) fn merge(&mut self, usage: Value<'_, '_>) {
        let count = |name| usage.get(name).and_then(|count| count.as_u64());
        self.input = count("input_tokens").or(self.input);
        self.cache_read = count("cache_read_input_tokens").or(self.cache_read);
        self.cache_write = count("cache_creation_input_tokens").or(self.cache_write);
        self.output = count("output_tokens").or(self.output);
    }

    /// The counts, if there are any.
    pub(crate) fn usage(self) -> Option<Usage> {
        if self.input.is_none() && self.output.is_none() {
            return None;
        }
        let cached_input = self.cache_read.unwrap_or(0);
        let cache_write = self.cache_write.unwrap_or(0);
        let fresh = self.input.unwrap_or(0);
        Some(Usage {
            // Anthropic's `input_tokens` leaves the cached ones out.
            input: fresh.saturating_add(cached_input).saturating_add(cache_write),
            cached_input,
            cache_write,
            output: self.output.unwrap_or(0),
            reasoning: 0,
        })
    }
}

/// Reads the `usage` of Chat Completions, Completions, Embeddings (`prompt_tokens`) and of
/// Responses (`input_tokens`).
pub(crate) fn openai(usage: Value<'_, '_>) -> Option<Usage> {
    let count = |name| usage.get(name).and_then(|count| count.as_u64());
    let detail = |of, name| usage.get(of)?.get(name)?.as_u64();
    let input = count("prompt_tokens").or_else(|| count("input_tokens"));
    let output = count("completion_tokens").or_else(|| count("output_tokens"));
    if input.is_none() && output.is_none() {
        return None;
    }
    let input = input.unwrap_or(0);
    // Some compatible providers leave reasoning out of the completion and count it in the total.
    let rest = count("total_tokens").unwrap_or(0).saturating_sub(input);
    Some(Usage {
        input,
        cached_input: detail("prompt_tokens_details", "cached_tokens")
            .or_else(|| detail("input_tokens_details", "cached_tokens"))
            .unwrap_or(0),
        cache_write: 0,
        output: output.unwrap_or(0).max(rest),
        reasoning: detail("completion_tokens_details", "reasoning_tokens")
            .or_else(|| detail("output_tokens_details", "reasoning_tokens"))
            .unwrap_or(0),
    })
}

#[cfg(test)]
mod tests;
