"""The signer's own reading of intents that name the deposit addresses they concern.

What only its keys can tell, that each address is the one at its path, the desk checks.
"""

from chains.evm.address import address_from_bytes, keccak
from custody.core.intents import Intent, IntentKind, Sweeps
from custody.keys.refusal import Refusal, require
from custody.policy.document import Places

SWEEP_TOKEN = keccak(b"sweepToken(address,uint256[])")[:4]
WALLETS_MAX = 200
"""Deposit addresses of one batch."""
TOP_UP_MAX_WEI = 5 * 10**16
"""What one deposit address may get for the gas of its own transfer: 100,000 gas at 500 gwei."""
_HEAD = 4 + 3 * 32
"""Selector, token, where the words begin, how many they are."""


def check(intent: Intent, places: Places, token: str | None, data: bytes) -> None:
    """Refuse unless the call concerns exactly the addresses that the intent names."""
    sweeps = intent.sweeps
    if sweeps is None:
        raise Refusal("sweeps", "names no deposit address")
    if intent.kind is IntentKind.SWEEP_BATCH:
        _check_batch(intent, sweeps, places, token, data)
    else:
        _check_top_up(intent, sweeps, token, data)


def _check_batch(
    intent: Intent, sweeps: Sweeps, places: Places, token: str | None, data: bytes
) -> None:
    """The hub calls each address; the code there sends to its own immutable treasury."""
    require(token is not None, "asset", "a native coin is swept by its own transaction")
    named = places.hub is not None and intent.to == places.hub
    require(named, "place", "is not the hub of the policy")
    require(intent.value == 0, "value", "a sweep carries none")
    require(intent.beneficiary == places.treasury, "place", "a sweep goes to the treasury")
    require(data[:4] == SWEEP_TOKEN, "selector", f"0x{data[:4].hex()} is not the call of this kind")
    require(len(data) >= _HEAD, "data", "has bytes missing")
    asset, offset, count = (data[4 + 32 * i : 36 + 32 * i] for i in range(3))
    require(asset[:12] == bytes(12), "data", "an address is not padded with zeros")
    require(address_from_bytes(asset[12:]) == token, "asset", "is not the token in the call")
    require(int.from_bytes(offset) == 64, "data", "the words are not where they are")
    whole = len(data) == _HEAD + 32 * int.from_bytes(count)
    require(whole, "data", "has bytes missing or left over")
    _check_wallets(intent, sweeps, places, data[_HEAD:])


def _check_wallets(intent: Intent, sweeps: Sweeps, places: Places, words: bytes) -> None:
    """Address and amount of each word are those named, each once, all of tokens' branch."""
    found = [
        (address_from_bytes(words[i : i + 20]), int.from_bytes(words[i + 20 : i + 32]))
        for i in range(0, len(words), 32)
    ]
    require(0 < len(found) <= WALLETS_MAX, "sweeps", f"a batch has 1 to {WALLETS_MAX}")
    meant = [(w.wallet, w.amount) for w in sweeps.wallets]
    require(found == meant, "sweeps", "are not those in the call")
    require(len({a for a, _ in found}) == len(found), "sweeps", "an address stands there twice")
    branch = all(w.path.startswith("1/") for w in sweeps.wallets)
    require(branch, "delegation", "is not of a token deposit address")
    total = sum(amount for _, amount in found)
    require(total == intent.amount, "amount", "is not the sum of what is named")
    listed = places.sweeper is not None and sweeps.delegate == places.sweeper
    require(listed, "delegation", "the delegate is not the sweeper of the policy")


def _check_top_up(intent: Intent, sweeps: Sweeps, token: str | None, data: bytes) -> None:
    """A little of the chain's coin to one deposit address of ours, and nothing else."""
    require(token is None, "asset", "gas is paid in the chain's coin")
    require(data == b"", "data", "a native transfer carries none")
    require(intent.to == intent.beneficiary, "beneficiary", "is not where the coin goes")
    require(intent.value == intent.amount, "amount", "is not the value sent")
    require(0 < intent.amount <= TOP_UP_MAX_WEI, "amount", f"is not 1 to {TOP_UP_MAX_WEI} wei")
    require(len(sweeps.wallets) == 1 and sweeps.delegate is None, "sweeps", "must be one address")
    (only,) = sweeps.wallets
    named = (only.wallet, only.amount, only.nonce) == (intent.to, intent.amount, None)
    require(named, "sweeps", "is not the address that is paid")
    deposit = only.path.startswith(("0/", "1/"))
    require(deposit, "place", "gas goes to deposit addresses only")
