"""The kill switches of the real process, under load and across its end."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from custody.core.ids import format_id
from custody.core.ports import SignerRefused, SignerUnavailable
from custody.keys import homes
from custody.keys.client import SignerClient
from tests.custody.keys.test_signer_process import ask, running
from tests.custody.keys.vault_world import ASSET, OUTSIDE, VaultWorld

pytestmark = pytest.mark.journey

PAYMENTS, FREEZE_AFTER, BOUND_S = 20, 5, 1.0


async def _whole(client: SignerClient, name: str) -> object:
    return await client.freeze()


def _scoped(scope: str, value: str) -> Callable[[SignerClient, str], Awaitable[object]]:
    async def freeze(client: SignerClient, name: str) -> object:
        return await client.freeze_scope(name, scope, value)

    return freeze


SWITCHES = {
    "everything": _whole,
    "the tenant": _scoped("tenant", ""),
    "the asset": _scoped("asset", ASSET),
    "the destination": _scoped("destination", OUTSIDE),
}


@pytest.mark.parametrize("name", SWITCHES)
async def test_nothing_is_signed_once_a_freeze_has_answered(world: VaultWorld, name: str) -> None:
    """Property 20: within a second of asking, under load, and after a restart too."""
    tenant = format_id("tenant", world.tenant)
    client, signed_at = SignerClient(homes.socket_path(world.home)), list[float]()
    requests = [world.request(world.payout(1), nonce=n) for n in range(PAYMENTS)]

    async def pay() -> int:
        """How many were refused."""
        refused = 0
        for request in requests:
            try:
                await ask(client, request)
                signed_at.append(time.monotonic())
            except (SignerRefused, SignerUnavailable):
                refused += 1
        return refused

    with running(world.home):
        paying = asyncio.create_task(pay())
        while len(signed_at) < FREEZE_AFTER:
            await asyncio.sleep(0)
        asked = time.monotonic()
        await SWITCHES[name](client, tenant)
        answered = time.monotonic()
        refused = await paying
    assert refused > 0
    assert refused + len(signed_at) == PAYMENTS
    # What was signed before the freeze may reach its caller a moment after the freeze's answer.
    late = [t for t in signed_at if t > answered]
    assert len(late) <= 1
    assert max(signed_at) - asked < BOUND_S
    assert answered - asked < BOUND_S
    with running(world.home):
        with pytest.raises((SignerRefused, SignerUnavailable), match="frozen"):
            await ask(client, requests[-1])
        with pytest.raises((SignerRefused, SignerUnavailable), match="frozen"):
            await ask(client, requests[0])
