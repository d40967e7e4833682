"""The policy document: a closed, typed table. What it does not say is refused.

    {"schema": "moorage.policy/2", "tenant": "ten_…", "version": 1, "previous": null,
     "rules":  [{"name", "effect": "allow" | "deny", "kind", "asset", "when": {CONDITION: …},
                 "quorum": [{"roles": [ROLE, …], "approvals": N}, …]}],
     "limits": [{"asset", "window_s", "amount_max"}],
     ["hot_limits": [{"asset", "amount_max"}],]
     "places": {"<chain id>": {"treasury", "payout", "gas", "allocator", "anchorer",
                               "guards": {"<address>": "<asset>"}, "sweeper", "anchor", "payees",
                               ["payouts", "safe", "hub"]}},
     ["book": {"cooling_s"}, "change": {"delay_s", "approvals"}]}

The authority signs the canonical bytes (Ed25519); the signature travels beside the document:
`{"policy": {…}, "signature": "<hex>"}`. Amounts are decimal strings in base units. What rules
mean is written in SEMANTICS.md; conditions are a closed table in `conditions.py`.

Schema `moorage.policy/1` has the older rules, `{"name", "kind", "asset", "amount_max",
"approvals", "roles"}`: each allows, `amount_max` is its only condition and its people are one
group. Documents of that form are in logs and stay valid.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from chains.evm.address import is_checksummed
from custody.core import canonical
from custody.core.errors import InvalidInput
from custody.core.ids import parse_id
from custody.core.intents import IntentKind
from custody.core.money import parse_amount
from custody.policy import conditions
from custody.policy.conditions import AMOUNT_MAX_TEST, Condition
from custody.policy.strict import LIST_MAX, fields, hex_bytes, integer, items, require, text

SCHEMA = "moorage.policy/1"
SCHEMA_2 = "moorage.policy/2"
ANY = "*"
APPROVALS_MAX = 10
WINDOW_MAX_S = 31 * 86_400
COOLING_S = 86_400
COOLING_RANGE_S = (60, 30 * 86_400)
DELAY_RANGE_S = (60, 30 * 86_400)
"""Less than a minute is no time to look at anything; a month is longer than anybody waits."""
CHANGE_APPROVALS_MIN = 2
OUTWARD = frozenset({IntentKind.PAYOUT, IntentKind.PAYOUT_BATCH, IntentKind.RELEASE})
"""Kinds whose money can reach somebody outside; all others end at a place of ours."""

_HASH = re.compile(r"sha256:[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_ROLE = re.compile(r"[a-z][a-z_]{0,31}")
_GAS = re.compile(r"gas@[1-9][0-9]{0,19}")
_ASSET = re.compile(r"eip155:[1-9][0-9]{0,19}/(erc20:0x[0-9a-f]{40}|slip44:60)")


class Effect(StrEnum):
    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Group:
    """So many distinct people of these roles. No role is in two groups of a rule, so that a
    person counts in exactly one."""

    roles: tuple[str, ...]
    approvals: int


@dataclass(frozen=True, slots=True)
class Rule:
    """Denies, or allows with every group's approvals, what all its conditions hold for.

    `kind` None is every kind, which only a rule that denies may say.
    """

    name: str
    effect: Effect
    kind: IntentKind | None
    asset: str
    conditions: tuple[Condition, ...]
    groups: tuple[Group, ...]

    @property
    def approvals(self) -> int:
        return sum(g.approvals for g in self.groups)

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(role for g in self.groups for role in g.roles)


@dataclass(frozen=True, slots=True)
class Limit:
    """What may pass without a person in any `window_s` seconds: per asset, or `gas@<chain id>`."""

    asset: str
    window_s: int
    amount_max: int


@dataclass(frozen=True, slots=True)
class HotLimit:
    """The most that one payout of an asset may be from the payout wallet; above, the Safe pays."""

    asset: str
    amount_max: int


@dataclass(frozen=True, slots=True)
class Places:
    """Where money may be on one chain. Contracts are None where not deployed: the deposit
    wallets' `sweeper`, the log's `anchor`, `payouts` for many payouts at once, the treasury's
    `safe`, whose owners' keys are nobody's here, and the `hub` that sweeps many wallets at once.

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
    payouts: str | None = None
    safe: str | None = None
    hub: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """How the policy in force lets itself be loosened: so many of treasury, then so long a wait,
    in which one person may veto."""

    delay_s: int
    approvals: int


@dataclass(frozen=True, slots=True)
class Policy:
    """A checked document. `hash` is `sha256:` and the hex SHA-256 of its canonical bytes.

    `cooling_s` is how long a new entry of the address book waits. `change` None: the authority's
    signature alone changes it, at once.
    """

    tenant_id: UUID
    version: int
    previous: str | None
    rules: tuple[Rule, ...]
    limits: tuple[Limit, ...]
    places: Mapping[int, Places]
    hash: str
    body: Mapping[str, Any]
    cooling_s: int = COOLING_S
    change: Change | None = None
    hot_limits: tuple[HotLimit, ...] = ()

    def payload(self) -> bytes:
        """The exact bytes that the authority signs."""
        return canonical.encode(self.body)

    def is_hot(self, asset: str, amount: int) -> bool:
        """Whether the payout wallet may pay this much at once. An asset without a limit is hot."""
        return all(amount <= x.amount_max for x in self.hot_limits if x.asset == asset)

    def has_way(self, kind: IntentKind, asset: str) -> bool:
        """Whether some rule can allow it; without one it would wait for ever."""
        return any(
            r.effect is Effect.ALLOW and r.kind is kind and r.asset in (ANY, asset)
            for r in self.rules
        )

    def limits_of(self, asset: str) -> tuple[Limit, ...]:
        """Limits that bind an asset: its own if it has any, else those for every asset."""
        own = tuple(x for x in self.limits if x.asset == asset)
        if own or asset.startswith("gas@"):
            return own
        return tuple(x for x in self.limits if x.asset == ANY)


def parse(body: object) -> Policy:
    """Check a document strictly. Raises InvalidInput naming the field and the rule it breaks."""
    modern = isinstance(body, dict) and body.get("schema") == SCHEMA_2
    later = _HOT | _GOVERNING if modern else _HOT
    doc = fields(body, "policy", _DOCUMENT, later)
    schemas = (SCHEMA, SCHEMA_2)
    require(doc["schema"] in schemas, "schema", f"must be {' or '.join(schemas)}")
    tenant = parse_id("tenant", text(doc["tenant"], "tenant"), "tenant")
    version = integer(doc["version"], "version", 1, 2**31)
    previous = doc["previous"]
    if version == 1:
        require(previous is None, "previous", "must be null in version 1")
    else:
        before = text(previous, "previous")
        require(
            _HASH.fullmatch(before) is not None, "previous", "must be sha256: and 64 hex digits"
        )
    read = _rule if doc["schema"] == SCHEMA else _rule_2
    rules = tuple(read(r, f"rules[{i}]") for i, r in enumerate(items(doc["rules"], "rules")))
    require(len({r.name for r in rules}) == len(rules), "rules", "names must be unique")
    limits = tuple(_limit(x, f"limits[{i}]") for i, x in enumerate(items(doc["limits"], "limits")))
    hot = tuple(
        _hot_limit(x, f"hot_limits[{i}]")
        for i, x in enumerate(items(doc.get("hot_limits", []), "hot_limits"))
    )
    require(len({x.asset for x in hot}) == len(hot), "hot_limits", "one an asset")
    require(isinstance(doc["places"], dict), "places", "must be an object")
    places = {_chain(k): _places(v, k) for k, v in doc["places"].items()}
    digest = "sha256:" + hashlib.sha256(canonical.encode(doc)).hexdigest()
    cooling_s = _cooling(doc["book"]) if "book" in doc else COOLING_S
    change = _change(doc["change"]) if "change" in doc else None
    policy = Policy(
        *(tenant, version, previous, rules, limits, places, digest, doc),
        cooling_s=cooling_s,
        change=change,
        hot_limits=hot,
    )
    _require_bounds(policy)
    return policy


def split_signed(signed: object) -> tuple[Policy, bytes]:
    """Policy and signature of `{"policy", "signature"}`. The signature is not verified here."""
    outer = fields(signed, "document", frozenset({"policy", "signature"}))
    return parse(outer["policy"]), hex_bytes(outer["signature"], "signature", 64)


_DOCUMENT = frozenset({"schema", "tenant", "version", "previous", "rules", "limits", "places"})
_GOVERNING = frozenset({"book", "change"})
_HOT = frozenset({"hot_limits"})
"""Documents of before these existed do not name them, and stay valid."""
_RULE = frozenset({"name", "kind", "asset", "amount_max", "approvals", "roles"})
_RULE_2 = frozenset({"name", "effect", "kind", "asset", "when", "quorum"})
_GROUP = frozenset({"roles", "approvals"})
_LIMIT = frozenset({"asset", "window_s", "amount_max"})
_HOT_LIMIT = frozenset({"asset", "amount_max"})
_WALLETS = ("treasury", "payout", "gas", "allocator", "anchorer")
_CONTRACTS = ("sweeper", "anchor")
_LATER_CONTRACTS = ("payouts", "safe", "hub")
"""Documents of before these existed do not name them, and stay valid."""
_PLACES = frozenset({*_WALLETS, *_CONTRACTS, "guards", "payees"})


def _cooling(value: object) -> int:
    book = fields(value, "book", frozenset({"cooling_s"}))
    return integer(book["cooling_s"], "book.cooling_s", *COOLING_RANGE_S)


def _change(value: object) -> Change:
    c = fields(value, "change", frozenset({"delay_s", "approvals"}))
    return Change(
        integer(c["delay_s"], "change.delay_s", *DELAY_RANGE_S),
        integer(c["approvals"], "change.approvals", CHANGE_APPROVALS_MIN, APPROVALS_MAX),
    )


def _address(value: object, field: str) -> str:
    found = text(value, field)
    require(is_checksummed(found), field, "must be an address with a valid EIP-55 checksum")
    require(int(found, 16) != 0, field, "must not be the zero address")
    return found


def _chain(key: str) -> int:
    require(re.fullmatch(r"[1-9][0-9]{0,19}", key) is not None, "places", "keys are chain ids")
    return int(key)


def _named(r: Mapping[str, Any], field: str, kinds: frozenset[str]) -> tuple[str, str, str]:
    """Name, kind and asset of a rule of either schema."""
    name, kind, asset = (text(r[k], f"{field}.{k}") for k in ("name", "kind", "asset"))
    require(_NAME.fullmatch(name) is not None, f"{field}.name", "must be a-z 0-9 . _ -, up to 64")
    require(kind in kinds, f"{field}.kind", f"must be one of {', '.join(sorted(kinds))}")
    known = asset == ANY or _ASSET.fullmatch(asset) is not None
    require(known, f"{field}.asset", "must be * or a CAIP-19 asset id")
    return name, kind, asset


_KINDS = frozenset(k.value for k in IntentKind if k is not IntentKind.PAYOUT_BATCH)
"""A batch has no rules of its own: each payout in it is judged by the rules for payouts."""


def _rule(value: object, field: str) -> Rule:
    """A rule of schema 1."""
    r = fields(value, field, _RULE)
    name, kind, asset = _named(r, field, _KINDS)
    limit = r["amount_max"]
    amount_max = None if limit is None else parse_amount(limit, f"{field}.amount_max", 0)
    approvals = integer(r["approvals"], f"{field}.approvals", 0, APPROVALS_MAX)
    roles = _roles(r["roles"], f"{field}.roles")
    require(
        bool(roles) == (approvals > 0),
        f"{field}.roles",
        "must name roles exactly when approvals are required",
    )
    when = () if amount_max is None else (Condition("amount_max", amount_max, AMOUNT_MAX_TEST),)
    groups = (Group(roles, approvals),) if approvals else ()
    return Rule(name, Effect.ALLOW, IntentKind(kind), asset, when, groups)


def _rule_2(value: object, field: str) -> Rule:
    r = fields(value, field, _RULE_2)
    effect = text(r["effect"], f"{field}.effect")
    require(effect in set(Effect), f"{field}.effect", "must be allow or deny")
    denies = effect == Effect.DENY
    name, kind, asset = _named(r, field, _KINDS | {ANY} if denies else _KINDS)
    when = conditions.read(r["when"], f"{field}.when")
    quorum = items(r["quorum"], f"{field}.quorum")
    require(not (denies and quorum), f"{field}.quorum", "must be empty where the rule denies")
    groups = tuple(_group(g, f"{field}.quorum[{i}]") for i, g in enumerate(quorum))
    roles = [role for g in groups for role in g.roles]
    require(len(set(roles)) == len(roles), f"{field}.quorum", "a role is in one group only")
    total = sum(g.approvals for g in groups)
    require(total <= APPROVALS_MAX, f"{field}.quorum", f"must ask for at most {APPROVALS_MAX}")
    return Rule(
        name, Effect(effect), None if kind == ANY else IntentKind(kind), asset, when, groups
    )


def _group(value: object, field: str) -> Group:
    g = fields(value, field, _GROUP)
    roles = _roles(g["roles"], f"{field}.roles")
    require(bool(roles), f"{field}.roles", "must name a role")
    return Group(roles, integer(g["approvals"], f"{field}.approvals", 1, APPROVALS_MAX))


def _roles(value: object, field: str) -> tuple[str, ...]:
    roles = tuple(text(x, field) for x in items(value, field))
    good = all(_ROLE.fullmatch(x) for x in roles) and len(set(roles)) == len(roles)
    require(good, field, "must be distinct role names of a-z and _")
    return roles


def _limit(value: object, field: str) -> Limit:
    x = fields(value, field, _LIMIT)
    asset = text(x["asset"], f"{field}.asset")
    known = asset == ANY or _ASSET.fullmatch(asset) or _GAS.fullmatch(asset)
    require(bool(known), f"{field}.asset", "must be *, a CAIP-19 asset id or gas@<chain id>")
    return Limit(
        asset,
        integer(x["window_s"], f"{field}.window_s", 1, WINDOW_MAX_S),
        parse_amount(x["amount_max"], f"{field}.amount_max", 0),
    )


def _hot_limit(value: object, field: str) -> HotLimit:
    x = fields(value, field, _HOT_LIMIT)
    asset = text(x["asset"], f"{field}.asset")
    require(_ASSET.fullmatch(asset) is not None, f"{field}.asset", "must be a CAIP-19 asset id")
    return HotLimit(asset, parse_amount(x["amount_max"], f"{field}.amount_max", 0))


def _places(value: object, chain: str) -> Places:
    field = f"places.{chain}"
    p = fields(value, field, _PLACES, frozenset(_LATER_CONTRACTS))
    wallets = {k: _address(p[k], f"{field}.{k}") for k in _WALLETS}
    contracts = {
        k: None if p.get(k) is None else _address(p[k], f"{field}.{k}")
        for k in (*_CONTRACTS, *_LATER_CONTRACTS)
    }
    guards = _guards(p["guards"], chain, f"{field}.guards")
    payees = tuple(_address(x, f"{field}.payees") for x in items(p["payees"], f"{field}.payees"))
    named = [*wallets.values(), *guards, *(c for c in contracts.values() if c)]
    require(len(set(named)) == len(named), field, "places are never mixed: addresses must differ")
    return Places(**wallets, **contracts, guards=guards, payees=payees)  # type: ignore[arg-type]


def _guards(value: object, chain: str, field: str) -> dict[str, str]:
    """Guard -> its asset. Address and asset are strict: one guard and one asset have one form."""
    if not isinstance(value, dict) or len(value) > LIST_MAX:
        raise InvalidInput(field, f"must be an object of at most {LIST_MAX}: guard to its asset")
    return {
        _address(guard, field): _asset_on(asset, chain, f"{field}.{guard}")
        for guard, asset in value.items()
    }


def _asset_on(value: object, chain: str, field: str) -> str:
    found = text(value, field)
    good = _ASSET.fullmatch(found) is not None and found.startswith(f"eip155:{chain}/")
    require(good, field, f"must be a CAIP-19 asset id of chain {chain}")
    return found


def _require_bounds(policy: Policy) -> None:
    """What leaves without a person must be bounded, or the policy is no policy."""
    for rule in policy.rules:
        if rule.effect is Effect.ALLOW and not rule.groups and rule.kind in OUTWARD:
            asset = rule.asset
            bound = any(x.asset in (asset, ANY) for x in policy.limits)
            require(
                bound, "limits", f"must bound {asset}, which rule {rule.name} lets pass unattended"
            )
