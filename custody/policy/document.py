"""The policy document: a closed, typed table. What it does not say is refused.

    {"schema": "moorage.policy/1", "tenant": "ten_…", "version": 1, "previous": null,
     "rules":  [{"name", "kind", "asset", "amount_max", "approvals", "roles"}],
     "limits": [{"asset", "window_s", "amount_max"}],
     "places": {"<chain id>": {"treasury", "payout", "gas", "allocator", "anchorer",
                               "guards": {"<address>": "<asset>"}, "sweeper", "anchor", "payees"}}}

The authority signs the canonical bytes (Ed25519); the signature travels beside the document:
`{"policy": {…}, "signature": "<hex>"}`. Amounts are decimal strings in base units.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chains.evm.address import is_checksummed
from custody.core import canonical
from custody.core.errors import InvalidInput
from custody.core.ids import parse_id
from custody.core.intents import IntentKind
from custody.core.money import parse_amount

SCHEMA = "moorage.policy/1"
ANY = "*"
APPROVALS_MAX = 10
RULES_MAX = 1000
WINDOW_MAX_S = 31 * 86_400
OUTWARD = frozenset({IntentKind.PAYOUT, IntentKind.RELEASE})
"""Kinds whose money can reach somebody outside; all others end at a place of ours."""

_HASH = re.compile(r"sha256:[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_ROLE = re.compile(r"[a-z][a-z_]{0,31}")
_GAS = re.compile(r"gas@[1-9][0-9]{0,19}")
_ASSET = re.compile(r"eip155:[1-9][0-9]{0,19}/(erc20:0x[0-9a-f]{40}|slip44:60)")


@dataclass(frozen=True, slots=True)
class Rule:
    """Allows one kind of intent up to `amount_max` (None: any) with so many people's approvals."""

    name: str
    kind: IntentKind
    asset: str
    amount_max: int | None
    approvals: int
    roles: tuple[str, ...]

    def matches(self, kind: IntentKind, asset: str, amount: int) -> bool:
        return (
            self.kind is kind
            and self.asset in (ANY, asset)
            and (self.amount_max is None or amount <= self.amount_max)
        )


@dataclass(frozen=True, slots=True)
class Limit:
    """What may pass without a person in any `window_s` seconds: per asset, or `gas@<chain id>`."""

    asset: str
    window_s: int
    amount_max: int


@dataclass(frozen=True, slots=True)
class Places:
    """Where money may be on one chain. `sweeper` and `anchor` are None where not deployed.

    `guards` maps a guard's address to the one asset that it holds: a guard's call does not name
    its asset, so this table is how the signer knows which limit a release counts against.
    """

    treasury: str
    payout: str
    gas: str
    allocator: str
    anchorer: str
    guards: Mapping[str, str]
    sweeper: str | None
    anchor: str | None
    payees: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """A checked document. `hash` is `sha256:` and the hex SHA-256 of its canonical bytes."""

    tenant_id: UUID
    version: int
    previous: str | None
    rules: tuple[Rule, ...]
    limits: tuple[Limit, ...]
    places: Mapping[int, Places]
    hash: str
    body: Mapping[str, Any]

    def payload(self) -> bytes:
        """The exact bytes that the authority signs."""
        return canonical.encode(self.body)

    def limits_of(self, asset: str) -> tuple[Limit, ...]:
        """Limits that bind an asset: its own if it has any, else those for every asset."""
        own = tuple(x for x in self.limits if x.asset == asset)
        if own or asset.startswith("gas@"):
            return own
        return tuple(x for x in self.limits if x.asset == ANY)


def parse(body: object) -> Policy:
    """Check a document strictly. Raises InvalidInput naming the field and the rule it breaks."""
    doc = _object(body, "policy", _DOCUMENT)
    _require(doc["schema"] == SCHEMA, "schema", f"must be {SCHEMA}")
    tenant = parse_id("tenant", _text(doc["tenant"], "tenant"), "tenant")
    version = _integer(doc["version"], "version", 1, 2**31)
    previous = doc["previous"]
    if version == 1:
        _require(previous is None, "previous", "must be null in version 1")
    else:
        text = _text(previous, "previous")
        _require(_HASH.fullmatch(text) is not None, "previous", "must be sha256: and 64 hex digits")
    rules = tuple(_rule(r, f"rules[{i}]") for i, r in enumerate(_list(doc["rules"], "rules")))
    _require(len({r.name for r in rules}) == len(rules), "rules", "names must be unique")
    limits = tuple(_limit(x, f"limits[{i}]") for i, x in enumerate(_list(doc["limits"], "limits")))
    _require(isinstance(doc["places"], dict), "places", "must be an object")
    places = {_chain(k): _places(v, k) for k, v in doc["places"].items()}
    digest = "sha256:" + hashlib.sha256(canonical.encode(doc)).hexdigest()
    policy = Policy(tenant, version, previous, rules, limits, places, digest, doc)
    _require_bounds(policy)
    return policy


def split_signed(signed: object) -> tuple[Policy, bytes]:
    """Policy and signature of `{"policy", "signature"}`. The signature is not verified here."""
    outer = _object(signed, "document", frozenset({"policy", "signature"}))
    return parse(outer["policy"]), hex_bytes(outer["signature"], "signature", 64)


def hex_bytes(value: object, field: str, length: int) -> bytes:
    """Bytes from lower-case hex of an exact length. Raises InvalidInput."""
    text = _text(value, field)
    if not re.fullmatch(f"[0-9a-f]{{{2 * length}}}", text):
        raise InvalidInput(field, f"must be {2 * length} lowercase hex digits")
    return bytes.fromhex(text)


_DOCUMENT = frozenset({"schema", "tenant", "version", "previous", "rules", "limits", "places"})
_RULE = frozenset({"name", "kind", "asset", "amount_max", "approvals", "roles"})
_LIMIT = frozenset({"asset", "window_s", "amount_max"})
_WALLETS = ("treasury", "payout", "gas", "allocator", "anchorer")
_CONTRACTS = ("sweeper", "anchor")
_PLACES = frozenset({*_WALLETS, *_CONTRACTS, "guards", "payees"})


def _require(holds: bool, field: str, rule: str) -> None:
    if not holds:
        raise InvalidInput(field, rule)


def _object(value: object, field: str, names: frozenset[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(field, "must be an object")
    prefix = "" if field == "policy" else f"{field}."
    for name in sorted(names - set(value)):
        raise InvalidInput(f"{prefix}{name}", "is missing")
    for name in sorted(set(map(str, value)) - names):
        raise InvalidInput(f"{prefix}{name}", "is not a field here")
    return value


def _list(value: object, field: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > RULES_MAX:
        raise InvalidInput(field, f"must be a list of at most {RULES_MAX}")
    return value


def _text(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise InvalidInput(field, "must be a string")
    return value


def _integer(value: object, field: str, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise InvalidInput(field, f"must be a whole number from {low} to {high}")
    return value


def _address(value: object, field: str) -> str:
    text = _text(value, field)
    _require(is_checksummed(text), field, "must be an address with a valid EIP-55 checksum")
    _require(int(text, 16) != 0, field, "must not be the zero address")
    return text


def _chain(key: str) -> int:
    _require(re.fullmatch(r"[1-9][0-9]{0,19}", key) is not None, "places", "keys are chain ids")
    return int(key)


def _rule(value: object, field: str) -> Rule:
    r = _object(value, field, _RULE)
    name, kind, asset = (_text(r[k], f"{field}.{k}") for k in ("name", "kind", "asset"))
    _require(_NAME.fullmatch(name) is not None, f"{field}.name", "must be a-z 0-9 . _ -, up to 64")
    kinds = {k.value for k in IntentKind}
    _require(kind in kinds, f"{field}.kind", f"must be one of {', '.join(sorted(kinds))}")
    _require(
        asset == ANY or _ASSET.fullmatch(asset) is not None,
        f"{field}.asset",
        "must be * or a CAIP-19 asset id",
    )
    limit = r["amount_max"]
    amount_max = None if limit is None else parse_amount(limit, f"{field}.amount_max", 0)
    approvals = _integer(r["approvals"], f"{field}.approvals", 0, APPROVALS_MAX)
    roles = tuple(_text(x, f"{field}.roles") for x in _list(r["roles"], f"{field}.roles"))
    good = all(_ROLE.fullmatch(x) for x in roles) and len(set(roles)) == len(roles)
    _require(good, f"{field}.roles", "must be distinct role names of a-z and _")
    _require(
        bool(roles) == (approvals > 0),
        f"{field}.roles",
        "must name roles exactly when approvals are required",
    )
    return Rule(name, IntentKind(kind), asset, amount_max, approvals, roles)


def _limit(value: object, field: str) -> Limit:
    x = _object(value, field, _LIMIT)
    asset = _text(x["asset"], f"{field}.asset")
    known = asset == ANY or _ASSET.fullmatch(asset) or _GAS.fullmatch(asset)
    _require(bool(known), f"{field}.asset", "must be *, a CAIP-19 asset id or gas@<chain id>")
    return Limit(
        asset,
        _integer(x["window_s"], f"{field}.window_s", 1, WINDOW_MAX_S),
        parse_amount(x["amount_max"], f"{field}.amount_max", 0),
    )


def _places(value: object, chain: str) -> Places:
    field = f"places.{chain}"
    p = _object(value, field, _PLACES)
    wallets = {k: _address(p[k], f"{field}.{k}") for k in _WALLETS}
    contracts = {k: None if p[k] is None else _address(p[k], f"{field}.{k}") for k in _CONTRACTS}
    guards = _guards(p["guards"], chain, f"{field}.guards")
    payees = tuple(_address(x, f"{field}.payees") for x in _list(p["payees"], f"{field}.payees"))
    named = [*wallets.values(), *guards, *(c for c in contracts.values() if c)]
    _require(len(set(named)) == len(named), field, "places are never mixed: addresses must differ")
    return Places(**wallets, **contracts, guards=guards, payees=payees)  # type: ignore[arg-type]


def _guards(value: object, chain: str, field: str) -> dict[str, str]:
    """Guard -> its asset. Address and asset are strict: one guard and one asset have one form."""
    if not isinstance(value, dict) or len(value) > RULES_MAX:
        raise InvalidInput(field, f"must be an object of at most {RULES_MAX}: guard to its asset")
    return {
        _address(guard, field): _asset_on(asset, chain, f"{field}.{guard}")
        for guard, asset in value.items()
    }


def _asset_on(value: object, chain: str, field: str) -> str:
    text = _text(value, field)
    good = _ASSET.fullmatch(text) is not None and text.startswith(f"eip155:{chain}/")
    _require(good, field, f"must be a CAIP-19 asset id of chain {chain}")
    return text


def _require_bounds(policy: Policy) -> None:
    """What leaves without a person must be bounded, or the policy is no policy."""
    for rule in policy.rules:
        if rule.approvals == 0 and rule.kind in OUTWARD:
            asset = rule.asset
            bound = any(x.asset in (asset, ANY) for x in policy.limits)
            _require(
                bound, "limits", f"must bound {asset}, which rule {rule.name} lets pass unattended"
            )
