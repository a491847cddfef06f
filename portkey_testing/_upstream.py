"""What a request to a provider is answered with: by a script, by chance, by the store, or by the provider's refusal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from portkey_testing import _honesty, _provider, _refusals, _report
from portkey_testing._dialects.base import Dialect, ProviderAnswer, Stamps
from portkey_testing._stored import Store
from portkey_testing.chaos import Chaos, strike
from portkey_testing.failures import DishonestReply, PortkeyTestFailure, RefusedRequest, UnscriptedRequest
from portkey_testing.journal import UpstreamRequest
from portkey_testing.matching import AttemptView, Scripts
from portkey_testing.replies import Answer, Chunks, Completion, Reply, as_reply
from portkey_testing.timeline import GatewayRequest

_SAID: Final = (Answer, Completion, Chunks)
"""Replies that are what a model says."""

_INPUT_GUARDRAILS: Final = "x-portkey-default-input-guardrails"
_OUTPUT_GUARDRAILS: Final = "x-portkey-default-output-guardrails"


class Upstream:
    """All providers of one fake.

    Args:
        scripts: What they have been told to answer.
        chaos: What strikes at random.
        allowed: The rules that are loosened.
        stamps: Ids and times they make up.
        fail: Told of a failure that the application gets an answer in spite of.
        fakes_mounted: Says how many fakes are mounted at the moment.
    """

    def __init__(
        self,
        scripts: Scripts,
        *,
        chaos: Sequence[Chaos],
        allowed: AbstractSet[str],
        stamps: Stamps,
        fail: Callable[[PortkeyTestFailure], None],
        fakes_mounted: Callable[[], int],
    ) -> None:
        self._scripts = scripts
        self._chaos = chaos
        self._allowed = allowed
        self._stamps = stamps
        self._fail = fail
        self._fakes_mounted = fakes_mounted
        self._store = Store()

    def answer(self, view: AttemptView, request: UpstreamRequest, dialect: Dialect) -> tuple[ProviderAnswer, object]:
        """What the provider answers, and the reply that says so, or words for it.

        Raises:
            UnscriptedRequest: the test did not say.
            DishonestReply: the provider cannot say what the test did.
            BrokenScript: the test's own function failed.
        """
        if not dialect.speaks:
            return self._unspoken(view, request, dialect)
        match = self._scripts.find(view)
        if self._chaos and match is not None and (struck := strike(self._chaos, "provider")) is not None:
            return _provider.answer(struck, view.provider, view.params, self._stamps, dialect), f"chaos: {struck}"
        said = None if match is None else match.said(view)
        # What a model says needs a request the provider takes; an error or the provider's own bytes do not.
        # Whoever answers at a host of its own may have other rules than the provider it speaks like.
        if view.custom_host is None and (said is None or isinstance(said, _SAID)):
            refused = _refusals.refused(view.provider, request.body, escapes=_has_escapes(view.client_request))
            if refused is not None:
                return self._refusal(refused, view)
        if match is None or said is None:
            raise self._unscripted(view)
        match.use()
        # Other requests to a model have other names for tools and formats.
        if isinstance(said, _SAID) and view.client_request.path.endswith("/chat/completions"):
            whole = not isinstance(said, Chunks)
            _honesty.check(_provider.as_answer(said), view.params, self._allowed, whole=whole)
        answer = _provider.answer(said, view.provider, view.params, self._stamps, dialect)
        return self._kept(answer, said, view), said

    def keep(self, answer: object, params: Mapping[str, Any]) -> str:
        """Put a completion into the store; returns its id.

        Raises:
            TypeError: it is nothing that a model says.
            ValueError: it has no id.
        """
        reply = as_reply(answer)
        if not isinstance(reply, _SAID):
            raise TypeError(f"only what a model says can be stored, not {reply}")
        _, completion = _provider.kept(_provider.answer(reply, "openai", params, self._stamps))
        if "id" not in completion:
            raise ValueError(f"a completion that is stored is asked for by its id, and this has none: {reply}")
        self._store.put(completion, params)
        return str(completion["id"])

    def _unspoken(self, view: AttemptView, request: UpstreamRequest, dialect: Dialect) -> tuple[ProviderAnswer, object]:
        """The answer to a request that no model answers, such as one for a stored completion."""
        match = self._scripts.find(view)
        said = None if match is None else match.said(view)
        if said is None or isinstance(said, _SAID):
            stored = self._store.answer(request.method, request.url, request.body, self._stamps)
            if stored is not None:
                return stored, "stored completions"
        if match is None or said is None:
            raise self._unscripted(view)
        match.use()
        if isinstance(said, _SAID):
            raise DishonestReply(
                f"{said} is what a model says, and {request.method} {request.url} is no request to a model. "
                "Script the provider's own answer, with native(...) or status(...)."
            )
        return _provider.answer(said, view.provider, view.params, self._stamps, dialect), said

    def _unscripted(self, view: AttemptView) -> UnscriptedRequest:
        return UnscriptedRequest(_report.unscripted(view, self._scripts, fakes_mounted=self._fakes_mounted()))

    def _refusal(self, refused: _refusals.Refused, view: AttemptView) -> tuple[ProviderAnswer, object]:
        if _refusals.RULE not in self._allowed:
            self._fail(
                RefusedRequest(
                    f"{_report.brief(view)}: the provider would have refused this request with "
                    f"{refused.status}: {refused.explanation} The application got that refusal; "
                    f"if the test means it, loosen the rule with fake.allow({_refusals.RULE!r})."
                )
            )
        return _provider.refusal(refused), f"refused: {refused.message}"

    def _kept(self, answer: ProviderAnswer, said: Reply, view: AttemptView) -> ProviderAnswer:
        """The answer, kept by the provider where the request asks for that."""
        sound = isinstance(said, _SAID) and said.delivery.damage is None
        whole = sound and not answer.fragile and answer.status == 200
        if view.params.get("store") is not True or not whole or view.provider == "anthropic":
            return answer
        answer, completion = _provider.kept(answer)
        self._store.put(completion, view.params)
        return answer


def _has_escapes(request: GatewayRequest) -> bool:
    """Whether the JSON that a provider's request is made of may have characters written as escapes."""
    headers = request.headers
    return (
        b"\\u" in request.body
        or "\\u" in headers.get("x-portkey-config", "")
        or _INPUT_GUARDRAILS in headers
        or _OUTPUT_GUARDRAILS in headers
    )
