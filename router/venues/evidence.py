"""What a listing may take as evidence of a vault's rate. Without evidence nothing is entered.

`curve` in the venue's config says which:
- fixed_pot (the default): the vault streams a fixed reward, which all deposits share;
- constant: the share price has grown at a rate over the last `window_blocks` blocks, and our size
  does not move it (a bond, a vault of bills);
- sampled: `samples`, each a deposit and the yearly rate of the whole of it
  ("1000000:0.051,5000000:0.042"), from whoever `source` names, good until `until_s`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from custody.core.errors import InvalidInput
from router.rates.units import BadRate, ray_from_decimal
from router.stated_curves import Sampled

KINDS = ("fixed_pot", "constant", "sampled")
WINDOW_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class FixedPotEvidence:
    """Read from the vault itself."""


FIXED_POT = FixedPotEvidence()


@dataclass(frozen=True, slots=True)
class ConstantEvidence:
    """The share price now against the one so many blocks ago."""

    window_blocks: int


@dataclass(frozen=True, slots=True)
class SampledEvidence:
    curve: Sampled
    until_s: int


Evidence = FixedPotEvidence | ConstantEvidence | SampledEvidence


def evidence_of(config: Mapping[str, Any]) -> Evidence:
    """Raises InvalidInput that names the field and its rule."""
    kind = config.get("curve", "fixed_pot")
    if kind not in KINDS:
        raise InvalidInput("config.curve", f"must be one of {', '.join(KINDS)}")
    if kind == "fixed_pot":
        return FIXED_POT
    if kind == "constant":
        blocks = whole(config, "window_blocks")
        if not 1 <= blocks <= WINDOW_MAX:
            raise InvalidInput("config.window_blocks", f"must be from 1 to {WINDOW_MAX}")
        return ConstantEvidence(blocks)
    if not isinstance(config.get("source"), str) or not config["source"]:
        raise InvalidInput("config.source", "must say where the samples are from")
    return SampledEvidence(_samples(config.get("samples")), whole(config, "until_s"))


def whole(config: Mapping[str, Any], name: str) -> int:
    """A whole number of zero or more, as a decimal string or a number."""
    value = config.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 78:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise InvalidInput(f"config.{name}", "must be a whole number of zero or more")


def _samples(text: object) -> Sampled:
    rule = "must be deposit:rate pairs with commas between, deposits ascending from 1"
    if not isinstance(text, str) or not text:
        raise InvalidInput("config.samples", rule)
    points = [(0, 0)]
    for pair in text.split(","):
        size_text, _, rate = pair.strip().partition(":")
        size = whole({"samples": size_text}, "samples")
        try:
            points.append((size, size * ray_from_decimal(rate)))
        except BadRate as error:
            raise InvalidInput("config.samples", str(error)) from error
    try:
        return Sampled(tuple(points))
    except ValueError as error:
        raise InvalidInput("config.samples", rule) from error
