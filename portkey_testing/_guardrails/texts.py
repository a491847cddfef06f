"""Checks of what a text says: words, patterns, counts, case, endings, code."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from portkey_testing import _javascript, _patterns
from portkey_testing._guardrails.subject import (
    CheckError,
    Finding,
    Params,
    Subject,
    UnreadableError,
    compared,
    excerpt,
    is_number,
    negation,
    text_of,
)

_LANGUAGES: Final[Mapping[str, str]] = {
    "sql": "SQL",
    "py": "Python",
    "python": "Python",
    "gyp": "Python",
    "ts": "TypeScript",
    "tsx": "TypeScript",
    "typescript": "TypeScript",
    "js": "JavaScript",
    "jsx": "JavaScript",
    "javascript": "JavaScript",
    "java": "Java",
    "cs": "C#",
    "cpp": "C++",
    "c": "C",
    "rb": "Ruby",
    "php": "PHP",
    "swift": "Swift",
    "kt": "Kotlin",
    "go": "Go",
    "rs": "Rust",
    "scala": "Scala",
    "r": "R",
    "pl": "Perl",
    "sh": "Shell",
    "html": "HTML",
    "css": "CSS",
    "xml": "XML",
    "json": "JSON",
    "yml": "YAML",
    "md": "Markdown",
    "dockerfile": "Dockerfile",
}
"""What a fence of a code block stands for; any other stands for itself."""

_FENCED_CODE = re.compile(r"```(\w+)\n[\s\S]*?\n```", re.ASCII)


def contains(subject: Subject, params: Params) -> Finding:
    words, operator = params.get("words", _javascript.MISSING), params.get("operator", _javascript.MISSING)
    try:
        text = subject.text
    except UnreadableError as error:
        return _no_words(str(error))
    if words is _javascript.MISSING or words is None:
        return _no_words(f"Cannot read properties of {_javascript.text(words)} (reading 'filter')")
    if not isinstance(words, list):
        # The name is what the gateway's minifier makes of `words`.
        return _no_words("r.filter is not a function")
    found = [word for word in words if _javascript.text(word) in text]
    missing = [word for word in words if _javascript.text(word) not in text]
    verdict, outcome = compared(operator, found, missing, "words", "word")
    explanation = f"Check {'passed' if verdict else 'failed'} for '{_javascript.text(operator)}' words.{outcome}"
    named = {} if operator is _javascript.MISSING else {"operator": operator}
    return Finding(verdict, {"explanation": explanation, "foundWords": found, "missingWords": missing, **named})


def _no_words(message: str) -> Finding:
    data = {"explanation": "An error occurred while processing the text.", "error": message}
    return Finding(verdict=False, data=data, error={"name": "TypeError", "message": message})


def regex_match(subject: Subject, params: Params) -> Finding:
    rule, negated = params.get("rule"), negation(params)
    if not rule:
        raise CheckError("Missing regex pattern")
    text, written = text_of(subject, "Missing text to match"), _javascript.text(rule)
    match = _patterns.pattern(written).search(text)
    verdict = (match is None) if negated else (match is not None)
    said = {
        (True, False): f"The regex pattern '{written}' successfully matched the text.",
        (True, True): f"The regex pattern '{written}' did not match the text as expected.",
        (False, False): f"The regex pattern '{written}' did not match the text.",
        (False, True): f"The regex pattern '{written}' matched the text when it should not have.",
    }[verdict, bool(negated)]
    details = None
    if match is not None:
        details = {
            "matchedText": match.group(),
            "index": _javascript.length(text[: match.start()]),
            "groups": {name: found for name, found in match.groupdict().items() if found is not None},
            "captures": list(match.groups()),
        }
    return Finding(
        verdict,
        {
            "regexPattern": rule,
            "not": negated,
            "verdict": verdict,
            "explanation": said,
            "matchDetails": details,
            "textExcerpt": excerpt(text),
        },
    )


def word_count(subject: Subject, params: Params) -> Finding:
    text = subject.text.strip()
    if not text:
        raise CheckError("Missing text to analyze")
    return _counted(text, len(re.split(r"\s+", text)), params, "word")


def character_count(subject: Subject, params: Params) -> Finding:
    text = text_of(subject)
    return _counted(text, _javascript.length(text), params, "character")


def _counted(text: str, count: int, params: Params, unit: str) -> Finding:
    minimum, maximum = f"min{unit.capitalize()}s", f"max{unit.capitalize()}s"
    low: Any = params.get(minimum)
    high: Any = params.get(maximum)
    if not (_is_whole(low) and _is_whole(high)):
        raise CheckError(f"Invalid or missing {unit} count range")
    negated = negation(params)
    within = low <= count <= high
    verdict = not within if negated else within
    ending = (" as expected." if verdict else " when it should not be.") if negated else "."
    side = "within" if within else "outside"
    bounds = f"{_javascript.text(low)}-{_javascript.text(high)}"
    return Finding(
        verdict,
        {
            f"{unit}Count": count,
            minimum: low,
            maximum: high,
            "not": negated,
            "verdict": verdict,
            "explanation": f"The text contains {count} {unit}s, which is {side} the specified range of {bounds} "
            f"{unit}s{ending}",
            "textExcerpt": excerpt(text),
        },
    )


def sentence_count(subject: Subject, params: Params) -> Finding:
    text = subject.text
    low: Any = params.get("minSentences")
    high: Any = params.get("maxSentences")
    negated = negation(params)
    if not (is_number(low) and is_number(high)):
        raise CheckError("Missing sentence count range")
    count = len(re.split(r"[.!?]", text)) - 1
    within = low <= count <= high
    verdict = not within if negated else within
    ending = (" as expected." if verdict else " when it should not be.") if negated else "."
    bounds = f"{_javascript.text(low)} to {_javascript.text(high)}"
    side = "within" if within else "outside"
    return Finding(
        verdict,
        {
            "sentenceCount": count,
            "minCount": low,
            "maxCount": high,
            "not": negated,
            "verdict": verdict,
            "explanation": f"The sentence count ({count}) is {side} the specified range of {bounds}{ending}",
            "textExcerpt": excerpt(text),
        },
    )


def contains_code(subject: Subject, params: Params) -> Finding:
    wanted, negated = params.get("format"), negation(params)
    if not wanted:
        raise CheckError("Missing required parameter: format")
    text = text_of(subject, "No text content to analyze")
    fences = [found.group(1).lower() for found in _FENCED_CODE.finditer(text)]
    languages = [_LANGUAGES.get(fence, fence) for fence in fences]
    if not fences:
        verdict, said = negated, "No code blocks found in the text"
    else:
        verdict = (wanted not in languages) if negated else (wanted in languages)
        said = {
            (True, False): f"Found code block(s) in {wanted} format",
            (True, True): f"No code blocks in {wanted} format found as expected",
            (False, False): f"No code blocks in {wanted} format found",
            (False, True): f"Found code block(s) in {wanted} format when none were expected",
        }[verdict, bool(negated)]
    return Finding(
        verdict,
        {
            "explanation": said,
            "searchedFormat": wanted,
            "not": negated,
            "foundFormats": languages,
            "textExcerpt": excerpt(text),
        },
    )


def ends_with(subject: Subject, params: Params) -> Finding:
    text = text_of(subject)
    suffix, negated = params.get("suffix"), negation(params)
    if not suffix:
        raise CheckError("Missing or empty suffix")
    ends = text.endswith((str(suffix), f"{suffix}."))
    verdict = not ends if negated else ends
    period = " (including trailing period)" if text.endswith(f"{suffix}.") else ""
    said = {
        (True, False): f'The text ends with "{suffix}"{period}.',
        (True, True): f'The text does not end with "{suffix}" as expected.',
        (False, False): f'The text does not end with "{suffix}".',
        (False, True): f'The text ends with "{suffix}" when it should not.',
    }[verdict, bool(negated)]
    data = {"suffix": suffix, "not": negated, "verdict": verdict, "explanation": said, "textExcerpt": excerpt(text)}
    return Finding(verdict, data)


def all_lower(subject: Subject, params: Params) -> Finding:
    return _all_in_case(subject, params, str.lower, "lowercase", "uppercase")


def all_upper(subject: Subject, params: Params) -> Finding:
    return _all_in_case(subject, params, str.upper, "uppercase", "lowercase")


def _all_in_case(subject: Subject, params: Params, folded: Callable[[str], str], case: str, other: str) -> Finding:
    negated = negation(params)
    text = text_of(subject)
    letters = re.sub(r"[^a-zA-Z]", "", text)
    holds = letters == folded(letters)
    verdict = not holds if negated else holds
    said = {
        (True, False): f"All alphabetic characters in the text are {case}.",
        (True, True): f"The text contains {other} characters as expected.",
        (False, False): f"The text contains {other} characters.",
        (False, True): f"All alphabetic characters in the text are {case} when they should not be.",
    }[verdict, bool(negated)]
    return Finding(verdict, {"verdict": verdict, "not": negated, "explanation": said, "textExcerpt": excerpt(text)})


def not_null(subject: Subject, params: Params) -> Finding:
    negated = negation(params)
    try:
        content, texts = subject.content, _trimmable(subject.texts)
    except UnreadableError as error:
        said = {"explanation": "An error occurred while checking for null content.", "error": str(error)}
        return Finding(verdict=False, data=said, error={"name": "TypeError", "message": str(error)})
    empty = not any(str(text or "").strip() for text in texts)
    verdict = empty if negated else not empty
    kind = "undefined" if content is _javascript.MISSING else _javascript.kind(content)
    data: dict[str, Any] = {
        "isNull": empty,
        "contentType": "object" if kind == "array" else kind,
        "textArrayLength": len(texts),
        "explanation": "Content is null, undefined, or empty." if empty else "Content exists and is not null.",
        "verdict": "passed" if verdict else "failed",
    }
    return Finding(verdict, data)


def _trimmable(texts: list[Any]) -> list[Any]:
    if not isinstance(next(filter(_javascript.truthy, texts), ""), str):
        raise UnreadableError("e.trim is not a function")
    return texts


def _is_whole(value: Any) -> bool:
    return is_number(value) and float(value).is_integer()
