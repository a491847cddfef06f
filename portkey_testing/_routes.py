"""Which kind of request a method and a path are, and how the gateway reads it.

As Portkey's open-source gateway 1.15.2 routes them (its `index.ts` and the handlers it names).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from portkey_testing._dialects.base import CHAT, PROXY

Body: TypeAlias = Literal["json", "form", "none", "any"]


@dataclass(frozen=True, slots=True)
class Route:
    """A kind of request.

    Attributes:
        endpoint: The gateway's name for it.
        body: `json` must be JSON and `form` a form; `any` is read by its content type, and sent on as it is where it
            is no JSON; `none` is not read.
        validated: The headers are checked first.
        says_why: A config that routes nowhere is answered with the reason, and not with a bare 500.
    """

    endpoint: str
    body: Body = "json"
    validated: bool = True
    says_why: bool = False

    @property
    def unreadable(self) -> str:
        """What the gateway says of a body that is not JSON; `{}` is the place of the runtime's own words."""
        return "Proxy error: {}" if self.endpoint == PROXY else "Something went wrong"


PROMPTS: Final = Route("prompts")
"""The prompts of the hosted product, which the open-source gateway knows by name only."""

REALTIME: Final = Route("realtime", "none")
"""Where the gateway waits for a WebSocket, and whoever asks for anything else waits with it."""

_CHAT_ROUTE: Final = Route(CHAT, says_why=True)
_PROXIED: Final = Route(PROXY, "any", says_why=True)

_EXACT: Final[dict[tuple[str, str], Route]] = {
    ("POST", "chat/completions"): _CHAT_ROUTE,
    ("POST", "completions"): Route("complete"),
    ("POST", "embeddings"): Route("embed"),
    ("POST", "messages"): Route("messages", says_why=True),
    ("POST", "messages/count_tokens"): Route("messagesCountTokens", says_why=True),
    ("POST", "responses"): Route("createModelResponse"),
    ("POST", "images/generations"): Route("imageGenerate"),
    ("POST", "images/edits"): Route("imageEdit", "form"),
    ("POST", "audio/speech"): Route("createSpeech"),
    ("POST", "audio/transcriptions"): Route("createTranscription", "form"),
    ("POST", "audio/translations"): Route("createTranslation", "form"),
    ("GET", "files"): Route("listFiles", "none"),
    ("POST", "files"): Route("uploadFile", "any"),
    ("POST", "batches"): Route("createBatch"),
    ("GET", "batches"): Route("listBatches", "none"),
    ("GET", "realtime"): REALTIME,
}
_PATTERNS: Final = tuple(
    (method, re.compile(pattern), Route(endpoint, "none"))
    for method, pattern, endpoint in (
        ("GET", "files/[^/]+", "retrieveFile"),
        ("DELETE", "files/[^/]+", "deleteFile"),
        ("GET", "files/[^/]+/content", "retrieveFileContent"),
        ("GET", "batches/[^/]+/output", "getBatchOutput"),
        ("GET", "batches/[^/]+", "retrieveBatch"),
        ("POST", "batches/[^/]+/cancel", "cancelBatch"),
        ("GET", "responses/[^/]+", "getModelResponse"),
        ("DELETE", "responses/[^/]+", "deleteModelResponse"),
        ("GET", "responses/[^/]+/input_items", "listResponseInputItems"),
    )
)
_FINE_TUNING = re.compile(r"fine_tuning/jobs(/[^/]+){0,2}")


@lru_cache(maxsize=128)
def route_of(method: str, path: str) -> Route | None:
    """The route of a request below `/v1/`; None where the gateway knows none."""
    if method == "HEAD":
        method = "GET"
    if path == "/v1" and method in ("POST", "DELETE"):
        return _PROXIED
    if not path.startswith("/v1/"):
        return None
    rest = path.removeprefix("/v1/")
    if (method, rest) in _EXACT:
        return _EXACT[method, rest]
    if _FINE_TUNING.fullmatch(rest):
        return _fine_tuning(method, has_job=rest.count("/") > 1)
    for known, pattern, route in _PATTERNS:
        if method == known and pattern.fullmatch(rest):
            return route
    if method == "POST" and rest.startswith("prompts/"):
        return _prompt(path)
    if method == "POST" and f"{rest}/".startswith("proxy/"):
        return Route(PROXY, "any", validated=False, says_why=True)
    if method not in ("GET", "POST", "DELETE") or (method == "GET" and rest.startswith("realtime")):
        return None
    return _PROXIED


def _fine_tuning(method: str, *, has_job: bool) -> Route:
    if method == "POST":
        return Route("cancelFinetune", "none") if has_job else Route("createFinetune")
    return Route("retrieveFinetune" if method == "GET" and has_job else "listFinetunes", "none")


def _prompt(path: str) -> Route:
    if path.endswith("/v1/chat/completions"):
        return _CHAT_ROUTE
    return Route("complete") if path.endswith("/v1/completions") else PROMPTS
