"""Every `x-portkey-*` request header in one table, and how a value becomes its text.

The rules are those observed of portkey-ai 2.3.4, byte for byte: a keyword becomes `x-portkey-` and its name with
hyphens, a bool becomes `true` or `false`, a mapping becomes JSON (ASCII, with blanks), anything falsy is left out, and
the rest is its `str()`.
"""

# No postponed annotations here: TypedDict would have to compile each again.

import json
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypedDict, Unpack
from uuid import UUID

from ._gateway import GatewayInfo
from ._version import VERSION
from .errors import ConfigurationError

if TYPE_CHECKING:
    from .config import Config

__all__ = [
    "HEADER_OPTIONS",
    "ClientOptions",
    "GatewayInfo",
    "HeaderOption",
    "HeaderOptions",
    "createHeaders",
    "create_headers",
]

PREFIX: Final = "x-portkey-"

Kind = Literal["text", "flag", "json", "list", "milliseconds"]


class HeaderOption(NamedTuple):
    """A constructor keyword that becomes a request header.

    Attributes:
        keyword: The keyword.
        kind: What it takes: `text`; `flag`, a bool; `json`, a mapping or its text; `list`, of texts; `milliseconds`,
            an int.
        meaning: What it is for, one line.
    """

    keyword: str
    kind: Kind
    meaning: str

    @property
    def header(self) -> str:
        """Name of the header."""
        return "Authorization" if self.keyword == "Authorization" else header_name(self.keyword)


HEADER_OPTIONS: Final[Mapping[str, HeaderOption]] = {
    option.keyword: option
    for option in (
        # Which provider, with whose credentials
        HeaderOption("api_key", "text", "Portkey API key; the variable PORTKEY_API_KEY where it is not given"),
        HeaderOption("virtual_key", "text", "provider credentials kept by Portkey"),
        HeaderOption("config", "json", "gateway config: a mapping, a `Config`, JSON text or a saved id (`pc-...`)"),
        HeaderOption("provider", "text", "provider name, or `@slug` of one kept by Portkey"),
        HeaderOption("Authorization", "text", "the provider's key; `Bearer ` is put in front"),
        HeaderOption("custom_host", "text", "base URL of the provider, in place of its own"),
        HeaderOption("forward_headers", "list", "keywords sent as headers of their own name, for the provider"),
        HeaderOption("provider_model", "text", "the provider's own name of the model"),
        HeaderOption("provider_file_name", "text", "name of a file at the provider"),
        # Following a request
        HeaderOption("trace_id", "text", "id that groups requests in the logs"),
        HeaderOption("metadata", "json", "labels for the logs; values are texts"),
        HeaderOption("debug", "flag", "whether the logs keep the bodies"),
        # The gateway's behaviour
        HeaderOption("cache_force_refresh", "flag", "whether to renew a cached answer"),
        HeaderOption("cache_namespace", "text", "partition of the cache"),
        HeaderOption("request_timeout", "milliseconds", "how long the gateway waits for a provider; 408 after that"),
        HeaderOption("strict_open_ai_compliance", "flag", "whether to leave out what OpenAI's format does not have"),
        # OpenAI
        HeaderOption("openai_project", "text", "OpenAI project"),
        HeaderOption("openai_organization", "text", "OpenAI organization"),
        # Amazon Bedrock
        HeaderOption("aws_secret_access_key", "text", "AWS secret access key"),
        HeaderOption("aws_access_key_id", "text", "AWS access key id"),
        HeaderOption("aws_session_token", "text", "AWS session token"),
        HeaderOption("aws_region", "text", "AWS region"),
        HeaderOption("aws_s3_bucket", "text", "S3 bucket of batches and files"),
        HeaderOption("aws_s3_object_key", "text", "key of an object in that bucket"),
        HeaderOption("aws_bedrock_model", "text", "Bedrock model of a batch"),
        # Google Vertex AI
        HeaderOption("vertex_project_id", "text", "Google Cloud project"),
        HeaderOption("vertex_region", "text", "Vertex AI region"),
        HeaderOption("vertex_storage_bucket_name", "text", "storage bucket of batches and files"),
        HeaderOption("vertex_service_account_json", "json", "service account key"),
        # Azure OpenAI and Azure AI
        HeaderOption("azure_resource_name", "text", "Azure OpenAI resource"),
        HeaderOption("azure_deployment_id", "text", "Azure OpenAI deployment"),
        HeaderOption("azure_api_version", "text", "Azure API version"),
        HeaderOption("azure_endpoint_name", "text", "Azure AI endpoint"),
        # Others
        HeaderOption("workers_ai_account_id", "text", "Cloudflare account"),
        HeaderOption("huggingface_base_url", "text", "Hugging Face endpoint"),
        HeaderOption("fireworks_account_id", "text", "Fireworks account"),
        HeaderOption("anthropic_beta", "text", "Anthropic beta features"),
        HeaderOption("anthropic_version", "text", "Anthropic API version"),
        HeaderOption("mistral_fim_completion", "text", "whether Mistral completes fill-in-the-middle"),
    )
}
"""Every declared keyword that becomes a header, in the order of the documentation."""


UNUSED_OPTIONS: Final = frozenset(
    {"calculate_audio_duration", "instrumentation", "webhook_secret", "websocket_base_url"}
)
"""Keywords of portkey_ai's constructor for what this client does not have. They are taken, and sent nowhere."""


class _Options(TypedDict, total=False):
    """The keywords of `HEADER_OPTIONS` but `api_key`, for type checkers (a test keeps the two the same)."""

    virtual_key: str | None
    config: "Mapping[str, Any] | Config | str | None"
    provider: str | None
    Authorization: str | None
    custom_host: str | None
    forward_headers: Sequence[str] | None
    provider_model: str | None
    provider_file_name: str | None
    trace_id: str | None
    metadata: Mapping[str, Any] | str | None
    debug: bool | None
    cache_force_refresh: bool | None
    cache_namespace: str | None
    request_timeout: int | None
    strict_open_ai_compliance: bool | None
    openai_project: str | None
    openai_organization: str | None
    aws_secret_access_key: str | None
    aws_access_key_id: str | None
    aws_session_token: str | None
    aws_region: str | None
    aws_s3_bucket: str | None
    aws_s3_object_key: str | None
    aws_bedrock_model: str | None
    vertex_project_id: str | None
    vertex_region: str | None
    vertex_storage_bucket_name: str | None
    vertex_service_account_json: Mapping[str, Any] | str | None
    azure_resource_name: str | None
    azure_deployment_id: str | None
    azure_api_version: str | None
    azure_endpoint_name: str | None
    workers_ai_account_id: str | None
    huggingface_base_url: str | None
    fireworks_account_id: str | None
    anthropic_beta: str | None
    anthropic_version: str | None
    mistral_fim_completion: str | None


class HeaderOptions(_Options, total=False):
    """All keywords of `HEADER_OPTIONS`, for type checkers."""

    api_key: str | None


class ClientOptions(_Options, total=False):
    """What a client takes beside `api_key`: the others, and `UNUSED_OPTIONS`."""

    calculate_audio_duration: bool
    instrumentation: bool
    webhook_secret: str | None
    websocket_base_url: str | None


# What is taken without a word: also what programs give in place of the declared types, and whose `str()` is meant.
_KIND_TYPES: Final[Mapping[Kind, tuple[tuple[type, ...], str]]] = {
    "text": ((str, int, float, UUID), "a str"),
    "flag": ((bool, int, str), "a bool"),
    "json": ((str, Mapping), "a mapping or a str"),
    "list": ((list, tuple, set, frozenset), "a list of str"),
    "milliseconds": ((int, float, str), "an int, in milliseconds"),
}

# Keywords of other SDKs that would silently become headers here.
_FOREIGN_KEYWORDS: Final[Mapping[str, str]] = {
    "default_headers": "pass headers per call as extra_headers, or give http_client= its own",
    "default_query": "pass it per call as extra_query, or give http_client= its own params",
    "organization": "did you mean openai_organization?",
    "project": "did you mean openai_project?",
    "retries": "did you mean max_retries?",
    "headers": "pass headers per call as extra_headers, or give http_client= its own",
    "proxy": "give http_client= its own proxy",
    "model": "pass it to create(), or set it in the config's override_params",
}


def create_headers(**options: Unpack[HeaderOptions]) -> dict[str, str]:
    """The request headers for these options, for use with another client.

    Such as `OpenAI(base_url=PORTKEY_GATEWAY_URL, default_headers=create_headers(...))`. Keywords beyond the declared
    ones become `x-portkey-` headers by the same rule.

    Raises:
        ConfigurationError: A value that its option cannot take, or that no header can carry.
    """
    return encode_options(dict(options))


createHeaders = create_headers
"""The name of `create_headers` in portkey_ai."""


def encode_options(options: Mapping[str, Any]) -> dict[str, str]:
    """Headers for options, declared or not."""
    forwarded = [name.replace("_", "-") for name in _forwarded_names(options.get("forward_headers"))]
    headers: dict[str, str] = {}
    for keyword, value in options.items():
        check_option(keyword, value)
        text = _encode(keyword, value)
        if not text:
            continue
        if keyword.lower() == "authorization":
            name, text = keyword, text if text.startswith("Bearer ") else f"Bearer {text}"
        elif keyword == "mode":  # of the SDK's first releases
            name, text = f"{PREFIX}mode", f"proxy {text}"
        elif keyword.replace("_", "-") in forwarded:
            name = keyword.replace("_", "-")
        else:
            name = header_name(keyword)
        headers[name] = check_header(name, text, f"{keyword}=")
    return headers


@cache
def sdk_headers() -> Mapping[str, str]:
    """What every request says about the client itself."""
    implementation = {"cpython": "CPython", "pypy": "PyPy"}.get(sys.implementation.name, sys.implementation.name)
    return {
        "Accept": "application/json",
        "Content-Type": "application/json",
        "Accept-Encoding": "gzip",  # what `_body` can undo, and check to the end
        "User-Agent": f"portkey-client/{VERSION}",
        f"{PREFIX}package-version": f"portkey-client-{VERSION}",
        f"{PREFIX}runtime": implementation,
        f"{PREFIX}runtime-version": ".".join(map(str, sys.version_info[:3])),
    }


def header_name(keyword: str) -> str:
    """The header an option becomes."""
    return PREFIX + keyword.replace("_", "-")


def check_option(keyword: str, value: Any) -> None:
    """Raise ConfigurationError if a declared option cannot take `value`; undeclared ones take anything."""
    option = HEADER_OPTIONS.get(keyword)
    if option is None or value is None or (keyword == "config" and _is_config(value)):
        return
    types, expected = _KIND_TYPES[option.kind]
    wrong_bool = option.kind == "milliseconds" and isinstance(value, bool)
    if not isinstance(value, types) or wrong_bool:
        raise ConfigurationError(f"{keyword}= must be {expected}, got {type(value).__name__}: {_shown(keyword, value)}")


def check_header(name: str, text: str, source: str) -> str:
    """`text` if a header can carry it.

    Raises:
        ConfigurationError: It holds a line break or something beyond ASCII; `source` says where it came from.
    """
    if not isinstance(text, str):
        raise ConfigurationError(f"{source} must be a str to be sent as header {name}, got {type(text).__name__}")
    if text.isascii() and text.isprintable():
        return text
    position, character = next((i, c) for i, c in enumerate(text) if not (c.isascii() and c.isprintable()))
    raise ConfigurationError(
        f"{source} cannot be sent as header {name}: headers carry printable ASCII only, "
        f"and character {position} is {character!r}; encode it, for example as JSON or percent-encoded"
    )


def warn_of_options(options: Mapping[str, Any], real_options: Iterable[str], stacklevel: int) -> None:
    """Warn, at the caller's line, of options without effect and of keywords that look like something else was meant."""
    if options.get("instrumentation"):
        warnings.warn(
            "instrumentation= has no effect: this client makes no spans of its own; instrument httpx instead",
            UserWarning,
            stacklevel=stacklevel + 1,
        )
    declared = HEADER_OPTIONS.keys() | UNUSED_OPTIONS
    unknown = [name for name in options if name not in declared and name.lower() != "authorization"]
    if not unknown:
        return
    import difflib  # rarely needed

    known = [*HEADER_OPTIONS, *real_options]
    for keyword in unknown:
        close = difflib.get_close_matches(keyword, known, n=1, cutoff=0.8)
        hint = _FOREIGN_KEYWORDS.get(keyword) or (f"did you mean {close[0]}?" if close else None)
        if hint:
            warnings.warn(
                f"unknown option {keyword}= is sent as header {header_name(keyword)}; {hint}",
                UserWarning,
                stacklevel=stacklevel + 1,
            )


def _is_config(value: Any) -> bool:
    # Whoever has a Config has imported it; others need not.
    module = sys.modules.get("portkey_client.config")
    return module is not None and isinstance(value, module.Config)


def _encode(keyword: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if keyword == "config" and _is_config(value):
        value = value.to_dict()
    if isinstance(value, Mapping):
        try:
            return json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigurationError(f"{keyword}= cannot be sent as JSON: {error}") from error
    if not value:
        return ""
    if keyword == "forward_headers":
        return ",".join(_forwarded_names(value))
    return str(value)


def _forwarded_names(names: Any) -> list[str]:
    if names is None:
        return []
    if not isinstance(names, list | tuple | set | frozenset) or not all(isinstance(name, str) for name in names):
        raise ConfigurationError(f"forward_headers= must be a list of str, got {type(names).__name__}: {names!r}")
    return list(names)


def _shown(keyword: str, value: Any) -> str:
    return "(not shown)" if any(word in keyword.lower() for word in ("key", "secret", "token", "auth")) else repr(value)
