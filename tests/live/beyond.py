"""Scenarios beyond the corpus, made from tables: what the real gateway and the fake are asked side by side.

Nothing of what they answer is written down; they only have to agree. So a table costs a line a case, and a new release
of the gateway is met by all of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any, Final

from tests.conformance.scenarios import Scenario

PROVIDERS: Final = ("openai", "groq", "mistral-ai", "openrouter", "deepseek", "together-ai")
HELLO: Final = {"role": "user", "content": "hello"}
BODY: Final = {"model": "gpt-test", "messages": [HELLO], "max_tokens": 5}
ERROR: Final = {"error": {"message": "bad", "type": "server_error", "param": None, "code": None}}
CHUNK: Final = {
    "id": "c",
    "object": "chat.completion.chunk",
    "model": "m",
    "choices": [{"index": 0, "delta": {"role": "assistant", "content": "x", "reasoning": "r"}, "finish_reason": None}],
}
LAST: Final = {
    "id": "c",
    "choices": [{"index": 0, "delta": {}, "finish_reason": "eos"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "more": 4},
    "x_groq": {"usage": {"prompt_tokens": 5}},
}

Step = Mapping[str, Any]


def _target(provider: str = "openai", **options: Any) -> dict[str, Any]:
    return {"provider": provider, "api_key": "key-a", "custom_host": "{{host:a}}", **options}


def _asked(step: Step | None, config: Any, body: Any = BODY, **request: Any) -> Scenario:
    sent = {"config": config, **({} if body is None else {"body": body}), **request}
    return {"upstreams": {"a": [step or {"kind": "openai", "text": "hi"}]}, "request": sent}


def _json(status: int, body: Any) -> Step:
    return {"kind": "json", "status": status, "body": body}


def statuses() -> Iterator[Scenario]:
    """Every kind of body under every kind of status."""
    bodies: tuple[Step, ...] = (
        {"kind": "json", "body": ERROR},
        {"kind": "empty"},
        {"kind": "text", "body": "plain"},
        {"kind": "text", "content_type": "application/json", "body": "{oops"},
        {"kind": "text", "content_type": "application/octet-stream", "body": "bytes"},
    )
    for status, body, provider, stream in product(
        (200, 201, 204, 205, 206, 304, 400, 408, 412, 500, 599), bodies, ("openai", "anthropic"), (False, True)
    ):
        yield _asked({**body, "status": status}, _target(provider), {**BODY, **({"stream": True} if stream else {})})


def answers() -> Iterator[Scenario]:
    """What is made of bodies of many shapes."""
    message = {"role": "assistant", "content": "x", "reasoning": "r", "tool_calls": [{"id": "c", "function": {}}]}
    bodies: tuple[Any, ...] = (
        [],
        [1],
        5,
        "x",
        None,
        {"content": [], "usage": {}},
        {"content": "x", "usage": {}},
        {"content": [{"type": "thinking", "thinking": "t"}], "usage": {"cache_read_input_tokens": 3}},
        {"error": None},
        {"error": "text"},
        {"error": {"message": "m", "type": "t", "code": "c"}},
        {"error": {"message": {"a": 1}}},
        {"content": [5, {"type": "text"}, {"type": "tool_use", "name": "f"}], "usage": {"input_tokens": None}},
        {"message": "m", "code": 5},
        {"choices": None},
        {"choices": [{}]},
        {"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "model_length"}], "usage": {"x": 1}},
    )
    for provider, body, status, strict in product((*PROVIDERS, "anthropic"), bodies, (200, 400), (True, False)):
        yield _asked(_json(status, body), _target(provider, strict_open_ai_compliance=strict))
    empty = {"choices": [{"message": {"content": "x", "tool_calls": [], "reasoning_details": []}}]}
    for provider, body in product(PROVIDERS, (empty, [ERROR], 5)):
        yield _asked(_json(200 if body is empty else 408, body), _target(provider))


def streams() -> Iterator[Scenario]:
    """What is made of events of many shapes."""
    start = {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 3}}}
    events: tuple[tuple[Any, ...], ...] = (
        ({"data": CHUNK}, {"data": LAST}, {"data": "[DONE]"}),
        ({"data": {"choices": []}},),
        ({"data": {"id": "x"}},),
        ({"data": {**CHUNK, "usage": {}}}, {"data": {"id": "c", "choices": [{"delta": None}]}}, {"data": CHUNK}),
        ({"data": CHUNK}, {"data": {"id": "c", "choices": None}}, {"data": CHUNK}),
        (": comment\n\n", {"data": CHUNK}),
        ("data: {bad\n\n", {"data": CHUNK}),
        ("data: a", "\n\n\n\ndata: b\n"),
        ("data: 1\r\n\r\ndata: 2\r\n\r\n",),
        (),
        ({"event": "message_start", "data": start}, {"event": "foo", "data": {}}),
        ({"data": start}, {"event": "message_delta", "data": {"type": "message_delta", "delta": {}, "usage": {}}}),
        ({"event": "error", "data": {"type": "error", "error": {"type": "overloaded_error"}}},),
        ({"data": 5}, {"data": []}, {"data": "null"}, {"data": CHUNK}),
    )
    for provider, sent, strict in product((*PROVIDERS, "anthropic"), events, (True, False)):
        step = {"kind": "sse", "events": list(sent)}
        yield _asked(step, _target(provider, strict_open_ai_compliance=strict), {**BODY, "stream": True})


def requests() -> Iterator[Scenario]:
    """What providers are sent."""
    fields: tuple[dict[str, Any], ...] = (
        {"max_completion_tokens": 3, "temperature": 1.7, "top_p": -3, "top_k": 2},
        {"stop": ["a"], "user": "u", "seed": 1, "n": 2, "frequency_penalty": 9, "unknown": 1},
        {"tool_choice": None, "tools": []},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}, "reasoning_effort": "low"},
        {"tools": [{"type": "web_search", "web_search": {"name": "v1", "uses": 2}}]},
        {"model": "portkey-default", "stream_options": {"include_usage": True}},
        {"messages": [{"role": "developer", "content": [{"type": "text", "text": "d"}]}, HELLO]},
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{"}}]}]},
        {"messages": [HELLO, {"role": "tool", "tool_call_id": "c", "content": "r"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}]},
        {"messages": None},
        {"messages": [{"role": "user", "content": ["a", {"type": "text"}]}, {"role": "assistant", "content": ["b"]}]},
        {"messages": [{"role": "system", "content": []}, HELLO]},
        {"tool_choice": {}},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": "x"}}]},
    )
    for provider, more in product((*PROVIDERS, "anthropic"), fields):
        step = {"kind": "anthropic" if provider == "anthropic" else "openai", "text": "hi"}
        yield _asked(step, _target(provider), {**BODY, **more})


def conditions() -> Iterator[Scenario]:
    """Which queries hold."""
    queries: tuple[dict[str, Any], ...] = (
        {"metadata.a": 1},
        {"metadata.b": {"$gt": "2x"}},
        {"metadata.l": {"$regex": "1,2"}},
        {"metadata.t": 1},
        {"metadata.x.y": {"$ne": 1}},
        {"$or": {}},
        {"$nor": [{}]},
        {"metadata.a": []},
        {"metadata.a": ["x"]},
        {"metadata.zz": {"$in": [None]}},
        {"metadata.a": {"$regex": "("}},
        {"$and": [1]},
    )
    metadata = {"x-portkey-metadata": json.dumps({"a": "1", "b": 3, "l": [1, 2], "t": True})}
    for query in queries:
        strategy = {"mode": "conditional", "conditions": [{"query": query, "then": "x"}], "default": "y"}
        targets = [_target(name="x"), _target(name="y")]
        yield _asked(None, {"strategy": strategy, "targets": targets}, headers=metadata)


def configs() -> Iterator[Scenario]:
    """Which configs are refused, and in which words."""
    for text in ("{}", "[]", "5", "null", "{bad", '{"targets":""}', '{"provider":null}'):
        yield _asked(None, None, config_raw=text)
    changes: tuple[dict[str, Any], ...] = (
        {"weight": None},
        {"retry": {"attempts": "1", "use_retry_after_header": 1}},
        {"cache": {"max_age": "1"}},
        {"strategy": {"mode": "conditional", "conditions": [5, {}, {"query": [], "then": None}], "default": 5}},
        {"targets": [5, {}, {"provider": "nope"}, {"weight": "x"}]},
        {"input_guardrails": ["x", {}]},
        {"before_request_hooks": ["x"]},
        {"vertex_service_account_json": {"a": 1}},
        {"override_params": 5},
        {"input_mutators": 5},
        {"name": 5, "virtual_key": 5},
        {"options": [1]},
        {"input_guardrails": [{"contains": None}]},
        {"overrideParams": {"temperature": 1, "max_tokens": 2}},
    )
    for change in changes:
        yield _asked(None, {**_target(), **change})


def guardrails() -> Iterator[Scenario]:
    """What checks find."""
    checks: tuple[tuple[str, dict[str, Any], str], ...] = (
        ("contains", {"words": ["a"]}, "abc"),
        ("regexMatch", {"rule": "h(?<x>e)(l)"}, "hello"),
        ("regexMatch", {"rule": "a{2,1}"}, "hello"),
        ("wordCount", {"minWords": 1, "maxWords": 1, "not": True}, "one two"),
        ("characterCount", {"minCharacters": 1, "maxCharacters": 2}, "👍"),
        ("sentenceCount", {}, "Hi."),
        ("endsWith", {"suffix": "lo"}, "hello."),
        ("alluppercase", {}, "Hello"),
        ("containsCode", {"format": "Python"}, "```py\nx\n```"),
        ("jsonKeys", {"keys": ["a", "b"], "operator": "all"}, '{"a":1}'),
        (
            "jsonSchema",
            {"schema": {"properties": {"a": {"minimum": 5}}, "additionalProperties": False}},
            '{"a":1,"b":2}',
        ),
        ("modelRules", {"rules": {"defaults": ["x"]}}, "x"),
        ("allowedRequestTypes", {"allowedTypes": "embed, complete"}, "x"),
        ("notNull", {"not": True}, ""),
        ("regexReplace", {"rule": "(h)(e)", "redactText": "$2$1$3$$"}, "hello"),
        ("regexReplace", {"rule": "(?<n>h)(e)?", "redactText": "<$<n>$10$2$`|$'$3$&$$>"}, "oh hello"),
        ("addPrefix", {"prefix": "P", "applyToRole": "system"}, "hello"),
    )
    for name, params, text in checks:
        body = {**BODY, "messages": [{"role": "user", "content": text}]}
        yield _asked(None, _target(input_guardrails=[{name: params, "id": "g"}]), body)
        rail = {name: params, "id": "g", "deny": True}
        yield _asked({"kind": "openai", "text": text}, _target(output_guardrails=[rail]))


def hooks() -> Iterator[Scenario]:
    """How several checks and guardrails come together, and what they do to streams."""
    passes = {"regexMatch": {"rule": "h"}}
    fails = {"wordCount": {"minWords": 9, "maxWords": 9}}
    unknown: dict[str, Any] = {"nope": {}}
    feedback = {"on_fail": {"feedback": {"value": 1, "metadata": {"user_id": "u"}}}}
    spelt = {"type": "guardrail", "checks": [{"id": "default.contains", "parameters": {"words": ["h"]}}]}
    rails: tuple[list[dict[str, Any]], ...] = (
        [{**passes, "id": "a"}, {**unknown, "id": "b"}],
        [{**fails, "id": "a", "sequential": True}, {**unknown, "id": "b"}, {**passes, "id": "c"}],
        [{**passes, **unknown, "id": "a"}, {**unknown, "id": "b", "sequential": True}, {"id": "c"}],
        [{**fails, "id": "a", "deny": True}, {**unknown, "id": "b"}],
        [{**fails, "id": "a", **feedback}],
    )
    for given, stage in product(rails, ("input", "output")):
        yield _asked(None, {**_target(), f"{stage}_guardrails": given})
        yield _asked(None, {**_target(), f"{stage}Guardrails": given})
    raw: tuple[dict[str, Any], ...] = (spelt, {**spelt, "id": None}, {**spelt, "type": None}, {"checks": []})
    for each in (*raw, {**spelt, **feedback}):
        yield _asked(None, _target(before_request_hooks=[each], after_request_hooks=[each]))
    yield _asked(None, _target(input_guardrails=[{**fails, "deny": True}]), path="/v1/messages")
    changed = {"regexReplace": {"rule": "hello", "redactText": "***"}}
    prefixed = [{"addPrefix": {"prefix": "P "}}]
    for sequential, part in product((True, False), ("hello", [{"type": "text", "text": "hello"}], [{"type": "x"}])):
        config = _target(input_guardrails=[{**changed, "sequential": sequential}], input_mutators=prefixed)
        yield _asked(None, config, {**BODY, "messages": [{"role": "user", "content": part}]})
    for deny, provider, strict in product((True, False), ("openai", "groq", "anthropic"), (True, False)):
        step = {"kind": "anthropic_sse" if provider == "anthropic" else "openai_sse"}
        config = _target(provider, output_guardrails=[{**fails, "deny": deny}], strict_open_ai_compliance=strict)
        yield _asked(step, config, {**BODY, "stream": True})
        yield _asked(step, {**config, "retry": {"attempts": 1, "on_status_codes": [246]}}, {**BODY, "stream": True})


def routes() -> Iterator[Scenario]:
    """Where other requests go."""
    paths: tuple[tuple[str, str, Any], ...] = (
        ("GET", "/v1/files/f1", None),
        ("DELETE", "/v1/files/f1", None),
        ("POST", "/v1/batches", {"input_file_id": "f", "unknown": 1}),
        ("PATCH", "/v1/fine_tuning/jobs/j1", {"a": 1}),
        ("GET", "/v1/responses/r1/input_items?limit=1", None),
        ("POST", "/v1/images/generations", {"prompt": "x", "n": 99}),
        ("POST", "/v1/embeddings", {"input": "x", "unknown": 1}),
        ("POST", "/v1/messages/count_tokens", BODY),
        ("POST", "/v1/prompts/p/render", {}),
        ("POST", "/v1/chat/completions/x/messages", {"a": 1}),
        ("HEAD", "/v1/models", None),
        ("OPTIONS", "/v1/chat/completions", None),
        ("POST", "/v1/proxy/v1/x", {"a": 1}),
        ("POST", "/v1", {}),
        ("POST", "/v1/audio/translations", {"a": 1}),
        ("POST", "/v1/files", {"a": 1}),
        ("HEAD", "/v1/files", None),
    )
    for (method, path, body), provider, status in product(paths, ("openai", "anthropic"), (200, 204, 400)):
        yield _asked(_json(status, ERROR), _target(provider), body, method=method, path=path)


def schemas() -> Iterator[Scenario]:
    """What a JSON Schema complains about, and in which order."""
    text, number = {"type": "string"}, {"type": "integer"}
    written: tuple[Any, ...] = (
        {"type": "bad"},
        {"type": ["bad", "object"], "required": ["a", "z"], "minProperties": 9, "maxProperties": 0},
        {"properties": {"a": {**number, "minimum": 5, "multipleOf": 2}}, "additionalProperties": False},
        {"properties": {"a": {"exclusiveMinimum": 1, "exclusiveMaximum": 1, "enum": [2]}, "b": {"const": {"x": 1}}}},
        {"patternProperties": {"^[ab]": text}, "propertyNames": {"pattern": "^a"}},
        {"anyOf": [text, {"required": ["q"]}], "not": {"required": ["a"]}},
        {"allOf": [{"required": ["a"]}, {"required": ["q"]}], "oneOf": [{}, {"type": "object"}]},
        {"if": {"required": ["a"]}, "then": {"required": ["q"]}, "dependentRequired": {"a": ["p"]}},
        {"dependentSchemas": {"a": {"required": ["q"]}}, "properties": {"a": False}},
        {"properties": {"l": {"prefixItems": [text], "items": text, "contains": text, "uniqueItems": True}}},
        {"properties": {"l": {"minItems": 9, "maxItems": 1, "contains": number, "minContains": 4}}},
        {"properties": {"b": {"$ref": "#/$defs/word"}}, "$defs": {"word": {"minLength": 9, "format": "email"}}},
    )
    body = {**BODY, "messages": [{"role": "user", "content": '```{"a": 1, "b": "word", "l": [1, 2, 2]}```'}]}
    for schema, negated in product(written, (True, False)):
        rail = {"jsonSchema": {"schema": schema, "not": negated}, "id": "g"}
        yield _asked(None, _target(input_guardrails=[rail]), body)


def interfaces() -> Iterator[Scenario]:
    """Embeddings and completions of providers that do not pass them on as they are."""
    vector = {"object": "embedding", "embedding": [0.5], "index": 0, "more": 1}
    bodies: tuple[Any, ...] = (
        {"object": "list", "data": [vector], "model": "m", "usage": {"prompt_tokens": 1, "total_tokens": 1, "x": 1}},
        {"id": "c", "choices": [{"text": "x", "finish_reason": "stop", "more": 1}], "usage": {"prompt_tokens": 1}},
        {"log_id": "c", "completion": "x", "stop_reason": "max_tokens"},
        {"error": {"message": "m", "type": "t"}},
        {"message": "m", "type": "t"},
    )
    asked: tuple[tuple[str, dict[str, Any]], ...] = (
        ("/v1/embeddings", {"model": "e", "input": "x", "user": "u"}),
        ("/v1/completions", {"prompt": ["x", "y"], "max_tokens": -1, "stop": None, "user": "u", "top_k": 1}),
    )
    providers = ("mistral-ai", "together-ai", "anthropic", "portkey")
    for provider, (path, body), said, status in product(providers, asked, bodies, (200, 201, 400)):
        yield _asked(_json(status, said), _target(provider), body, path=path)
    yield _asked(_json(400, {"error": {"message": "m"}}), _target("groq"), {"input": "x"}, path="/v1/audio/speech")
    old = '{"log_id": "c", "completion": "x", "stop_reason": "stop_sequence"}'
    for events in (
        [f"event: completion\r\ndata: {old}\r\n\r\n", "event: ping\r\ndata: {}\r\n\r\n", "data: [DONE]\r\n\r\n"],
        [{"data": {"id": "c", "choices": [{"text": "x"}]}}, {"data": "[DONE]"}],
    ):
        for provider in ("anthropic", "together-ai"):
            body = {"prompt": "x", "stream": True}
            yield _asked({"kind": "sse", "events": events}, _target(provider), body, path="/v1/completions")


def breaks() -> Iterator[Scenario]:
    """Bodies that break off, and what retries and fallback make of that."""
    for status, kind, stream in product(
        (200, 204, 400, 408, 503), ("application/json", "text/plain", "text/event-stream"), (True, False)
    ):
        step = {"kind": "sse", "status": status, "content_type": kind, "events": [{"data": CHUNK}] * 2, "drop_after": 1}
        sent = {**BODY, "stream": stream}
        yield _asked(step, _target(), sent)
        yield _asked(step, {"strategy": {"mode": "fallback"}, "targets": [_target(), _target("groq")]}, sent)
    step = {"kind": "json", "status": 429, "body": ERROR}
    yield _asked(step, _target(retry={"attempts": 1, "use_retry_after_header": True}))


def values() -> Iterator[Scenario]:
    """What JavaScript reads otherwise than Python: empty objects are true, lists are joined, patterns are its own."""
    call = {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    marked = {"type": "text", "text": "t", "cache_control": {}}
    fields: tuple[dict[str, Any], ...] = (
        {"tools": [{"type": "function", "function": {}}]},
        {"tools": [{"function": {"description": [], "parameters": {"required": {}}}, "cache_control": {}}]},
        {"messages": [HELLO, {"role": "assistant", "tool_calls": [call]}, {"role": "tool"}]},
        {"messages": [{"role": "user", "content": [marked]}]},
        {"messages": {}},
        {"messages": [{}, 5]},
        {"anthropic_beta": ["b1", "b2"]},
    )
    for more in fields:
        yield _asked({"kind": "anthropic", "text": "hi"}, _target("anthropic"), {**BODY, **more})
    for text in ("{", '{"a":1,}', '{"a"', "[1.]", "NaN", '"\\', '{"a": "this is long", oops}', '{"a":"\\ud83d"}'):
        yield _asked(None, _target(), None, raw_body=text, path="/v1/nope", content_type="application/json")
    yield _asked(None, _target(), {**BODY, "model": "\ud83d"})
    for rule in (r"[\w-\.]+@([\w-]+\.)+[\w-]{2,4}", "(?i)A", "(?P<n>a)", "a++", "[a&&b]", "a{,2}", "(?<n>z)?-"):
        body = {**BODY, "messages": [{"role": "user", "content": "a.b-c@d-e.com"}]}
        yield _asked(None, _target(input_guardrails=[{"regexMatch": {"rule": rule}, "id": "g"}]), body)
        strategy = {"mode": "conditional", "conditions": [{"query": {"params.user": {"$regex": rule}}, "then": "x"}]}
        yield _asked(None, {"strategy": strategy, "targets": [_target(name="x")]}, {**BODY, "user": "a.b-c@d-e.com"})
    yield _asked(None, _target(input_guardrails=[{"allowedRequestTypes": {"allowedTypes": []}, "id": "g"}]))
    yield _asked(None, _target(input_mutators={}))
    yield _asked(_json(500, {"error": []}), _target("together-ai"))
    yield _asked(_json(500, "oops"), _target("anthropic"), {"prompt": "x"}, path="/v1/completions")


def fetches() -> Iterator[Scenario]:
    """What comes of the way the gateway fetches, and of headers and lists that are there but empty."""
    for status, provider in product((301, 307, 407), ("openai", "anthropic")):
        step = {"kind": "json", "status": status, "body": {}, "headers": {"location": "/u/x/b"}}
        yield _asked(step, _target(provider))
    for status, codes in product((200, 204, 503), ([], [200, 204, 503])):
        retry = {"attempts": 0.5, "on_status_codes": codes}
        yield _asked({"kind": "empty", "status": status}, _target(retry=retry))
    lists: tuple[Any, ...] = (None, [], ["x-foo"])
    failed = {"kind": "json", "status": 500, "body": ERROR, "headers": {"x-portkey-gateway-exception": "true"}}
    yield _asked(failed, {"strategy": {"mode": "fallback"}, "targets": [_target(), _target("groq")]})
    own: list[str] | None
    for outer, own, header in product(lists, (None, []), (None, "")):
        target = _target() if own is None else _target(forward_headers=own)
        config: dict[str, Any] = {"strategy": {"mode": "single"}, "targets": [target]}
        named = {} if header is None else {"x-portkey-forward-headers": header}
        yield _asked(
            None,
            config if outer is None else {**config, "forward_headers": outer},
            headers={"x-foo": "1", "x-bar": "2", **named},
        )
    for method, path in (("HEAD", "/health"), ("HEAD", "/v1/nope"), ("POST", "/v1/proxy")):
        yield _asked(None, None, None if method == "HEAD" else {}, method=method, path=path)


FAMILIES: Final[Mapping[str, Callable[[], Iterator[Scenario]]]] = {
    family.__name__: family
    for family in (
        *(statuses, answers, streams, requests, conditions, configs, guardrails, hooks, routes),
        *(schemas, interfaces, breaks, values, fetches),
    )
}


def scenarios(family: str) -> list[Scenario]:
    """All scenarios of a family, named after it."""
    return [
        {"id": f"beyond-{family}-{number}", "group": family, **scenario}
        for number, scenario in enumerate(FAMILIES[family]())
    ]
