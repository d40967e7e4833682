"""Checks of values that many requests carry. Each raises InvalidInput naming field and rule."""

from collections.abc import Sequence

from pydantic import Field

from api.answers import Shape, parse_time
from chains.evm.address import is_checksummed
from chains.registry import ChainInfo, Registry
from custody.core.errors import InvalidInput
from custody.core.governance import Signature
from custody.core.ids import parse_id
from custody.core.intents import Approval
from custody.core.money import AssetId


class PersonSignature(Shape):
    """A person's Ed25519 signature, made outside the service."""

    person: str
    signature: str = Field(pattern="^[0-9a-f]{128}$")


def signatures(given: Sequence[PersonSignature]) -> list[Signature]:
    for one in given:
        parse_id("person", one.person, "person")
    return [Signature(one.person, one.signature) for one in given]


class Approved(Shape):
    """Made by `people sign-deposit`, `sign-fork`, `sign-breaker` or `sign-restore`: no key enters
    the service."""

    digest: str = Field(max_length=80, description="of the document as the person saw it")
    person: str
    expires_at: str = Field(max_length=40)
    signature: str = Field(max_length=128)


def approvals(given: Sequence[Approved]) -> list[Approval]:
    return [
        Approval(
            parse_id("person", one.person, "approvals.person"),
            one.digest,
            parse_time(one.expires_at, "approvals.expires_at"),
            one.signature,
        )
        for one in given
    ]


def known_asset(registry: Registry, asset: str, field: str = "asset") -> AssetId:
    if asset not in registry.assets:
        raise InvalidInput(field, "must be an asset of the registry")
    return AssetId(asset)


def known_chain(registry: Registry, chain_id: int, field: str = "chain_id") -> ChainInfo:
    chain = registry.chains.get(chain_id)
    if chain is None:
        raise InvalidInput(field, "must be a chain of the registry")
    return chain


def checked_address(text: str, field: str) -> str:
    """EIP-55 and nothing else: a wrong checksum is a typing error that would lose the money."""
    if not is_checksummed(text) or int(text, 16) == 0:
        raise InvalidInput(field, "must be an address with a valid EIP-55 checksum, not zero")
    return text
