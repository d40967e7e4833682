"""What a venue said at the plan's block, as the facts that a policy's limits ask for."""

from collections.abc import Mapping, Sequence

from router.curves import rate_ray_down
from router.limits import NOTHING_KNOWN, VenueFacts
from router.queued import Coming
from router.venues.port import VenueState


def facts_of(
    states: Mapping[str, VenueState | None],
    coming: Mapping[str, Sequence[Coming]] | None = None,
) -> dict[str, VenueFacts]:
    """By venue; of one that could not be read nothing is known. The rate was read just now."""
    return {
        id_: NOTHING_KNOWN if s is None else _facts(s, (coming or {}).get(id_, ()))
        for id_, s in states.items()
    }


def _facts(state: VenueState, coming: Sequence[Coming]) -> VenueFacts:
    """What an adapter does not say is not known, and refuses wherever a rule asks for it."""
    bound = 0 if state.maturity_s is None else state.maturity_s - state.as_of.timestamp
    return VenueFacts(
        exit_s=state.exit_s,
        maturity_s=max(bound, 0),
        liquidity=state.liquidity,
        supply=None if state.supply is None else state.supply + state.position,
        utilisation_wad=state.utilisation_wad,
        rate_ray=rate_ray_down(state.curve, state.position),
        rate_age_s=0,
        coming=tuple((c.seconds, c.amount) for c in coming),
    )
