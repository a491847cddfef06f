"""The fake gateway a test holds: it names what a test can do and leaves the doing to the engine, mounts and clock."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portkey_testing._engine import RULES, Edition, Engine
from portkey_testing.clock import VirtualClock
from portkey_testing.journal import Call
from portkey_testing.matching import Conditions, Handle, results_condition
from portkey_testing.replies import FaultReply
from portkey_testing.timeline import GatewayRequest, Responder, Timeline

if TYPE_CHECKING:
    from portkey_testing.mounts.transport import FakeTransport


class ApplicationHandle(Handle):
    """Scripts for what happens between the application and the gateway.

    An httpx exception stands for the wire fault that raises it, so that it arrives as the class of the library the
    client uses.
    """

    def reply(self, *replies: object) -> Handle:
        return super().reply(*(_as_fault(reply) for reply in replies))

    def always(self, reply: object) -> Handle:
        return super().always(_as_fault(reply))


class FakeGateway:
    """A gateway that evaluates real configs and whose providers say what the test scripts.

    Args:
        seed: What load balancing, jitter and everything else that is left to chance are drawn from.
        edition: `hosted` knows saved configs, virtual keys and a default provider; `open-source` is the bare gateway.
        gateway_urls: Base URLs whose requests are the gateway's, beside all requests with Portkey's headers.
    """

    def __init__(self, *, seed: int = 0, edition: Edition = "hosted", gateway_urls: Iterable[str] = ()) -> None:
        if edition not in ("hosted", "open-source"):
            raise ValueError(f"edition is 'hosted' or 'open-source', not {edition!r}")
        self.clock = VirtualClock()
        self._engine = Engine(seed=seed, edition=edition)
        self._responders: list[Responder] = [self._engine]
        self._gateway_urls = tuple(gateway_urls)

    @property
    def seed(self) -> int:
        return self._engine.seed

    @property
    def edition(self) -> Edition:
        return self._engine.edition

    # What the providers say

    def reply(self, *replies: object) -> Handle:
        """Queue replies for any provider."""
        return self._handle().reply(*replies)

    def always(self, reply: object) -> Handle:
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
        target: str | None = None,
    ) -> Handle:
        """Scripts for one provider, narrowed to one model, key, host or target.

        The same arguments give the same queue.
        """
        conditions = Conditions(
            provider=name, model=model, api_key=api_key, custom_host=custom_host, virtual_key=virtual_key, target=target
        )
        return Handle(self._engine.providers.script(conditions))

    def when(
        self,
        *,
        message: str | re.Pattern[str] | None = None,
        model: str | None = None,
        provider: str | None = None,
        target: str | None = None,
        api_key: str | None = None,
        custom_host: str | None = None,
        virtual_key: str | None = None,
        turn: int | None = None,
        stream: bool | None = None,
        tool_result: Mapping[str, str] | None = None,
    ) -> Handle:
        """Scripts for the attempts that meet all the given conditions, see `Conditions`."""
        conditions = Conditions(
            message=message,
            model=model,
            provider=provider,
            target=target,
            api_key=api_key,
            custom_host=custom_host,
            virtual_key=virtual_key,
            turn=turn,
            stream=stream,
            tool_result=results_condition(tool_result),
        )
        return Handle(self._engine.providers.script(conditions))

    @property
    def gateway(self) -> ApplicationHandle:
        """Scripts for the way between application and gateway: nothing is routed, no Portkey headers come back."""
        return ApplicationHandle(self._engine.application.script(Conditions()))

    # What the gateway knows and draws

    def saved_config(self, config_id: str, config: Mapping[str, Any]) -> None:
        """Register a config that requests name by its id."""
        self._engine.account.configs[config_id] = config

    def virtual_key(self, key: str, *, provider: str) -> None:
        """Register a virtual key, or the slug of a provider (`@slug`)."""
        self._engine.account.virtual_keys[key.removeprefix("@")] = provider

    def default_provider(self, provider: str) -> None:
        """Use that provider for requests that name none."""
        self._engine.account.default = {"provider": provider, "api_key": f"key-of-{provider}"}

    def pick(self, *targets: str) -> None:
        """Make load balancing choose these targets next, by their paths such as `config.targets[1]`."""
        self._engine.picks.extend(targets)

    def allow(self, *rules: str) -> None:
        """Loosen rules by name.

        Raises:
            ValueError: there is no rule of that name.
        """
        for rule in rules:
            if rule not in RULES:
                raise ValueError(f"there is no rule {rule!r} to loosen; there are: {', '.join(sorted(RULES))}")
        self._engine.allowed.update(rules)

    # What happened

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
        """All calls as a tree, for people."""
        return str(self._engine.journal)

    @property
    def leftovers(self) -> str | None:
        """The queued replies that were never used, for people; None if there are none."""
        return self._engine.leftovers()

    def verify(self) -> None:
        """Say what the test may not have noticed: swallowed failures, refused requests, unused replies.

        Raises:
            PortkeyTestFailure: something of that kind happened since the last time.
        """
        self._engine.verify()

    # How clients reach it

    def respond(self, request: GatewayRequest, now: float) -> Timeline:
        """Answer a request that a mount brings: from the cassette that is being replayed, else from the scripts."""
        return self._responders[-1].respond(request, now)

    @contextmanager
    def mount(self) -> Iterator[FakeGateway]:
        """Answer every httpx and httpx2 client of the process, and verify at the end of a block that went well."""
        with self.mounted():
            yield self
        self.verify()

    @contextmanager
    def mounted(self) -> Iterator[None]:
        """The same without verifying, for those who verify at another time."""
        from portkey_testing.mounts import respx

        urls = (*respx.GATEWAY_URLS, *self._gateway_urls)
        with respx.mounted(respx.Mount(self, self.clock, urls, self._engine.fail)):
            yield

    def transport(self) -> FakeTransport:
        """A transport for one `httpx.Client` or `httpx.AsyncClient`; nothing is patched."""
        from portkey_testing.mounts.transport import FakeTransport

        return FakeTransport(self, self.clock)

    @contextmanager
    def replay(self, path: str | Path) -> Iterator[None]:
        """Answer from a recorded cassette in place of the scripts.

        A request the cassette has no answer to, and an interaction that was not asked for by the end of a block that
        went well, fail the test.

        Raises:
            CassetteError: the file is no cassette, or is damaged.
        """
        from portkey_testing._recorded import RecordedGateway

        recorded = RecordedGateway(path, self._engine.journal, self._engine.fail)
        self._responders.append(recorded)
        try:
            yield
            recorded.verify()
        finally:
            self._responders.remove(recorded)

    def _handle(self) -> Handle:
        return Handle(self._engine.providers.script(Conditions()))

    def __repr__(self) -> str:
        return f"<FakeGateway {self.edition}, seed {self.seed}, {len(self.calls)} calls>"


def _as_fault(reply: object) -> object:
    """An httpx exception as the wire fault that raises it."""
    from portkey_testing.faults import CATALOGUE

    kind = reply if isinstance(reply, type) else type(reply)
    if not issubclass(kind, Exception):
        return reply
    for fault in CATALOGUE.values():
        if fault.raises == kind.__name__ and fault.phase != "body":
            return FaultReply(name=fault.name)
    known = sorted({fault.raises for fault in CATALOGUE.values() if fault.raises})
    raise TypeError(f"{kind.__name__} is no failure a client sees before an answer; there are: {', '.join(known)}")
