"""One TLS context for all clients of a process, its certificates loaded when the first connection needs them.

Loading takes some 40 ms, which a client that never connects (one in a test, say) need not pay.
"""

from __future__ import annotations

import os
import ssl
import threading
from typing import Any

_lock = threading.Lock()
_shared: _Context | None = None


class _Context(ssl.SSLContext):
    """A context with the usual safe settings that loads the trusted certificates when first used."""

    _loaded = False

    def wrap_socket(self, *args: Any, **kwargs: Any) -> Any:
        self._load()
        return super().wrap_socket(*args, **kwargs)

    def wrap_bio(self, *args: Any, **kwargs: Any) -> Any:
        self._load()
        return super().wrap_bio(*args, **kwargs)

    def _load(self) -> None:
        with _lock:
            if self._loaded:
                return
            # The variables and the fallback are httpx's own.
            if file := os.environ.get("SSL_CERT_FILE"):
                self.load_verify_locations(cafile=file)
            elif directory := os.environ.get("SSL_CERT_DIR"):
                self.load_verify_locations(capath=directory)
            else:
                import certifi

                self.load_verify_locations(cafile=certifi.where())
            self._loaded = True


def shared_context() -> ssl.SSLContext:
    """The context that this package's own clients share; a `http_client=` brings its own."""
    global _shared
    with _lock:
        if _shared is None:
            _shared = _Context(ssl.PROTOCOL_TLS_CLIENT)  # checks certificates and host names
        return _shared
