"""The official Python SDKs against a running Bulkhead.

The test that starts this script scripts the provider by model name and passes addresses and keys
in the environment. Each check prints one line; the first failure ends the script.
"""

import functools
import json
import os
import time

import anthropic
import openai
from google import genai

URL = os.environ["BULKHEAD_URL"]
KEY = os.environ["BULKHEAD_KEY"]
BUDGET_KEY = os.environ["BULKHEAD_BUDGET_KEY"]
CUT_KEY = os.environ["BULKHEAD_CUT_KEY"]
RATE_KEY = os.environ["BULKHEAD_RATE_KEY"]
SECRET = os.environ["BULKHEAD_SECRET"]
CARD = os.environ["BULKHEAD_CARD"]

ASK = [{"role": "user", "content": "hi"}]
LEAK = [{"role": "user", "content": f"use {SECRET}"}]


def open_ai(key=KEY):
    return openai.OpenAI(base_url=f"{URL}/v1", api_key=key)


def claude(key=KEY):
    return anthropic.Anthropic(base_url=URL, api_key=key)


# Its connections close with the client, so the clients are kept.
@functools.cache
def gemini(key=KEY):
    return genai.Client(api_key=key, vertexai=False, http_options={"base_url": URL})


def raises(kind, call):
    """Calls, and returns the exception, which must be of exactly this class and come at once."""
    started = time.monotonic()
    try:
        call()
    except Exception as error:
        assert type(error) is kind, f"{type(error).__name__} instead of {kind.__name__}: {error}"
        assert time.monotonic() - started < 5, "the SDK slept before it gave up"
        assert SECRET not in str(error), "the value is in the message"
        return error
    raise AssertionError(f"no {kind.__name__}")


def chat_whole():
    answer = open_ai().chat.completions.create(model="gpt-sdk-whole", messages=ASK)
    assert answer.choices[0].message.content == "hello from the provider", answer
    assert answer.usage.prompt_tokens == 11
    assert answer._request_id


def chat_streamed():
    stream = open_ai().chat.completions.create(model="gpt-sdk-stream", messages=ASK, stream=True)
    text = "".join(c.choices[0].delta.content or "" for c in stream if c.choices)
    assert text.startswith("pay [") and text.endswith("] now") and CARD not in text, text


def chat_usage_asked():
    stream = open_ai().chat.completions.create(
        model="gpt-sdk-stream", messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    assert [c.usage.prompt_tokens for c in stream if c.usage] == [11]


def chat_tool_call():
    tools = [{"type": "function", "function": {"name": "write_note", "parameters": {"type": "object"}}}]
    stream = open_ai().chat.completions.create(model="gpt-sdk-tool", messages=ASK, tools=tools, stream=True)
    deltas = [c.choices[0].delta for c in stream if c.choices]
    arguments = "".join(t.function.arguments or "" for d in deltas for t in d.tool_calls or [])
    assert arguments.startswith('{"note":"pay [') and CARD not in arguments, arguments


def responses_whole_and_streamed():
    answer = open_ai().responses.create(model="gpt-sdk-whole", input="hi")
    assert answer.output_text == "hello from the provider", answer
    events = list(open_ai().responses.create(model="gpt-sdk-responses", input="hi", stream=True))
    assert events[-1].type == "response.completed", events[-1]
    assert CARD not in events[-1].response.output_text
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert text == events[-1].response.output_text, text


def embeddings():
    answer = open_ai().embeddings.create(model="gpt-sdk-embed", input="hi", encoding_format="float")
    assert answer.data[0].embedding == [0.5, -0.5]


def models():
    assert [m.id for m in open_ai().models.list()]


def messages_whole():
    answer = claude().messages.create(model="claude-sdk-whole", max_tokens=64, messages=ASK)
    assert answer.content[0].text == "hello from the provider", answer
    assert answer.usage.input_tokens == 11
    assert answer._request_id
    assert claude().messages.count_tokens(model="claude-sdk-whole", messages=ASK).input_tokens == 11


def messages_streamed():
    with claude().messages.stream(model="claude-sdk-stream", max_tokens=64, messages=ASK) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text.startswith("pay [") and text.endswith("] now") and CARD not in text, text
    assert final.stop_reason == "end_turn"


def messages_tool_call():
    with claude().messages.stream(model="claude-sdk-tool", max_tokens=64, messages=ASK) as stream:
        block = stream.get_final_message().content[0]
    assert block.type == "tool_use" and block.input["note"].startswith("pay ["), block


def gemini_whole():
    models = gemini().models
    answer = models.generate_content(model="gemini-sdk-whole", contents="hi")
    assert answer.text == "hello from the provider", answer
    assert answer.usage_metadata.prompt_token_count == 11
    assert models.count_tokens(model="gemini-sdk-whole", contents="hi").total_tokens == 11
    vectors = models.embed_content(model="gemini-sdk-embed", contents="hi").embeddings
    assert vectors[0].values == [0.5, -0.5], vectors
    assert [model.name for model in models.list()]


def gemini_streamed():
    chunks = list(gemini().models.generate_content_stream(model="gemini-sdk-stream", contents="hi"))
    text = "".join(chunk.text or "" for chunk in chunks)
    assert text.startswith("pay [") and text.endswith("] now") and CARD not in text, text
    assert chunks[-1].candidates[0].finish_reason == "STOP"


def gemini_tool_call():
    tool = {"function_declarations": [{"name": "write_note", "parameters": {"type": "OBJECT"}}]}
    config = {"tools": [tool]}
    answer = gemini().models.generate_content(model="gemini-sdk-tool", contents="hi", config=config)
    streamed = gemini().models.generate_content_stream(
        model="gemini-sdk-tool-stream", contents="hi", config=config
    )
    for call in [answer.function_calls[0]] + [c.function_calls[0] for c in streamed if c.function_calls]:
        assert call.name == "write_note" and call.args["note"].startswith("pay ["), call
        assert CARD not in call.args["note"], call


def gemini_refusals():
    def ask(key=KEY, text="hi"):
        return lambda: gemini(key).models.generate_content(model="gemini-x", contents=text)

    def refused(code, status, call):
        error = raises(genai.errors.ClientError, call)
        assert (error.code, error.status) == (code, status), error
        return error

    refused(401, "UNAUTHENTICATED", ask("bh_dev_wrong"))
    error = refused(400, "INVALID_ARGUMENT", ask(text=f"use {SECRET}"))
    assert error.details["error"]["details"][0]["reason"] == "DLP_BLOCKED", error
    assert "GITHUB_TOKEN" in str(error), error

    def leak():
        list(gemini().models.generate_content_stream(model="gemini-sdk-leak", contents="hi"))

    refused(400, "INVALID_ARGUMENT", leak)
    error = refused(429, "RESOURCE_EXHAUSTED", ask(BUDGET_KEY))
    assert error.details["error"]["details"][0]["reason"] == "INSUFFICIENT_QUOTA", error

    def limited():
        for _ in range(20):
            ask(RATE_KEY)()

    refused(429, "RESOURCE_EXHAUSTED", limited)

    def broken():
        list(gemini().models.generate_content_stream(model="gemini-sdk-broken", contents="hi"))

    raises(genai.errors.ServerError, broken)


def wrong_key():
    raises(openai.AuthenticationError, lambda: open_ai("bh_dev_wrong").chat.completions.create(model="gpt-x", messages=ASK))
    raises(
        anthropic.AuthenticationError,
        lambda: claude("bh_dev_wrong").messages.create(model="claude-x", max_tokens=9, messages=ASK),
    )


def blocked_request():
    error = raises(openai.BadRequestError, lambda: open_ai().chat.completions.create(model="gpt-x", messages=LEAK))
    assert error.code == "dlp_blocked" and "GITHUB_TOKEN" in str(error), error
    raises(openai.BadRequestError, lambda: open_ai().responses.create(model="gpt-x", input=SECRET))
    error = raises(
        anthropic.BadRequestError,
        lambda: claude().messages.create(model="claude-x", max_tokens=9, messages=LEAK),
    )
    assert error.body["error"]["type"] == "invalid_request_error", error.body
    assert error.request_id


def failed_response(client, model):
    """The last event of a stream, for who reads the events without the SDK's eyes."""
    raw = client.responses.with_raw_response.create(model=model, input="hi", stream=True)
    last = raw.http_response.read().decode().strip().split("\n\n")[-1]
    name, data = last.split("\n")
    assert name == "event: response.failed", last
    return json.loads(data.removeprefix("data: "))


def blocked_streams():
    def chat():
        list(open_ai().chat.completions.create(model="gpt-sdk-leak", messages=ASK, stream=True))

    assert raises(openai.APIError, chat).code == "dlp_blocked"

    def responses():
        list(open_ai().responses.create(model="gpt-sdk-leak-responses", input="hi", stream=True))

    assert raises(openai.APIError, responses).code == "dlp_blocked"
    failed = failed_response(open_ai(), "gpt-sdk-leak-responses")
    assert failed["response"]["error"]["code"] == "invalid_prompt", failed

    def messages():
        with claude().messages.stream(model="claude-sdk-leak", max_tokens=64, messages=ASK) as stream:
            stream.get_final_message()

    assert raises(anthropic.APIStatusError, messages).body["error"]["type"] == "invalid_request_error"


def exhausted_budget():
    error = raises(openai.RateLimitError, lambda: open_ai(BUDGET_KEY).chat.completions.create(model="gpt-x", messages=ASK))
    assert error.code == "insufficient_quota", error
    error = raises(
        anthropic.PaymentRequiredError,
        lambda: claude(BUDGET_KEY).messages.create(model="claude-x", max_tokens=9, messages=ASK),
    )
    assert error.body["error"]["type"] == "billing_error", error.body


def streams_cut_at_a_budget():
    """What arrived before the line is text; then the SDK raises."""
    texts = []

    def cut(kind, call):
        texts.clear()
        error = raises(kind, call)
        assert 50 < len(texts) < 320, f"{len(texts)} words within a budget of 300 tokens"
        return error

    # A list takes what arrived before the exception only where it is filled one by one.
    def one_by_one(pieces):
        for piece in pieces:
            if piece:
                texts.append(piece)

    def chat():
        stream = open_ai(CUT_KEY).chat.completions.create(model="gpt-sdk-cut", messages=ASK, stream=True)
        one_by_one(c.choices[0].delta.content for c in stream)

    error = cut(openai.APIError, chat)
    assert (error.code, error.type) == ("insufficient_quota", "insufficient_quota"), error

    def messages():
        with claude(CUT_KEY).messages.stream(model="claude-sdk-cut", max_tokens=9000, messages=ASK) as stream:
            one_by_one(stream.text_stream)

    error = cut(anthropic.APIStatusError, messages)
    assert error.body["error"]["type"] == "billing_error", error.body

    def generate():
        chunks = gemini(CUT_KEY).models.generate_content_stream(model="gemini-sdk-cut", contents="hi")
        one_by_one(chunk.text for chunk in chunks)

    error = cut(genai.errors.ClientError, generate)
    assert (error.code, error.status) == (429, "RESOURCE_EXHAUSTED"), error

    def responses():
        stream = open_ai(CUT_KEY).responses.create(model="gpt-sdk-cut-responses", input="hi", stream=True)
        one_by_one(event.delta for event in stream if event.type == "response.output_text.delta")

    assert cut(openai.APIError, responses).code == "insufficient_quota"


def rate_limit():
    once = open_ai(RATE_KEY).with_options(max_retries=0)
    error = None
    for _ in range(20):
        try:
            once.chat.completions.create(model="gpt-x", messages=ASK)
        except openai.RateLimitError as limited:
            error = limited
            break
    assert error is not None, "20 requests passed a limit of 2 per minute"
    assert 1 <= int(error.response.headers["retry-after"]) <= 60
    anthropic_once = claude(RATE_KEY).with_options(max_retries=0)
    raises(
        anthropic.RateLimitError,
        lambda: anthropic_once.messages.create(model="claude-x", max_tokens=9, messages=ASK),
    )


def broken_stream():
    def chat():
        list(open_ai().chat.completions.create(model="gpt-sdk-broken", messages=ASK, stream=True))

    raises(openai.APIError, chat)

    def messages():
        with claude().messages.stream(model="claude-sdk-broken", max_tokens=64, messages=ASK) as stream:
            stream.get_final_message()

    raises(anthropic.APIStatusError, messages)


for check in (
    chat_whole,
    chat_streamed,
    chat_usage_asked,
    chat_tool_call,
    responses_whole_and_streamed,
    embeddings,
    models,
    messages_whole,
    messages_streamed,
    messages_tool_call,
    gemini_whole,
    gemini_streamed,
    gemini_tool_call,
    wrong_key,
    blocked_request,
    blocked_streams,
    exhausted_budget,
    streams_cut_at_a_budget,
    rate_limit,
    broken_stream,
    gemini_refusals,
):
    print(check.__name__, flush=True)
    check()
print("all passed")
