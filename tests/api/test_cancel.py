"""A person gives up what was signed; the rest of it is tests/custody/settlement/test_cancel.py."""

import pytest

from custody.core.ids import new_uuid7, parse_id
from tests.api.conftest import World
from tests.api.seed import plant

pytestmark = pytest.mark.postgres

RAW = "0x02"


async def test_once_there_are_bytes_and_only_once(world: World) -> None:
    objects = await plant(world)
    path = f"/v1/intents/{objects.ids['intent_id']}/cancel"
    token = world.ours.tokens["treasury"]

    async def post(reason: str) -> tuple[int, dict[str, object]]:
        headers = {"Idempotency-Key": new_uuid7().hex}
        answer = await world.call("POST", path, token, json={"reason": reason}, headers=headers)
        return answer.status_code, answer.json()

    assert (await post("too early"))[0] == 409
    assert (await post(""))[0] == 422
    async with world.deps.db.write() as s:
        await s.execute(
            "UPDATE intents SET state = 'sent', nonce = 0, raw = :raw, tx_hash = :raw"
            " WHERE id = :id",
            {"raw": RAW, "id": parse_id("intent", objects.ids["intent_id"])},
        )
    status, shown = await post("sent to the wrong place")
    assert (status, shown["state"], shown["cancel_reason"]) == (
        200,
        "sent",
        "sent to the wrong place",
    )
    assert (await post("again"))[0] == 409
