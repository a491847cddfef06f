"""Reading what the application sent: its body, its metadata and its config, as the gateway reads them."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Mapping
from typing import Any, NamedTuple

from portkey_testing import _javascript, _json_errors
from portkey_testing._policy import BrokenRequestError, Target
from portkey_testing._routes import Route
from portkey_testing.timeline import GatewayRequest

_BOUNDARY = re.compile(r'multipart/form-data;.*?boundary="?([^";]+)', re.IGNORECASE)


class Inbound(NamedTuple):
    """A request that goes to providers.

    Attributes:
        request: As the application sent it, with everything the account keeps written into its headers.
        route: Its kind.
        body: Its JSON; None where the gateway does not read it.
        raw: Its text, where the gateway passes it on unread.
        metadata: The JSON of its metadata header.
    """

    request: GatewayRequest
    route: Route
    body: Any
    raw: str | None
    metadata: Mapping[str, Any]

    @property
    def endpoint(self) -> str:
        """The gateway's name for its kind."""
        return self.route.endpoint

    def params(self, target: Target) -> Mapping[str, Any]:
        """The fields of the body with the target's overrides; overrides alone make no body."""
        body = self.body
        if not isinstance(body, dict):
            if not _javascript.truthy(body):
                return {}
            body = _javascript.spread(body)
        return {**body, **target.overrides}


def read(request: GatewayRequest, route: Route) -> Inbound:
    """The request as the gateway reads it for that route.

    Raises:
        BrokenRequestError: the body is not the JSON it has to be.
    """
    body, raw = _body(request, route)
    return Inbound(request, route, body, raw, _metadata(request.headers))


def _body(request: GatewayRequest, route: Route) -> tuple[Any, str | None]:
    """The JSON of the body, and its text where it is passed on unread."""
    if route.body == "json":
        return _json(request.body), None
    if route.body == "none":
        return {}, None
    if route.endpoint == "uploadFile":
        return None, request.body.decode("utf-8", "replace")
    kind = request.headers.get("content-type", "").split(";")[0]
    if (route.body == "form" or kind == "multipart/form-data") and not _is_form(request):
        raise BrokenRequestError("Failed to parse body as FormData.")
    if kind == "application/json":
        return ({} if request.method in ("GET", "DELETE") else _json(request.body)), None
    return None, request.body.decode("utf-8", "replace") if kind.startswith(("multipart/form-data", "audio")) else None


def _is_form(request: GatewayRequest) -> bool:
    """Whether the body is a form with files, to its end."""
    boundary = _BOUNDARY.match(request.headers.get("content-type", ""))
    return boundary is not None and f"--{boundary[1]}--".encode() in request.body


def _metadata(headers: Mapping[str, str]) -> Mapping[str, Any]:
    written = headers.get("x-portkey-metadata")
    if written is None:
        return {}
    try:
        found = _javascript.parse(written)
    except ValueError:
        return {}
    return found if isinstance(found, Mapping) else {}


def _json(body: bytes) -> Any:
    body = body.removeprefix(BOM_UTF8)  # what reads a request as text takes it for no part of that
    try:
        return _javascript.parse(body)
    except ValueError as error:
        raise BrokenRequestError(_json_errors.parse_error(body.decode("utf-8", "replace"))) from error
