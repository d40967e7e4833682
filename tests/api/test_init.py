"""The ceremony: what fails can be begun again, what is founded is not founded twice."""

from pathlib import Path
from typing import Any

import pytest

from api.commands import init
from api.commands.founding import FirstPerson
from custody.core.errors import Conflict, InvalidInput
from custody.core.settings import Settings
from custody.keys.people import PersonKey

pytestmark = pytest.mark.unit


class Broke(Exception):
    pass


async def test_a_founding_that_fails_leaves_its_secrets_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(url: str) -> None:
        assert url

    def fails(*arguments: Any, **named: Any) -> Any:
        raise Broke

    monkeypatch.setattr(init, "upgrade", nothing)
    monkeypatch.setattr(init, "owner_safe", fails)
    # Nobody gets as far as looking at the world.
    monkeypatch.setattr("api.commands.init.World.from_json", lambda text: text)
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@/none")
    monkeypatch.setenv("MIGRATION_DATABASE_URL", "postgresql://nobody@/none")
    monkeypatch.setattr(init, "instant_mining", lambda url: _Quiet())
    settings = Settings(home=tmp_path)
    devnet = {
        "chains": [{"chain_id": 1, "rpc_url": "http://127.0.0.1:1", "world": {}}],
        "exchange": {"chain_id": 1, "deposit_address": "0x", "name": "x"},
    }
    for tries in (1, 2):
        with pytest.raises(Broke):
            await init.run(settings, "Again", devnet, PersonKey.new(), [])
        aside = list(tmp_path.glob("signer.unfinished.*"))
        assert len(aside) == 1
        assert not (tmp_path / "signer").exists(), tries
        aside[0].rename(tmp_path / f"kept-{tries}")
    assert not settings.installation_file.exists()


class _Quiet:
    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...


async def test_a_founded_home_is_not_founded_again(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    settings.installation_file.write_text("{}")
    with pytest.raises(Conflict):
        await init.run(settings, "Twice", {}, PersonKey.new(), [])


@pytest.mark.parametrize(
    "text", ["", "treasury", "treasury:zz", "treasury:" + "00" * 31, ":" + "00" * 32]
)
def test_a_person_is_role_and_key(text: str) -> None:
    with pytest.raises(InvalidInput):
        init.parse_person(text)
    assert init.parse_person("auditor:" + "11" * 32) == FirstPerson("auditor", b"\x11" * 32)
