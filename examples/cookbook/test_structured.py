"""An object, or the reason why there is none."""

from __future__ import annotations

import pytest

from examples.cookbook.structured import Invoice, NoInvoiceError, read_invoice
from portkey_testing import FakeGateway, parsed, refusal

INVOICE = Invoice(number="2026-17", total=118.5, currency="EUR")


def test_an_invoice_is_an_object(portkey_fake: FakeGateway) -> None:
    """The model writes JSON to the schema of the class, and an instance of it comes back."""
    portkey_fake.reply(parsed(INVOICE))

    assert read_invoice("Invoice 2026-17, 118.50 EUR") == INVOICE
    assert portkey_fake.last.request.body["response_format"]["json_schema"]["name"] == "Invoice"


def test_a_refusal_is_a_reason(portkey_fake: FakeGateway) -> None:
    """A model that declines says why."""
    portkey_fake.reply(refusal("I cannot read handwriting."))

    with pytest.raises(NoInvoiceError, match="handwriting"):
        read_invoice("...")


def test_half_an_invoice_is_none(portkey_fake: FakeGateway) -> None:
    """The token limit cuts the JSON short; nothing is guessed."""
    portkey_fake.reply(parsed(INVOICE).finished("length"))

    with pytest.raises(NoInvoiceError, match="200 tokens"):
        read_invoice("Invoice 2026-17, and much more")
