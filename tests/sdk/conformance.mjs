// The official Node SDKs against a running Bulkhead; the counterpart of conformance.py.

import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const { BULKHEAD_URL, BULKHEAD_KEY, BULKHEAD_BUDGET_KEY, BULKHEAD_RATE_KEY, BULKHEAD_SECRET, BULKHEAD_CARD } = process.env;

const openai = (apiKey = BULKHEAD_KEY, more = {}) => new OpenAI({ baseURL: `${BULKHEAD_URL}/v1`, apiKey, ...more });
const claude = (apiKey = BULKHEAD_KEY, more = {}) => new Anthropic({ baseURL: BULKHEAD_URL, apiKey, ...more });
const ask = [{ role: "user", content: "hi" }];
const leak = [{ role: "user", content: `use ${BULKHEAD_SECRET}` }];

async function all(stream) {
  const items = [];
  for await (const item of await stream) items.push(item);
  return items;
}

// Calls, and returns the error, which must be of exactly this class and come at once.
async function raises(kind, call) {
  const started = Date.now();
  try {
    await call();
  } catch (error) {
    assert.equal(error.constructor.name, kind.name, `${error}`);
    assert.ok(Date.now() - started < 5000, "the SDK slept before it gave up");
    assert.ok(!`${error}`.includes(BULKHEAD_SECRET), "the value is in the message");
    return error;
  }
  assert.fail(`no ${kind.name}`);
}

const masked = (text) => {
  assert.ok(text.startsWith("pay [") && text.endsWith("] now"), text);
  assert.ok(!text.includes(BULKHEAD_CARD), text);
};

const checks = {
  async chatWhole() {
    const answer = await openai().chat.completions.create({ model: "gpt-sdk-whole", messages: ask });
    assert.equal(answer.choices[0].message.content, "hello from the provider");
    assert.equal(answer.usage.prompt_tokens, 11);
    assert.ok(answer._request_id);
  },
  async chatStreamed() {
    const chunks = await all(openai().chat.completions.create({ model: "gpt-sdk-stream", messages: ask, stream: true }));
    masked(chunks.map((chunk) => chunk.choices[0]?.delta?.content ?? "").join(""));
  },
  async chatToolCall() {
    const chunks = await all(openai().chat.completions.create({ model: "gpt-sdk-tool", messages: ask, stream: true }));
    const calls = chunks.flatMap((chunk) => chunk.choices[0]?.delta?.tool_calls ?? []);
    masked(JSON.parse(calls.map((call) => call.function.arguments ?? "").join("")).note);
  },
  async responsesWholeAndStreamed() {
    const answer = await openai().responses.create({ model: "gpt-sdk-whole", input: "hi" });
    assert.equal(answer.output_text, "hello from the provider");
    const events = await all(openai().responses.create({ model: "gpt-sdk-responses", input: "hi", stream: true }));
    assert.equal(events.at(-1).type, "response.completed");
    masked(events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta).join(""));
  },
  async messagesWhole() {
    const answer = await claude().messages.create({ model: "claude-sdk-whole", max_tokens: 64, messages: ask });
    assert.equal(answer.content[0].text, "hello from the provider");
    assert.ok(answer._request_id);
  },
  async messagesStreamed() {
    const stream = claude().messages.stream({ model: "claude-sdk-stream", max_tokens: 64, messages: ask });
    masked(await stream.finalText());
  },
  async messagesToolCall() {
    const stream = claude().messages.stream({ model: "claude-sdk-tool", max_tokens: 64, messages: ask });
    masked((await stream.finalMessage()).content[0].input.note);
  },
  async wrongKey() {
    await raises(OpenAI.AuthenticationError, () => openai("bh_dev_wrong").chat.completions.create({ model: "gpt-x", messages: ask }));
    await raises(Anthropic.AuthenticationError, () =>
      claude("bh_dev_wrong").messages.create({ model: "claude-x", max_tokens: 9, messages: ask }),
    );
  },
  async blockedRequest() {
    const error = await raises(OpenAI.BadRequestError, () => openai().chat.completions.create({ model: "gpt-x", messages: leak }));
    assert.equal(error.code, "dlp_blocked");
    await raises(Anthropic.BadRequestError, () => claude().messages.create({ model: "claude-x", max_tokens: 9, messages: leak }));
  },
  async blockedStreams() {
    const error = await raises(OpenAI.APIError, () =>
      all(openai().chat.completions.create({ model: "gpt-sdk-leak", messages: ask, stream: true })),
    );
    assert.equal(error.code, "dlp_blocked");
    const failed = await raises(OpenAI.APIError, () =>
      all(openai().responses.create({ model: "gpt-sdk-leak-responses", input: "hi", stream: true })),
    );
    assert.equal(failed.code, "dlp_blocked");
    await raises(Anthropic.APIError, () =>
      claude().messages.stream({ model: "claude-sdk-leak", max_tokens: 64, messages: ask }).finalMessage(),
    );
  },
  async exhaustedBudget() {
    const error = await raises(OpenAI.RateLimitError, () =>
      openai(BULKHEAD_BUDGET_KEY).chat.completions.create({ model: "gpt-x", messages: ask }),
    );
    assert.equal(error.code, "insufficient_quota");
    const denied = await claude(BULKHEAD_BUDGET_KEY)
      .messages.create({ model: "claude-x", max_tokens: 9, messages: ask })
      .then(() => assert.fail("served"), (caught) => caught);
    assert.equal(denied.status, 402);
    assert.equal(denied.error.error.type, "billing_error");
  },
  async rateLimit() {
    const once = openai(BULKHEAD_RATE_KEY, { maxRetries: 0 });
    const error = await raises(OpenAI.RateLimitError, async () => {
      for (let n = 0; n < 20; n += 1) await once.chat.completions.create({ model: "gpt-x", messages: ask });
    });
    assert.ok(Number(error.headers.get("retry-after")) >= 1);
  },
  async brokenStream() {
    await raises(OpenAI.APIError, () =>
      all(openai().chat.completions.create({ model: "gpt-sdk-broken", messages: ask, stream: true })),
    );
    await raises(Anthropic.APIError, () =>
      claude().messages.stream({ model: "claude-sdk-broken", max_tokens: 64, messages: ask }).finalMessage(),
    );
  },
};

for (const [name, check] of Object.entries(checks)) {
  console.log(name);
  await check();
}
console.log("all passed");
