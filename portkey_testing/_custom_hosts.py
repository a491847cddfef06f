"""Which hosts a config may send requests to: the gateway guards against calls into private networks.

The rules are those of Portkey's open-source gateway 1.15.2 (its `isValidCustomHost`), with the hosts it trusts by
default. It reads the URL as browsers do, so `http://127.1` is `http://127.0.0.1`.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import unquote

_TRUSTED: Final = frozenset(("localhost", "127.0.0.1", "host.docker.internal"))
_BLOCKED: Final = frozenset(("metadata", "metadata.azure.com", "instance-data"))
_BLOCKED_ENDINGS: Final = (
    ".local",
    ".localdomain",
    ".internal",
    ".intranet",
    ".lan",
    ".home",
    ".corp",
    ".test",
    ".invalid",
    ".onion",
    ".localhost",
)
_BLOCKED_NETWORKS: Final = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "100.64.0.0/10",
        "0.0.0.0/8",
        "224.0.0.0/3",
    )
)
_MOST_LABELS: Final = 10

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_URL = re.compile(r"(?P<scheme>https?):[/\\]*(?P<host>[^/\\?#:]*)(?::(?P<port>\d*))?(?:[/\\?#].*)?", re.IGNORECASE)
_HOST = re.compile(r"[a-z0-9.-]+")


def valid_custom_host(url: str) -> bool:
    """Whether the gateway would call that URL."""
    if _CONTROL.search(url) or "@" in url or "api.portkey" in url.lower():
        return False
    parts = _URL.fullmatch(url.strip(" "))
    if parts is None or not _valid_port(parts["port"]):
        return False
    host = _canonical(_ascii(unquote(parts["host"]).lower()))
    if host is None or not _HOST.fullmatch(host) or host.endswith(".") or len(host.split(".")) > _MOST_LABELS:
        return False
    if host in _TRUSTED or host.endswith(".localhost"):
        return True
    if host in _BLOCKED or host.endswith(_BLOCKED_ENDINGS):
        return False
    try:
        address = ipaddress.IPv4Address(host)
    except ValueError:
        return True
    return not any(address in network for network in _BLOCKED_NETWORKS)


def _valid_port(port: str | None) -> bool:
    return not port or 0 < int(port) <= 65535


def _ascii(host: str) -> str:
    """The host as DNS knows it: a name in other letters has one in ASCII."""
    try:
        return host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        return host


def _canonical(host: str) -> str | None:
    """The host as a URL parser spells it: a name that ends in a number is an IPv4 address; None if it is a bad one."""
    labels = host.removesuffix(".").split(".")
    if not re.fullmatch(r"\d+|0x[0-9a-f]*", labels[-1]):
        return host
    try:
        numbers = [_number(label) for label in labels]
    except ValueError:
        return None
    *leading, last = numbers
    if len(numbers) > 4 or any(number > 255 for number in leading) or last >= 256 ** (5 - len(numbers)):
        return None
    value = last + sum(number << (8 * (3 - position)) for position, number in enumerate(leading))
    return str(ipaddress.IPv4Address(value))


def _number(label: str) -> int:
    if label.startswith("0x"):
        return int(label[2:] or "0", 16)
    return int(label, 8) if len(label) > 1 and label.startswith("0") else int(label)
