"""The fake gateway a test holds: it names what a test can do and leaves the doing to the engine, mounts and clock."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portkey_testing._application import ApplicationHandle
from portkey_testing._blocks import block
from portkey_testing._custom_hosts import valid_custom_host
from portkey_testing._engine import RULES, Edition, Engine
from portkey_testing._guardrails import external_checks
from portkey_testing._hosted import Integration, as_config, as_guardrail, key_behind
from portkey_testing._wanted import check_provider
from portkey_testing.clock import VirtualClock
from portkey_testing.faults import unknown
from portkey_testing.guard import RULE as RULE_ESCAPED
from portkey_testing.guard import Guard, guards_on_watch, host_patterns, watching
from portkey_testing.journal import Call
from portkey_testing.matching import AttemptView, Conditions, Handle, conditions
from portkey_testing.timeline import GatewayRequest, Responder, Timeline

if TYPE_CHECKING:
    from portkey_client import Config
    from portkey_testing._recorded import CassetteGateway
    from portkey_testing.cassettes import MatchRules, Recorder, Redactor, Replay
    from portkey_testing.mounts.server import Server
    from portkey_testing.mounts.transport import FakeTransport
    from portkey_testing.replies import ReplyLike

_TARGET_PATH = re.compile(r"config(\.targets\[\d+\])+")
_RULES = RULES | {RULE_ESCAPED}


class FakeGateway:
    """A gateway that evaluates real configs and whose providers say what the test scripts.

    Args:
        seed: What load balancing, jitter and everything else that is left to chance are drawn from.
        edition: `hosted` knows saved configs, virtual keys and a default provider; `open-source` is the bare gateway.
        gateway_urls: Base URLs whose requests are the gateway's, beside all requests with Portkey's headers.
        allow_hosts: Patterns of hosts off this machine that may be reached while it is mounted, as `*.corp.example`.

    Raises:
        TypeError: the seed is no whole number, or a list is a single text.
        ValueError: there is no such edition, a base URL is none, or a pattern could never match.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        edition: Edition = "hosted",
        gateway_urls: Iterable[str] = (),
        allow_hosts: Iterable[str] = (),
    ) -> None:
        if edition not in ("hosted", "open-source"):
            raise ValueError(f"edition is 'hosted' or 'open-source', not {edition!r}")
        if not isinstance(seed, int):
            raise TypeError(f"seed is a whole number, which --portkey-seed can repeat, not {seed!r}")
        self.clock = VirtualClock()
        self._engine = Engine(seed=seed, edition=edition, fakes_mounted=guards_on_watch)  # each mount has a guard
        self._recordings: list[CassetteGateway] = []
        self._gateway_urls = _base_urls(gateway_urls)
        self._allow_hosts = host_patterns(allow_hosts)

    @property
    def seed(self) -> int:
        return self._engine.seed

    @property
    def edition(self) -> Edition:
        return self._engine.edition

    # What the providers say

    def reply(self, *replies: ReplyLike) -> Handle:
        """Queue replies for any provider."""
        return self._handle().reply(*replies)

    def always(self, reply: ReplyLike) -> Handle:
        """Let any provider answer that whenever nothing else does."""
        return self._handle().always(reply)

    def provider(
        self,
        name: str,
        *,
        model: str | None = None,
        api_key: str | None = None,
        custom_host: str | None = None,
        virtual_key: str | None = None,
        slug: str | None = None,
        target: str | None = None,
    ) -> Handle:
        """Scripts for one provider, narrowed to one model, key, host or target.

        The same arguments give the same queue.

        Raises:
            ValueError: the gateway knows no such provider.
            LookupError: nobody registered that virtual key or slug.
        """
        key = self._key(api_key, virtual_key, slug)
        wanted = conditions(provider=name, model=model, api_key=key, custom_host=custom_host, target=target)
        return Handle(self._engine.providers.script(wanted))

    def when(
        self,
        *,
        message: str | re.Pattern[str] | None = None,
        system: str | re.Pattern[str] | None = None,
        model: str | None = None,
        provider: str | None = None,
        target: str | None = None,
        api_key: str | None = None,
        custom_host: str | None = None,
        virtual_key: str | None = None,
        slug: str | None = None,
        tools: Iterable[str] | None = None,
        tool_result: Mapping[str, object] | None = None,
        turn: int | None = None,
        stream: bool | None = None,
        metadata: Mapping[str, object] | None = None,
        messages: Sequence[Mapping[str, Any]] | None = None,
        json: Mapping[str, object] | None = None,
        predicate: Callable[[AttemptView], object] | None = None,
    ) -> Handle:
        """Scripts for the attempts that meet all the given conditions, see `Conditions`.

        Raises:
            TypeError: a value cannot be what its condition asks for.
            ValueError: a path of `json` is none, or the gateway knows no such provider.
            LookupError: nobody registered that virtual key or slug.
        """
        wanted = conditions(
            message=message,
            system=system,
            model=model,
            provider=provider,
            target=target,
            api_key=self._key(api_key, virtual_key, slug),
            custom_host=custom_host,
            tools=tools,
            tool_result=tool_result,
            turn=turn,
            stream=stream,
            metadata=metadata,
            messages=messages,
            json=json,
            predicate=predicate,
        )
        return Handle(self._engine.providers.script(wanted))

    @property
    def gateway(self) -> ApplicationHandle:
        """Scripts for the way between application and gateway: nothing is routed, no Portkey headers come back."""
        return ApplicationHandle(self._engine.application.script(Conditions()))

    # What the gateway knows and draws

    def saved_config(self, config_id: str, config: Mapping[str, Any] | Config) -> None:
        """Register a config that requests name by its id: a dict, or a `portkey_client.Config`.

        Raises:
            TypeError: it is no config, or the id is no string.
            ValueError: the gateway would refuse it.
        """
        if not isinstance(config_id, str):
            raise TypeError(f"saved_config() takes the id as a string such as 'pc-prod-1', not {config_id!r}")
        self._engine.account.configs[config_id] = as_config(config, f"saved_config({config_id!r})")

    def virtual_key(
        self, key: str, *, provider: str, api_key: str | None = None, custom_host: str | None = None
    ) -> None:
        """Register a virtual key, or the slug of a provider, as in `@slug` or `@slug/model`.

        Args:
            key: The virtual key or slug.
            provider: The provider behind it.
            api_key: The provider's key; made up from the slug if not given.
            custom_host: Base URL in place of the provider's own.

        Raises:
            TypeError: the key is no string.
            ValueError: the gateway knows no such provider, or could not reach that host.
        """
        if not isinstance(key, str):
            raise TypeError(f"virtual_key() takes the key or slug as a string such as 'openai-prod', not {key!r}")
        if custom_host is not None and not valid_custom_host(custom_host):
            raise ValueError(
                f"virtual_key(custom_host=...) is a base URL that the gateway may call, not {custom_host!r}"
            )
        name = key.removeprefix("@")
        check_provider(provider)
        integration = Integration(provider, key_behind(name) if api_key is None else api_key, custom_host)
        self._engine.account.integrations[name] = integration

    def default_config(self, config: Mapping[str, Any] | Config, *, api_key: str | None = None) -> None:
        """Use that config for requests that bring none: the default config of an API key.

        A provider that the request names is for targets of the config that name none.

        Args:
            config: The config, as a dict or a `portkey_client.Config`.
            api_key: The Portkey API key it belongs to; every other one if not given.

        Raises:
            TypeError: it is no config.
            ValueError: the gateway would refuse it.
        """
        self._engine.account.defaults[api_key] = as_config(config, "default_config()")

    def default_provider(self, provider: str) -> None:
        """Use that provider for requests that name none.

        Raises:
            ValueError: the gateway knows no such provider.
        """
        check_provider(provider)
        self._engine.account.fallback = {"provider": provider, "api_key": key_behind(provider)}

    def guardrail(self, guardrail_id: str, checks: Mapping[str, Any]) -> None:
        """Register a guardrail that configs name by its id, spelt out as a config would: checks, `deny` and so on.

        Raises:
            TypeError: the checks are no dict.
            ValueError: the gateway has no check of a name.
        """
        self._engine.account.guardrails[guardrail_id] = as_guardrail(checks)

    def check(self, check_id: str, *, passes: bool) -> None:
        """Say what a check finds that asks a service outside, such as `portkey.pii`.

        Raises:
            ValueError: the gateway has no such check, or it runs here.
        """
        if check_id not in external_checks():
            raise ValueError(
                f"there is no check {check_id!r} that asks a service outside; there are: "
                f"{', '.join(sorted(external_checks()))}"
            )
        self._engine.account.verdicts[check_id] = passes

    def pick(self, *targets: str) -> None:
        """Make load balancing choose these targets next, by their paths such as `config.targets[1]`.

        A choice that no load-balanced group can make fails the test at its end.

        Raises:
            ValueError: something is no path of a target.
        """
        for target in targets:
            if not _TARGET_PATH.fullmatch(str(target)):
                raise ValueError(f"pick() takes paths of targets such as 'config.targets[1]', not {target!r}")
        self._engine.draws.picks.extend(targets)

    def allow(self, *rules: str) -> None:
        """Loosen rules by name.

        Raises:
            TypeError: something is no name, or there is none.
            ValueError: there is no rule of that name.
        """
        if not rules:
            raise TypeError(f"allow() takes at least one rule: {', '.join(sorted(_RULES))}")
        for rule in rules:
            if not isinstance(rule, str):
                raise TypeError(f"allow() takes names of rules, one by one, not {rule!r}")
            if rule not in _RULES:
                raise unknown("rule", rule, sorted(_RULES))
        self._engine.allowed.update(rules)

    def chaos(self, *, rate: float, faults: Iterable[str] | None = None, leg: str = "provider") -> None:
        """Put failures in the place of answers at random, from the seed; the replies in their places stay queued.

        Args:
            rate: The share of attempts that fail, from 0 to 1.
            faults: Names of provider errors, wire faults and damages; by default those that pass.
            leg: `provider` or `application`.

        Raises:
            ValueError: the rate is no share, the leg is none, or there is no failure of a name.
        """
        from portkey_testing.chaos import make_chaos

        already = self._engine.chaos
        already.append(make_chaos(rate=rate, names=faults, leg=leg, seed=self.seed, number=len(already) + 1))

    def load(self, path: str | Path) -> None:
        """Script what a scenario file says, see `portkey_testing.scenario`.

        Raises:
            ScenarioError: the file is no scenario; the text names file, line and field.
        """
        from portkey_testing.scenario import load

        load(self, path)

    def store_completion(
        self,
        answer: ReplyLike,
        *,
        messages: Sequence[Mapping[str, Any]] = (),
        model: str = "gpt-4o",
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """Put a completion into the provider's store, as if it had been created with `store=True`.

        Args:
            answer: What the model said: anything a reply may be that is an answer of a model.
            messages: The conversation it answered.
            model: Name of the model.
            metadata: Its metadata.

        Returns:
            Its id.

        Raises:
            TypeError: `answer` is nothing that a model says.
            ValueError: it is a completion without an id.
        """
        params = {"model": model, "messages": list(messages), "metadata": dict(metadata or {})}
        return self._engine.keep(answer, params)

    # What happened

    def assert_well_behaved(self) -> None:
        """Hold the application to good manners, see `portkey_testing.verdict`.

        Raises:
            AssertionError: it retried what must not be retried, did not wait as long as it was asked to, stormed, took
                half an answer for a whole one, or left a stream open.
        """
        from portkey_testing.verdict import explain, findings

        found = findings(self.calls)
        if found:
            raise AssertionError(explain(found))

    @property
    def calls(self) -> list[Call]:
        """Every request of the application, in the order they arrived."""
        return self._engine.journal.calls

    @property
    def last(self) -> Call:
        """The latest call.

        Raises:
            LookupError: there was none.
        """
        if not self.calls:
            raise LookupError("the fake gateway has not been called yet")
        return self.calls[-1]

    @property
    def journal(self) -> str:
        """All calls as a tree, for people; on top how to bring the same failures again, if they came by chance."""
        return "\n".join([*(chaos.reproduce for chaos in self._engine.chaos), str(self._engine.journal)])

    @property
    def leftovers(self) -> str | None:
        """The queued replies that were never used, for people; None if there are none."""
        return self._engine.leftovers()

    def verify(self) -> None:
        """Say what the test may not have noticed: swallowed failures, refused requests, replies nobody asked for.

        Raises:
            PortkeyTestFailure: something of that kind happened since the last time.
        """
        for recorded in self._recordings:
            recorded.verify()
        self._engine.verify()

    def retire(self, why: str) -> None:
        """Take no more replies: its test is over, and what is scripted now would answer nobody.

        Args:
            why: What whoever scripts one is told.
        """
        self._engine.providers.retire(why)
        self._engine.application.retire(why)

    # How clients reach it

    def respond(self, request: GatewayRequest, now: float) -> Timeline:
        """Answer a request that a mount brings: from the cassette that is being replayed, else from the scripts."""
        responder: Responder = self._recordings[-1] if self._recordings else self._engine
        return responder.respond(request, now)

    @block
    def mount(self) -> Generator[FakeGateway]:
        """Answer all clients of httpx, httpx2 and aiohttp in the process, and verify after a block that went well."""
        with self.mounted():
            yield self
        self.verify()

    @contextmanager
    def mounted(self) -> Generator[None]:
        """The same without verifying, for those who verify at another time."""
        from portkey_testing.mounts import respx

        urls = (*respx.GATEWAY_URLS, *self._gateway_urls)
        guard = Guard(self._allow_hosts, self._engine.fail, lambda: RULE_ESCAPED in self._engine.allowed)
        with watching(guard), respx.mounted(respx.Mount(self, self.clock, urls, guard)):
            yield

    def transport(self) -> FakeTransport:
        """A transport for one `httpx.Client` or `httpx.AsyncClient`; nothing is patched."""
        from portkey_testing.mounts.transport import FakeTransport

        return FakeTransport(self, self.clock)

    @block
    def serve(self, *, host: str = "127.0.0.1", port: int = 0, time_scale: float = 1.0) -> Generator[Server]:
        """Serve on a real port, in real time, and verify at the end of a block that went well.

        Args:
            host: Address to listen on.
            port: Port to listen on; 0 takes a free one.
            time_scale: Scripted seconds take this many real ones; 0 does not wait at all.

        Raises:
            OSError: the port cannot be had.
        """
        from portkey_testing.mounts.server import serving

        with serving(self, host=host, port=port, time_scale=time_scale) as server:
            yield server
        self.verify()

    @block
    def replay(
        self,
        path: str | Path,
        *,
        rules: MatchRules | None = None,
        redactor: Redactor | None = None,
        cache: Path | None = None,
    ) -> Generator[Replay]:
        """Answer from a recorded cassette in place of the scripts.

        A request the cassette has no answer to, and an interaction that was not asked for by the end of a block that
        went well, fail the test.

        Args:
            path: The cassette.
            rules: What the comparison of requests leaves out.
            redactor: The rules by which the recording was redacted, where they are not the defaults.
            cache: Folder in which to keep what a large file was parsed to.

        Raises:
            CassetteError: the file is no cassette, or is damaged.
        """
        from portkey_testing._recorded import open_cassette

        recorded = open_cassette(
            path, self._engine.journal, self._engine.fail, rules=rules, redactor=redactor, cache=cache
        )
        with self._answering(recorded):
            yield recorded.replay

    @block
    def record(
        self,
        path: str | Path,
        gateway: str | None = None,
        mode: str = "once",
        *,
        rules: MatchRules | None = None,
        redactor: Redactor | None = None,
        cache: Path | None = None,
        session: str | None = None,
        away: bool = False,
    ) -> Generator[Recorder]:
        """Record a cassette: send the requests of httpx and httpx2 on to the real gateway, and keep what comes back.

        Args:
            path: The cassette.
            gateway: Base URL of the gateway, as `http://127.0.0.1:8787/v1`; by default the one each client has. The
                credentials stay the client's.
            mode: What to do with a request, see `portkey_testing.cassettes.recorder`; `none` is `replay`.
            rules: What the comparison of requests leaves out.
            redactor: What must not be written.
            cache: Folder in which to keep what a large file was parsed to.
            session: Name of the test run, the same in all of its processes.
            away: Leave the file alone and keep what is recorded in `Recorder.luggage`.

        Raises:
            ValueError: the mode is none, or `gateway` is no base URL.
            CassetteError: the file is damaged, or something could not be written.
        """
        from portkey_testing._recorded import RecordingGateway, miss
        from portkey_testing.cassettes import Recorder
        from portkey_testing.cassettes.recorder import gateway_name
        from portkey_testing.mounts import live, respx

        urls = (*respx.GATEWAY_URLS, *self._gateway_urls, *_base_urls(() if gateway is None else (gateway,), "gateway"))
        recorder = Recorder(
            path,
            mode,
            rules=rules,
            redactor=redactor,
            gateway="" if gateway is None else gateway_name(gateway),
            session=session,
            away=away,
            replay_options={"on_miss": miss, "cache": cache},
        )
        with recorder:
            recording = RecordingGateway(
                recorder,
                gateway=gateway,
                claims=respx.Mount(self, self.clock, urls, Guard((), self._engine.fail, bool)).claims,
                clock=self.clock,
                journal=self._engine.journal,
                fail=self._engine.fail,
            )
            with live.watched(recording), self._answering(recording):
                yield recorder

    @contextmanager
    def _answering(self, recording: CassetteGateway) -> Generator[None]:
        """Let a cassette answer until the block is left, and verify it if that went well."""
        self._recordings.append(recording)
        try:
            yield
            recording.verify()
        finally:
            self._recordings.remove(recording)

    def _key(self, api_key: str | None, virtual_key: str | None, slug: str | None) -> str | None:
        """The provider's key, which is what the gateway makes of a virtual key or a slug."""
        name = virtual_key or slug
        if name is None:
            return api_key
        found = self._engine.account.integrations.get(name.removeprefix("@"))
        if found is None:
            known = name.removeprefix("@")
            raise LookupError(
                f"nobody registered the virtual key or slug {known!r}; do so first, with "
                f'fake.virtual_key({known!r}, provider="openai")'
            )
        return found.api_key

    def _handle(self) -> Handle:
        return Handle(self._engine.providers.script(Conditions()))

    def __repr__(self) -> str:
        return f"<FakeGateway {self.edition}, seed {self.seed}, {len(self.calls)} calls>"


def _base_urls(gateway_urls: Iterable[str], argument: str = "gateway_urls") -> tuple[str, ...]:
    if isinstance(gateway_urls, str):
        raise TypeError(f"gateway_urls takes a list of base URLs, as in [{gateway_urls!r}], not a single text")
    for url in gateway_urls:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{argument} takes base URLs such as 'http://localhost:8787/v1', not {url!r}")
    return tuple(gateway_urls)
