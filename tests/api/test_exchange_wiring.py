"""An exchange is connected by the kind that the installation names; its key is in a file."""

import base64
from pathlib import Path

import orjson
import pytest

from api.wiring import _exchange
from custody.core.errors import InvalidInput
from router.venues.cefi.binance import Binance
from router.venues.cefi.kraken import Kraken

pytestmark = pytest.mark.unit


def row(home: Path, **fields: str) -> dict[str, str]:
    secret = base64.b64encode(b"not a secret: tests only").decode()
    (home / "exchange.key.json").write_bytes(orjson.dumps({"key": "k", "secret": secret}))
    return {"url": "http://127.0.0.1:1", "key_file": "exchange.key.json", **fields}


@pytest.mark.parametrize(
    ("fields", "client"),
    [({}, Binance), ({"kind": "binance"}, Binance), ({"kind": "kraken"}, Kraken)],
)
async def test_kind_chooses_the_client(
    tmp_path: Path, fields: dict[str, str], client: type[Binance] | type[Kraken]
) -> None:
    made = _exchange(tmp_path, "desk", row(tmp_path, **fields))
    assert isinstance(made, client)
    await made.close()


def test_unknown_kind_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"exchanges\.desk\.kind"):
        _exchange(tmp_path, "desk", row(tmp_path, kind="mtgox"))
