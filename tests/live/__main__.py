"""`scripts/gateway`: the real gateway with a scripted provider behind it, for a person or for the corpus."""

# ruff: noqa: T201 - a command prints

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import yaml

from tests.conformance.compare import Agreement, differences, explain
from tests.conformance.results import untimed
from tests.conformance.scenarios import load_scenario, load_truth, names, save_truth
from tests.live.corpus import play_all, warm_up
from tests.live.gateway import GatewayUnavailableError, RealGateway
from tests.live.provider import LoopbackProvider
from tests.live.steps import StepError, parse_script

DEFAULT_PORT: Final = 8787
KEY: Final = "demo"
DEFAULT_SCRIPT: Final[dict[str, list[dict[str, Any]]]] = {
    "openai": [
        {
            "stream_switch": {
                "true": {"kind": "openai_sse", "deltas": ["Hello ", "from ", "loopback."], "gap": 0.2},
                "false": {"kind": "openai", "text": "Hello from loopback."},
            }
        }
    ],
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0, 1 for disagreement with the corpus, 2 for what cannot be done."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.record and options.conformance is None:
        parser.error("--record goes with --conformance")
    try:
        if options.install:
            RealGateway.install()
            print(f"Portkey gateway {RealGateway.version()} is installed")
            return 0
        if options.conformance is not None:
            return _conform(options.conformance, record=options.record)
        return _serve(options.port, _read_script(options.script) if options.script else DEFAULT_SCRIPT)
    except (GatewayUnavailableError, StepError) as error:
        print(f"scripts/gateway: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/gateway",
        description=f"Start Portkey's open-source gateway {RealGateway.version()} on loopback, with a scripted "
        "provider behind it, until Ctrl-C. No request leaves this machine.",
    )
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="of the gateway; 0 is any free one (%(default)s)"
    )
    parser.add_argument("--script", type=Path, metavar="FILE", help="YAML: upstream names to lists of provider steps")
    parser.add_argument("--install", action="store_true", help="install the gateway with npm and stop")
    parser.add_argument(
        "--conformance",
        nargs="?",
        const="",
        metavar="REGEX",
        help="play the recorded scenarios (those whose name matches) and show where the gateway no longer agrees",
    )
    parser.add_argument(
        "--record", action="store_true", help="with --conformance: record what differs as the new truth"
    )
    return parser


def _serve(port: int, script: dict[str, Any]) -> int:
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with LoopbackProvider() as provider:
            provider.load(KEY, script)
            with RealGateway(port=port) as gateway:
                print(_welcome(gateway, provider, list(script)), flush=True)
                gateway.wait()
    except KeyboardInterrupt:
        print()
    return 0


def _interrupt(*_: object) -> NoReturn:
    """End as on Ctrl-C, so that the gateway is stopped on the way out."""
    raise KeyboardInterrupt


def _welcome(gateway: RealGateway, provider: LoopbackProvider, upstreams: Sequence[str]) -> str:
    hosts = {name: f"{provider.url(KEY, name)}/v1" for name in upstreams}
    config = {"provider": "openai", "api_key": "any", "custom_host": next(iter(hosts.values()))}
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
    return "\n".join(
        [
            f"gateway {RealGateway.version()}   {gateway.base_url}",
            *(f"provider {name:<8} {url}" for name, url in hosts.items()),
            "",
            f"curl {gateway.base_url}/chat/completions -H 'content-type: application/json' \\",
            f"  -H 'x-portkey-config: {json.dumps(config)}' \\",
            f"  -d '{json.dumps(body)}'",
            "",
            "from portkey_client import Portkey",
            f"client = Portkey(base_url={gateway.base_url!r}, api_key='any', config={config!r})",
            "print(client.chat.completions.create(model='gpt-4o', messages=[{'role': 'user', 'content': 'hello'}]))",
            "",
            "Ctrl-C ends both.",
        ]
    )


def _read_script(file: Path) -> dict[str, Any]:
    """The provider steps in a file: upstream names to steps, bare or, as in a scenario, under `upstreams`."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise StepError(f"{file} cannot be read as YAML: {error}") from None
    script = (
        content["upstreams"] if isinstance(content, dict) and isinstance(content.get("upstreams"), dict) else content
    )
    if not parse_script(script, str(file)):
        raise StepError(f"{file}: expected at least one upstream")
    return dict(script)


def _conform(pattern: str, *, record: bool) -> int:
    scenarios = [load_scenario(name) for name in names(pattern)]
    if not scenarios:
        print(f"scripts/gateway: no scenario matches {pattern!r}", file=sys.stderr)
        return 2
    agreement, recorded = Agreement(), 0
    with LoopbackProvider() as provider, RealGateway() as gateway:
        warm_up(gateway.url, provider)
        for scenario, results in play_all(scenarios, gateway.url, provider):
            name, truth = scenario["id"], load_truth(scenario["id"])
            found = differences(truth, results, scenario.get("compare"))
            agreement.add(scenario["group"], found)
            if found:
                print(f"{name}\n{explain(found)}")
            if record and (found or untimed(truth) != untimed(results)):
                save_truth(name, results)
                recorded += 1
    print(agreement)
    if record:
        print(f"recorded {recorded} scenarios anew; review them with git diff")
    return 0 if agreement.complete or record else 1


if __name__ == "__main__":
    sys.exit(main())
