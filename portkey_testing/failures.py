"""What fails a test that uses the fake.

    PortkeyTestFailure(BaseException)
    ├── UnscriptedRequest     a request, or one attempt of it, that no script answers
    ├── UnusedReplies         queued replies that nothing asked for
    ├── CassetteMiss          a request that the replayed cassette has no answer to
    ├── UnplayedInteractions  recorded interactions that nothing asked for
    ├── NotRecorded           a request that came a way on which nothing can be recorded
    ├── DishonestReply        a reply that no provider could have given to that request
    ├── BrokenScript          a function of the test, in the place of a reply or a condition, that went wrong
    ├── RefusedRequest        a request the provider would have refused, answered in its words
    ├── UnknownToGateway      a saved config, virtual key or slug that nobody registered
    ├── EscapedRequest        a request that would have left the machine
    ├── HangingRequest        a request that would never be answered, from a client without a timeout
    ├── NotSimulated          a gateway feature the fake does not imitate
    └── SeveralFailures       more than one of these, when a test ends

None of them derives from `Exception`, like the outcomes of pytest itself: the SDKs catch every `Exception` around their
transport, retry it, and report "Connection error.", which would hide the explanation from the one who needs it.
"""

from __future__ import annotations

from collections.abc import Sequence


class PortkeyTestFailure(BaseException):
    """The base of all failures of the fake; its text is the whole explanation."""


class UnscriptedRequest(PortkeyTestFailure):
    """No script answers a request."""


class UnusedReplies(PortkeyTestFailure):
    """The test scripted replies that were never used."""


class CassetteMiss(PortkeyTestFailure):
    """A cassette holds no answer to a request, or no more of it."""


class UnplayedInteractions(PortkeyTestFailure):
    """A cassette holds interactions that the test never asked for."""


class NotRecorded(PortkeyTestFailure):
    """A cassette is being recorded, and a request came a way that does not lead to the real gateway."""


class DishonestReply(PortkeyTestFailure):
    """A scripted reply could not have come from the provider it stands for."""


class BrokenScript(PortkeyTestFailure):
    """A function that the test wrote, as a reply or as a condition, raised or gave nothing that can answer."""


class RefusedRequest(PortkeyTestFailure):
    """The provider would have refused a request; the application got the refusal, and the test should know."""


class UnknownToGateway(PortkeyTestFailure):
    """A request names a saved config, virtual key or provider slug that the gateway does not have."""


class EscapedRequest(PortkeyTestFailure):
    """A request to a host that is neither the gateway nor this machine."""


class HangingRequest(PortkeyTestFailure):
    """Nothing would ever answer, and the client has no timeout that would end the wait."""


class NotSimulated(PortkeyTestFailure):
    """A request asks for something of the gateway that the fake does not imitate."""


class SeveralFailures(PortkeyTestFailure):
    """All that went wrong in one test.

    Attributes:
        failures: The single failures, in the order they happened.
    """

    def __init__(self, failures: Sequence[PortkeyTestFailure]) -> None:
        self.failures = tuple(failures)
        numbered = (f"{number}. {type(failure).__name__}: {failure}" for number, failure in enumerate(failures, 1))
        super().__init__(f"{len(self.failures)} failures of the fake gateway:\n\n" + "\n\n".join(numbered))


for _failure in (PortkeyTestFailure, *PortkeyTestFailure.__subclasses__()):
    # Reports name them by the path that tests import them from.
    _failure.__module__ = "portkey_testing"
