"""The budget holds, whatever fails."""

from __future__ import annotations

from examples.cookbook.retry_budget import BUDGET_ATTEMPTS, BUDGET_SECONDS, ask
from portkey_testing import FakeGateway, error, fault_matrix, text
from portkey_testing.replies import Reply


@fault_matrix("provider")
def test_no_failure_breaks_the_budget(portkey_fake: FakeGateway, fault: Reply) -> None:
    """Every failure there is, at both providers and for good, stays within time and attempts."""
    portkey_fake.always(fault)

    ask("Weather in Oslo?")

    assert portkey_fake.clock.now <= BUDGET_SECONDS
    assert len(portkey_fake.last.route.attempts) <= BUDGET_ATTEMPTS


def test_the_worst_case(portkey_fake: FakeGateway) -> None:
    """Each attempt is as slow as it may be before it fails: the client gives up when the budget is used up."""
    portkey_fake.provider("openai").always(error("overloaded").delayed(3.9))
    portkey_fake.provider("anthropic").always(text("too late").delayed(60))

    assert ask("Weather in Oslo?") is None
    assert portkey_fake.clock.now == BUDGET_SECONDS
    assert len(portkey_fake.calls) == 1
