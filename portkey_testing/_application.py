"""Scripts for the way between the application and the gateway."""

from __future__ import annotations

from portkey_testing.faults import CATALOGUE
from portkey_testing.matching import Handle
from portkey_testing.replies import FaultReply, ReplyLike


class ApplicationHandle(Handle):
    """Scripts for what happens between the application and the gateway.

    An httpx exception stands for the wire fault that raises it, so that it arrives as the class of the library the
    client uses.
    """

    def reply(self, *replies: ReplyLike | Exception | type[Exception]) -> Handle:
        return super().reply(*(_as_fault(reply) for reply in replies))

    def always(self, reply: ReplyLike | Exception | type[Exception]) -> Handle:
        return super().always(_as_fault(reply))


def _as_fault(reply: ReplyLike | Exception | type[Exception]) -> ReplyLike:
    """An httpx exception as the wire fault that raises it."""
    match reply:
        case Exception():
            kind = type(reply)
        case type() if issubclass(reply, Exception):
            kind = reply
        case _:
            return reply
    for fault in CATALOGUE.values():
        if fault.raises == kind.__name__ and fault.phase != "body":
            return FaultReply(name=fault.name)
    known = sorted({fault.raises for fault in CATALOGUE.values() if fault.raises})
    raise TypeError(f"{kind.__name__} is no failure a client sees before an answer; there are: {', '.join(known)}")
