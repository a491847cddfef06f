"""The corpus: what is sent to a gateway, how the providers behind it behave, and what the real one answered.

`data/scenarios/NAME.yaml` holds a scenario:

    id, group, title, notes
    upstreams     upstream names to lists of steps (`tests/live/steps.py` says what a step can be)
    request, or requests (sent one after another), each with
        method (POST), path (/v1/chat/completions), headers
        config        a mapping, sent as JSON in `x-portkey-config`; `config_raw` is sent literally
        body          a JSON value; `raw_body` is sent literally
        content_type  (application/json where there is a body); null sends none
        wait          seconds to wait before sending
    repeat        how often the one request is sent, with `expect_share` (upstream to fraction) and `tolerance`
    compare       hints, see `compare.py`
    variants      on which builds of the gateway it was recorded

`data/truth/NAME.yaml` holds what came back, in the form that `results.py` describes: `results` from the build of the
gateway's container image (`recorded_on`), `variants` from other builds where those differ, `same_on` those that do not.

Texts in a request may hold `{{host:NAME}}`, the base URL of an upstream with `/v1`; `{{root:NAME}}`, the same
without it; `{{refused}}`, a base URL on which nothing listens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import yaml

from tests.conformance.results import Result

DATA: Final = Path(__file__).resolve().parent / "data"

Scenario = dict[str, Any]


@dataclass(frozen=True, slots=True)
class WireRequest:
    """A request of a scenario as it is sent.

    Attributes:
        method: HTTP method.
        path: Path and query.
        headers: Lower-case names to values.
        body: None sends no body.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None


def names(pattern: str = "") -> list[str]:
    """Every scenario whose name the regular expression finds something in, sorted."""
    found = sorted(file.stem for file in (DATA / "scenarios").glob("*.yaml"))
    return [name for name in found if re.search(pattern, name)]


def load_scenario(name: str) -> Scenario:
    """The scenario of this name, as its file has it."""
    return cast(Scenario, _read(DATA / "scenarios" / f"{name}.yaml"))


def load_truth(name: str) -> list[Result]:
    """What the real gateway answered to the scenario of this name, one result for each request."""
    return cast(list[Result], _read(truth_file(name))["results"])


def save_truth(name: str, results: list[Result]) -> None:
    """Replace the recorded results of this scenario, and nothing else in its file."""
    file = truth_file(name)
    recorded = {**_read(file), "results": results}
    file.write_text(yaml.dump(recorded, Dumper=_Dumper, allow_unicode=True, width=110, default_flow_style=False))


def truth_file(name: str) -> Path:
    """Where the truth of the scenario of this name is kept."""
    return DATA / "truth" / f"{name}.yaml"


def requests_of(scenario: Scenario) -> list[dict[str, Any]]:
    """The requests of a scenario in the order in which they are sent."""
    return list(scenario.get("requests") or [scenario["request"]])


def placeholders(scenario: Scenario, root_url: Callable[[str], str], refused: str) -> dict[str, str]:
    """Each placeholder of a scenario and the URL it stands for.

    Parameters:
        root_url: From the name of an upstream to its base URL without `/v1`.
        refused: A base URL on which nothing listens.
    """
    urls = {"{{refused}}": refused}
    for name in scenario.get("upstreams") or {}:
        urls[f"{{{{host:{name}}}}}"] = f"{root_url(name)}/v1"
        urls[f"{{{{root:{name}}}}}"] = root_url(name)
    return urls


def wire_request(request: Mapping[str, Any], urls: Mapping[str, str]) -> WireRequest:
    """A request of a scenario with its defaults and its placeholders resolved."""
    resolved = _resolve(dict(request), urls)
    headers = {name.lower(): str(value) for name, value in (resolved.get("headers") or {}).items()}
    if resolved.get("config") is not None:
        headers["x-portkey-config"] = json.dumps(resolved["config"])
    if "config_raw" in resolved:
        headers["x-portkey-config"] = resolved["config_raw"]
    body: bytes | None = None
    if "raw_body" in resolved:
        body = resolved["raw_body"].encode()
    elif "body" in resolved:
        body = json.dumps(resolved["body"]).encode()
    content_type = resolved.get("content_type", "application/json" if body is not None else None)
    if content_type:
        headers.setdefault("content-type", content_type)
    return WireRequest(resolved.get("method", "POST"), resolved.get("path", "/v1/chat/completions"), headers, body)


def _resolve(value: Any, urls: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _resolve(each, urls) for key, each in value.items()}
    if isinstance(value, list):
        return [_resolve(each, urls) for each in value]
    if isinstance(value, str):
        for placeholder, url in urls.items():
            value = value.replace(placeholder, url)
    return value


def _read(file: Path) -> Any:
    return yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)  # ten times faster than SafeLoader


class _Dumper(yaml.SafeDumper):
    """Writes equal values out in full: an alias would make a review harder to read."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
