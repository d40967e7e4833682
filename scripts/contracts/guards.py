"""A guard's limits from a JSON file, for `scripts/deploy_contracts`.

    {"asset": "0x... or native", "grain": "1000000", "delay_s": 172800, "idle_min": "0",
     "payees_day_max": "60000000000000",
     "venues": [{"name": "aave-usdc", "kind": "aave_v3", "target": "0x...", "aux": "0x...",
                 "cap": "...", "share_max_bps": 9900, "flow_max": "..."}],
     "groups": [{"venues": ["aave-usdc"], "cap": "...", "share_max_bps": 9900}],
     "payees": {"0x...": "50000000000000"}}

Amounts are base units of the asset, as decimal strings. Roles and treasury are arguments.
"""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from chains.errors import DeploymentRefused
from chains.evm.address import ZERO_ADDRESS, checksum
from chains.evm.contracts.guard_setup import GroupTerms, GuardSetup, VenueTerms
from chains.evm.contracts.treasury_guard import VenueKind

KINDS = {kind.name.lower(): kind for kind in VenueKind if kind is not VenueKind.NONE}


def _amount(value: object) -> int:
    if not isinstance(value, str) or not value.isascii() or not value.isdecimal():
        raise ValueError("an amount is a decimal string of base units")
    return int(value)


def _known(kind: str) -> str:
    if kind not in KINDS:
        raise ValueError(f"one of {', '.join(KINDS)}")
    return kind


def _somebody(text: str) -> str:
    address = checksum(text)
    if address == ZERO_ADDRESS:
        raise ValueError("the zero address is nobody")
    return address


Amount = Annotated[int, BeforeValidator(_amount)]
Address = Annotated[str, AfterValidator(_somebody)]
Bps = Annotated[int, Field(ge=0, le=10_000)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Venue(_Strict):
    name: str
    kind: Annotated[str, AfterValidator(_known)]
    target: Address
    aux: Address
    cap: Amount
    share_max_bps: Bps
    flow_max: Amount

    def terms(self) -> VenueTerms:
        places = (KINDS[self.kind], self.target, self.aux)
        return VenueTerms(self.name, *places, self.cap, self.share_max_bps, self.flow_max)


class _Group(_Strict):
    venues: list[str]
    cap: Amount
    share_max_bps: Bps


class _Guard(_Strict):
    asset: str
    grain: Amount
    delay_s: int
    idle_min: Amount
    payees_day_max: Amount
    venues: list[_Venue]
    groups: list[_Group]
    payees: dict[Address, Amount]


def load(path: Path, owner: str, guardian: str, allocator: str, treasury: str) -> GuardSetup:
    """Raises DeploymentRefused naming the file, the field and the rule."""
    try:
        read = _Guard.model_validate_json(path.read_text())
        return GuardSetup(
            asset=None if read.asset == "native" else _somebody(read.asset),
            owner=owner,
            guardian=guardian,
            allocator=allocator,
            treasury=treasury,
            grain=read.grain,
            delay_s=read.delay_s,
            idle_min=read.idle_min,
            payees_day_max=read.payees_day_max,
            venues=[venue.terms() for venue in read.venues],
            groups=[GroupTerms(tuple(g.venues), g.cap, g.share_max_bps) for g in read.groups],
            payees=read.payees,
        )
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise DeploymentRefused(f"{path.name}: {field}: {first['msg']}") from None
    except (OSError, ValueError) as error:
        raise DeploymentRefused(f"{path.name}: {error}") from None
