"""What a venue's config must say, and the facts that a risk policy reads from it."""

from typing import Any

import pytest

from chains.evm.positions import HoldingKind
from custody.core.errors import InvalidInput
from custody.core.ids import PoolId, TenantId, new_uuid7
from router.books import VenueRow
from router.curves import RAY
from router.recall import SPEED
from router.tiers import Tier
from router.venues.evidence import SampledEvidence, evidence_of
from router.venues.facts import facts_of
from router.venues.kinds import VENUE_KINDS, check_config, holding_kind

pytestmark = pytest.mark.unit

VAULT = {"token": "0xv", "guard_venue": "0xg"}
SAMPLES = {"curve": "sampled", "samples": "100:0.05", "source": "the issuer", "until_s": "9"}

WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("morpho", VAULT, "kind"),
    ("erc4626", {"token": "0xv"}, "config.guard_venue"),
    ("compound", VAULT, "config.market"),
    ("stata", VAULT, "config.pool"),
    ("erc4626", {**VAULT, "curve": "hope"}, "config.curve"),
    ("erc4626", {**VAULT, "curve": "constant"}, "config.window_blocks"),
    ("erc4626", {**VAULT, "curve": "constant", "window_blocks": "0"}, "config.window_blocks"),
    ("erc4626", {**VAULT, "curve": "constant", "window_blocks": "-5"}, "config.window_blocks"),
    ("erc4626", {**VAULT, "maturity_s": "soon"}, "config.maturity_s"),
    ("erc4626", {**VAULT, "maturity_s": True}, "config.maturity_s"),
    ("erc4626", {**VAULT, **SAMPLES, "source": ""}, "config.source"),
    ("erc4626", {**VAULT, **SAMPLES, "until_s": None}, "config.until_s"),
    ("erc4626", {**VAULT, **SAMPLES, "samples": ""}, "config.samples"),
    ("erc4626", {**VAULT, **SAMPLES, "samples": "100:5%"}, "config.samples"),
    ("erc4626", {**VAULT, **SAMPLES, "samples": "100"}, "config.samples"),
    ("erc4626", {**VAULT, **SAMPLES, "samples": "200:0.05,100:0.04"}, "config.samples"),
    ("erc4626", {**VAULT, **SAMPLES, "samples": "0:0.05"}, "config.samples"),
]


@pytest.mark.parametrize(("kind", "config", "field"), WRONG)
def test_a_config_that_is_wrong_is_refused_by_its_field(
    kind: str, config: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_config(kind, config)
    assert caught.value.field == field


@pytest.mark.parametrize("kind", VENUE_KINDS)
def test_every_kind_can_be_listed_recalled_and_reconciled(kind: str) -> None:
    check_config(kind, dict.fromkeys(VENUE_KINDS[kind], "0x"))
    assert kind in SPEED
    assert holding_kind(kind) in {*HoldingKind, "exchange"}


def test_samples_are_whole_deposits_with_their_yearly_rate() -> None:
    found = evidence_of({**SAMPLES, "samples": "100:0.05, 300:0.04"})
    assert isinstance(found, SampledEvidence)
    assert found.curve.points == ((0, 0), (100, 5 * RAY), (300, 12 * RAY))
    assert found.until_s == 9


@pytest.mark.parametrize(
    ("kind", "config", "facts"),
    [
        (
            "erc4626",
            {**VAULT, "protocol": "ondo", "issuer": "Ondo", "oracle": "chainlink"},
            {"protocol": "ondo", "issuer": "Ondo", "oracle": "chainlink", "chain": "eip155:1"},
        ),
        ("erc4626", VAULT, {"protocol": "", "issuer": "", "oracle": "", "chain": "eip155:1"}),
        (
            "exchange",
            {"exchange": "kraken"},
            {"protocol": "kraken", "issuer": "kraken", "oracle": "", "chain": ""},
        ),
    ],
)
def test_facts_are_the_listings_and_every_name_is_there(
    kind: str, config: dict[str, Any], facts: dict[str, str]
) -> None:
    pool, tenant = PoolId(new_uuid7()), TenantId(new_uuid7())
    row = VenueRow("a-venue", pool, tenant, kind, Tier.BONDS, config)
    assert facts_of(row, 1) == {**facts, "kind": kind}
