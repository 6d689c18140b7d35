"""What tokens cost, by genai-prices' table, which ships with that package: no network is asked."""

from __future__ import annotations

from warpsmith.core.calls import Usage


def dollars(provider: str, model: str, usage: Usage) -> float | None:
    """The price of this usage at the provider's list price, or None where the table lacks the model.

    Args:
        provider: `openai` or `anthropic`.
        model: as the provider names it.
        usage: cached tokens are part of `input_tokens`, as the table counts them.
    """
    from genai_prices import Usage as Priced
    from genai_prices import calc_price

    priced = Priced(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_written_tokens,
        output_tokens=usage.output_tokens,
    )
    try:
        return float(calc_price(priced, model, provider_id=provider).total_price)
    except LookupError:
        return None
