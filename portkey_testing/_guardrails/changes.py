"""Checks that rewrite what they look at."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from portkey_testing import _javascript, _patterns
from portkey_testing._guardrails.subject import CheckError, Finding, Params, Subject, UnreadableError

_WRITTEN_PATTERN = re.compile(r"/(.+?)/([gimsuyd]*)")
_REPLACED_PART = re.compile(r"\$([$&`']|\d{1,2}|<[^>]*>)")


def regex_replace(subject: Subject, params: Params) -> Finding:
    rule = params.get("rule")
    replacement = params.get("redactText") or "[REDACTED]"
    try:
        content = subject.content
    except UnreadableError as error:
        raise CheckError(str(error), "TypeError") from error
    if not rule:
        raise CheckError("Missing regex pattern")
    if content is _javascript.MISSING or not _javascript.truthy(content):
        raise CheckError("Missing text to match")
    source, flags = rule, ""
    written = _WRITTEN_PATTERN.fullmatch(rule)
    if written is not None:
        source, flags = written.groups()
    regex = _patterns.pattern(source, flags)
    texts = subject.texts
    if not all(isinstance(text, str) or not _javascript.truthy(text) for text in texts):
        raise CheckError("e.match is not a function", "TypeError")
    hit = any(text and regex.search(text) for text in texts)
    data: dict[str, Any] = {
        "regexPattern": rule,
        "verdict": True,
        "explanation": f"The regex pattern '{rule}' did not match any text.",
    }
    if not hit:
        return Finding(verdict=True, data=data)
    verdict = not params.get("failOnDetection")
    data |= {"verdict": verdict, "explanation": f"Pattern '{rule}' matched and was replaced with '{replacement}'"}
    count = 0 if "g" in flags else 1
    replaced = [
        regex.sub(lambda match: _REPLACED_PART.sub(lambda part: _part(part.group(1), match), replacement), text, count)
        if text
        else None
        for text in texts
    ]
    return _transformed(subject, subject.with_texts(replaced), data, verdict=verdict)


def _part(name: str, match: re.Match[str]) -> str:
    """What `$1`, `$<name>`, `$&` and the like stand for in a replacement."""
    match name:
        case "$":
            return "$"
        case "&":
            return match.group()
        case "`":
            return match.string[: match.start()]
        case "'":
            return match.string[match.end() :]
        case _ if name.startswith("<"):
            return match.groupdict().get(name[1:-1]) or "" if match.re.groupindex else f"${name}"
    # `$10` is group 1 and a zero where there is no tenth group.
    digits = next((digits for digits in (name, name[0]) if 0 < int(digits) <= match.re.groups), None)
    return f"${name}" if digits is None else (match.group(int(digits)) or "") + name[len(digits) :]


def add_prefix(subject: Subject, params: Params) -> Finding:
    if subject.stage != "input" or subject.endpoint not in ("complete", "chatComplete", "messages"):
        return Finding(verdict=True)
    prefix = params.get("prefix")
    if not isinstance(prefix, str) or not prefix:
        return Finding(verdict=True, error={"message": "Prefix parameter is required and must be a string"})
    role = params.get("applyToRole") or "user"
    adds = params.get("addToExisting") is not False
    only_if_empty = params.get("onlyIfEmpty") is True
    request: Mapping[str, Any] | None
    if subject.endpoint == "complete":
        request = _prefixed_last(subject, prefix) if _javascript.truthy(subject.content) else None
    else:
        request = _prefixed(subject, prefix, role, adds=adds, only_if_empty=only_if_empty)
    data = {
        "prefix": prefix,
        "requestType": subject.endpoint,
        "applyToRole": role,
        "addToExisting": adds,
        "onlyIfEmpty": only_if_empty,
    }
    return _transformed(subject, request, data)


def _prefixed_last(subject: Subject, prefix: str) -> Mapping[str, Any]:
    """The request with a prefix on what its checks look at."""
    first, *others = subject.texts or [""]
    return subject.with_texts([f"{prefix}{'' if first is None else _javascript.text(first)}", *others])


def _prefixed(subject: Subject, prefix: str, role: str, *, adds: bool, only_if_empty: bool) -> Mapping[str, Any] | None:
    """The request with a prefix on the first message of that role, or with a message of its own."""
    listed = subject.request.get("messages")
    messages = list(listed) if isinstance(listed, list) else []
    said: Any = [{"type": "text", "text": prefix}] if subject.endpoint == "messages" else prefix
    at = next((i for i, message in enumerate(messages) if message.get("role") == role), None)
    if at is None:
        messages.insert(0 if role == "system" else len(messages), {"role": role, "content": said})
        return {**subject.request, "messages": messages}
    content = messages[at].get("content")
    empty = (isinstance(content, str) and not content.strip()) or content == []
    if only_if_empty and not empty:
        return subject.request
    if not adds:
        messages.insert(at, {"role": role, "content": said})
    elif at == len(messages) - 1:
        return None if subject.content in (None, []) else _prefixed_last(subject, prefix)
    elif isinstance(content, list):
        first, others = (content[0], content[1:]) if content and content[0].get("type") == "text" else ({}, content)
        parts = [{**first, "type": "text", "text": f"{prefix}{first.get('text') or ''}"}, *others]
        messages[at] = {**messages[at], "content": parts}
    else:
        messages[at] = {**messages[at], "content": f"{prefix}{content or ''}"}
    return {**subject.request, "messages": messages}


def _transformed(subject: Subject, changed: Mapping[str, Any] | None, data: Any, *, verdict: bool = True) -> Finding:
    if subject.stage == "input":
        return Finding(verdict, data, request=changed, transformed=True)
    return Finding(verdict, data, response=changed, transformed=True)
