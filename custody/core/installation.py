"""What `moorage init` wrote down about this installation. Nothing in it is secret.

Secrets it points to are files under the home folder, readable by their owner alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custody.core.errors import Unavailable
from custody.core.ids import TenantId, parse_id
from custody.core.serialization import loads

SCHEMA = "moorage.installation/1"


@dataclass(frozen=True, slots=True)
class Installation:
    """`body` is the whole file; the properties are what parts of the service ask of it."""

    body: Mapping[str, Any]

    @property
    def tenant_id(self) -> TenantId:
        """The founding tenant, which runs the installation."""
        return TenantId(parse_id("tenant", self.body["tenant"]))

    @property
    def registry(self) -> Mapping[str, Any]:
        return dict(self.body["registry"])

    @property
    def fees(self) -> Mapping[str, Any]:
        return dict(self.body["fees"])

    @property
    def log_vkey(self) -> str:
        """The log's verifier key (C2SP signed-note): what an auditor starts from."""
        return str(self.body["log"]["vkey"])

    @property
    def log_id(self) -> str:
        """The log's 32-byte id at the anchor contract, 0x hex."""
        return str(self.body["log"]["id"])

    @property
    def anchor_chain_id(self) -> int:
        return int(self.body["log"]["anchor_chain_id"])

    @property
    def exchanges(self) -> Mapping[str, Mapping[str, str]]:
        """name -> {url, key_file, kind}: where an exchange is, which file holds its API key, and
        whose wire format it speaks ("binance" if it isn't said, or "kraken")."""
        return dict(self.body["exchanges"])

    @property
    def prices(self) -> Mapping[str, Mapping[str, Any]]:
        """asset id -> its two sources; an installation of before has none.

        {"oracle": {"chain_id", "address", "token"}, "ticker": {"exchange", "symbol", "currency"}}
        and, for an asset that is to be worth the same always, `peg_micro`: millionths of a dollar.
        """
        return dict(self.body.get("prices", {}))

    @property
    def sweeping(self) -> Mapping[str, Mapping[str, Any]]:
        """chain id -> how its deposits are swept; what is not said has its default."""
        return dict(self.body.get("sweeping", {}))

    @property
    def solvency(self) -> Mapping[str, Any]:
        """`least`: base units by asset that a deposit address must have to be listed by itself."""
        return dict(self.body.get("solvency", {}))


def load(path: Path) -> Installation:
    """Raises Unavailable where `moorage init` has not run."""
    if not path.is_file():
        raise Unavailable(f"{path.name} is missing: run `moorage init` first")
    body = loads(path.read_bytes())
    if body.get("schema") != SCHEMA:
        raise Unavailable(f"{path.name} is not of schema {SCHEMA}")
    return Installation(body)
