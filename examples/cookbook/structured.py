"""Structured output: an invoice read from a letter, as an object, or a reason why there is none."""

from __future__ import annotations

from pydantic import BaseModel

from portkey_client import LengthFinishReasonError, Portkey

client = Portkey(api_key="PORTKEY_API_KEY", provider="openai", Authorization="OPENAI_KEY")


class Invoice(BaseModel):
    """What we want to know."""

    number: str
    total: float
    currency: str


class NoInvoiceError(Exception):
    """The letter holds no invoice that could be read."""


def read_invoice(letter: str) -> Invoice:
    """The invoice in a letter.

    Raises:
        NoInvoiceError: there is none, or the model would not or could not read it.
    """
    try:
        answer = client.chat.completions.parse(
            model="gpt-4o", messages=[{"role": "user", "content": letter}], response_format=Invoice, max_tokens=200
        )
    except LengthFinishReasonError as error:
        raise NoInvoiceError("the invoice has more text than 200 tokens") from error
    message = answer.choices[0].message
    if message.parsed is None:
        raise NoInvoiceError(message.refusal or "the model gave no invoice")
    return message.parsed
