"""Sending with a client of httpx2, which goes on where httpx left off: as a transport below one of httpx.

Its requests, answers and exceptions are classes of their own, of the same names. Imported only where one is given.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx


class BridgedClient(httpx.Client):
    """An httpx client that sends with one of httpx2, which stays its owner's to close."""

    def __init__(self, theirs: Any) -> None:
        super().__init__(transport=_Bridge(theirs), timeout=_timeout(theirs))
        self._theirs = theirs

    @property
    def is_closed(self) -> bool:
        """Whether either client has been closed."""
        return super().is_closed or bool(self._theirs.is_closed)


class BridgedAsyncClient(httpx.AsyncClient):
    """The same for async programs."""

    def __init__(self, theirs: Any) -> None:
        super().__init__(transport=_AsyncBridge(theirs), timeout=_timeout(theirs))
        self._theirs = theirs

    @property
    def is_closed(self) -> bool:
        """Whether either client has been closed."""
        return super().is_closed or bool(self._theirs.is_closed)


class _Bridge(httpx.BaseTransport):
    def __init__(self, client: Any) -> None:
        self._client = client

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        with _in_classes_of_httpx():
            response = self._client.send(_request(self._client, request), stream=True, follow_redirects=False)
        return _response(response)


class _AsyncBridge(httpx.AsyncBaseTransport):
    def __init__(self, client: Any) -> None:
        self._client = client

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        with _in_classes_of_httpx():
            response = await self._client.send(_request(self._client, request), stream=True, follow_redirects=False)
        return _response(response)


class _Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body of one of their responses, as it comes."""

    def __init__(self, response: Any) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        with _in_classes_of_httpx():
            yield from self._response.iter_raw()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _in_classes_of_httpx():
            async for data in self._response.aiter_raw():
                yield data

    def close(self) -> None:
        self._response.close()

    async def aclose(self) -> None:
        await self._response.aclose()


def _request(client: Any, request: httpx.Request) -> Any:
    """One of their requests, with the headers, parameters and cookies of their client where ours names none."""
    return client.build_request(
        request.method,
        str(request.url),
        params=request.url.params.multi_items(),
        headers=request.headers.raw,
        content=request.content,
        extensions=request.extensions,
    )


def _response(response: Any) -> httpx.Response:
    if response.is_stream_consumed:  # made by a test double from bytes, which are undone already
        headers = [(name, value) for name, value in response.headers.raw if name.lower() != b"content-encoding"]
        return httpx.Response(response.status_code, headers=headers, content=response.content)
    return httpx.Response(
        response.status_code, headers=response.headers.raw, stream=_Body(response), extensions=response.extensions
    )


def _timeout(client: Any) -> httpx.Timeout:
    return httpx.Timeout(**client.timeout.as_dict())


@contextmanager
def _in_classes_of_httpx() -> Generator[None]:
    """Raise what httpx2 raises as the class of that name in httpx, with the other as its cause."""
    library: Any = sys.modules["httpx2"]
    try:
        yield
    except library.InvalidURL as error:
        raise httpx.InvalidURL(str(error)) from error
    except library.HTTPError as error:
        named = (getattr(httpx, kind.__name__, None) for kind in type(error).__mro__)
        alike = (kind for kind in named if isinstance(kind, type) and issubclass(kind, httpx.RequestError))
        raise next(alike, httpx.HTTPError)(str(error)) from error
