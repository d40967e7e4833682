"""What a venue said at the plan's block, as the facts that a policy's limits ask for."""

from collections.abc import Mapping

from router.curves import rate_ray_down
from router.limits import NOTHING_KNOWN, VenueFacts
from router.venues.port import VenueState


def facts_of(states: Mapping[str, VenueState | None]) -> dict[str, VenueFacts]:
    """By venue; of one that could not be read nothing is known. The rate was read just now."""
    return {id_: NOTHING_KNOWN if s is None else _facts(s) for id_, s in states.items()}


def _facts(state: VenueState) -> VenueFacts:
    """What an adapter does not say yet is not known, and refuses wherever a rule asks for it."""
    return VenueFacts(
        exit_s=getattr(state, "exit_s", None),
        maturity_s=getattr(state, "maturity_s", None) or 0,
        liquidity=getattr(state, "liquidity", None),
        supply=getattr(state, "supply", None),
        utilisation_wad=getattr(state, "utilisation_wad", None),
        rate_ray=rate_ray_down(state.curve, state.position),
        rate_age_s=getattr(state, "rate_age_s", 0),
    )
