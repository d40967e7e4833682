"""The chain's own scenarios on a real Anvil. Kind: integration."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chains.devnet.anvil import Anvil
from chains.devnet.rpc import DevnetError, wait_receipt
from chains.devnet.scenario.chain import Fate, fee_spike, held, mine_empty, reorg, warp

pytestmark = pytest.mark.chain

GWEI = 10**9
DAY_S = 24 * 3600


@pytest.fixture(scope="module", params=[None, 1], ids=["on demand", "by interval"])
def anvil(request: pytest.FixtureRequest) -> Iterator[Anvil]:
    with Anvil.start(chain_id=31398, block_time=request.param) as node:
        yield node


@pytest.fixture
def url(anvil: Anvil) -> Iterator[str]:
    """The node mines after the test as it did before it."""
    before = mining(anvil)
    yield anvil.rpc_url
    assert mining(anvil) == before
    assert waiting(anvil) == 0


def mining(anvil: Anvil) -> tuple[bool, int | None]:
    return anvil.rpc("anvil_getAutomine"), anvil.rpc("anvil_getIntervalMining")


def waiting(anvil: Anvil) -> int:
    return int(anvil.rpc("txpool_status")["pending"], 16)


def pay(anvil: Anvil, max_fee_wei: int = 500 * GWEI, *, sender: int | str = 0, **more: str) -> str:
    """One wei to a stranger from a dev account, or an impersonated one; the hash."""
    message = {
        "from": anvil.rpc("eth_accounts")[sender] if isinstance(sender, int) else sender,
        "to": "0x" + "5c" * 20,
        "value": "0x1",
        "gas": hex(21_000),
        "maxFeePerGas": hex(max_fee_wei),
        "maxPriorityFeePerGas": hex(1),
    }
    return str(anvil.rpc("eth_sendTransaction", message | more))


def height(anvil: Anvil, tx_hash: str) -> int | None:
    receipt = anvil.rpc("eth_getTransactionReceipt", tx_hash)
    return receipt and int(receipt["blockNumber"], 16)


def block(anvil: Anvil, tag: str = "latest") -> dict[str, Any]:
    found: dict[str, Any] = anvil.rpc("eth_getBlockByNumber", tag, False)
    return found


def head(anvil: Anvil) -> int:
    return int(block(anvil)["number"], 16)


def base_fee(anvil: Anvil) -> int:
    return int(block(anvil)["baseFeePerGas"], 16)


def test_warp_lets_time_pass(anvil: Anvil, url: str) -> None:
    before, number = anvil.now(), head(anvil)
    warp(url, 30 * DAY_S)
    assert 0 <= anvil.now() - before - 30 * DAY_S <= 2
    assert head(anvil) > number


@pytest.mark.parametrize("seconds", [0, -1])
def test_time_does_not_go_back(url: str, seconds: int) -> None:
    with pytest.raises(DevnetError, match="forward only"):
        warp(url, seconds)


def test_a_held_transaction_waits_and_is_mined_at_the_end(anvil: Anvil, url: str) -> None:
    with held(url):
        tx_hash, number = pay(anvil), head(anvil)
        time.sleep(1.2)  # longer than the interval
        assert (height(anvil, tx_hash), head(anvil), waiting(anvil)) == (None, number, 1)
    assert height(anvil, tx_hash) == number + 1


def test_an_inner_hold_does_not_end_the_outer_one(anvil: Anvil, url: str) -> None:
    with held(url):
        with held(url):
            tx_hash = pay(anvil)
        assert height(anvil, tx_hash) is None
        assert mining(anvil) == (False, None)
    assert height(anvil, tx_hash) is not None


def test_an_error_inside_a_hold_ends_it(anvil: Anvil, url: str) -> None:
    with pytest.raises(ZeroDivisionError), held(url):
        tx_hash = pay(anvil)
        raise ZeroDivisionError
    wait_receipt(url, tx_hash)


def test_blocks_pass_over_a_stuck_transaction_until_it_is_replaced(anvil: Anvil, url: str) -> None:
    with held(url):
        stuck, number = pay(anvil, 100 * GWEI), head(anvil)
        nonce = anvil.rpc("eth_getTransactionByHash", stuck)["nonce"]
        mine_empty(url, 5)
        assert head(anvil) == number + 5
        assert (height(anvil, stuck), waiting(anvil)) == (None, 1)
        replacement = pay(anvil, 200 * GWEI, nonce=nonce, maxPriorityFeePerGas=hex(GWEI))
        assert waiting(anvil) == 1
    assert height(anvil, replacement) == number + 6
    assert height(anvil, stuck) is None


def test_empty_blocks_leave_the_gas_limit(anvil: Anvil, url: str) -> None:
    limit = block(anvil)["gasLimit"]
    mine_empty(url)
    anvil.mine(1)
    assert block(anvil)["gasLimit"] == limit


def test_a_fee_spike_leaves_out_who_cannot_pay_and_ends(anvil: Anvil, url: str) -> None:
    anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
    anvil.mine(1)
    with held(url):
        poor = [pay(anvil, fee, sender=1) for fee in (3 * GWEI, 900 * GWEI)]
        with fee_spike(url, 100 * GWEI) as spike:
            assert base_fee(anvil) == 100 * GWEI
            rich = pay(anvil, 101 * GWEI, sender=2)
            with pytest.raises(DevnetError, match="max fee per gas less than block base fee"):
                pay(anvil, 99 * GWEI, sender=2)
            spike.mine(3)
            assert base_fee(anvil) == 100 * GWEI
            assert height(anvil, rich) == head(anvil) - 2
            # The second could pay, but its sender's first one waits.
            assert [height(anvil, tx_hash) for tx_hash in poor] == [None, None]
            assert waiting(anvil) == 2
    assert base_fee(anvil) < GWEI
    assert [height(anvil, tx_hash) for tx_hash in poor] == [head(anvil)] * 2


def test_a_fee_spike_of_its_own_holds_and_releases(anvil: Anvil, url: str) -> None:
    with fee_spike(url, 70 * GWEI):
        tx_hash = pay(anvil)
        time.sleep(1.2)
        assert height(anvil, tx_hash) is None
    wait_receipt(url, tx_hash)
    assert base_fee(anvil) < 70 * GWEI


def chain_of_blocks(anvil: Anvil) -> tuple[list[str], int]:
    """Three blocks, of two, none and one transaction; their hashes and the head."""
    with held(anvil.rpc_url):
        hashes = [pay(anvil), pay(anvil)]
        anvil.mine(1)
        anvil.mine(1)
        hashes.append(pay(anvil))
        anvil.mine(1)
        number = head(anvil)
        assert [height(anvil, tx_hash) for tx_hash in hashes] == [number - 2, number - 2, number]
    return hashes, number


@pytest.mark.parametrize("fate", Fate)
def test_a_reorg_replaces_blocks_and_gives_transactions_their_fate(
    anvil: Anvil, url: str, fate: Fate
) -> None:
    with held(url):
        hashes, number = chain_of_blocks(anvil)
        heights = [height(anvil, tx_hash) for tx_hash in hashes]
        old = [block(anvil, hex(number - i))["hash"] for i in range(4)]
        reorg(url, 3, fate)
        new = [block(anvil, hex(number - i))["hash"] for i in range(4)]
        assert head(anvil) == number
        assert [a == b for a, b in zip(old, new, strict=True)] == [False, False, False, True]
        after = [height(anvil, tx_hash) for tx_hash in hashes]
        assert after == (heights if fate is Fate.MINED else [None] * 3)
        assert waiting(anvil) == (3 if fate is Fate.MEMPOOL else 0)
        known = [anvil.rpc("eth_getTransactionByHash", tx_hash) is not None for tx_hash in hashes]
        assert known == [fate is not Fate.LOST] * 3
        anvil.mine(1)
        if fate is Fate.MEMPOOL:
            assert [height(anvil, tx_hash) for tx_hash in hashes] == [number + 1] * 3
    assert (height(anvil, hashes[0]) is None) == (fate is Fate.LOST)


def test_a_second_reorg_of_the_same_blocks_replaces_them_again(anvil: Anvil, url: str) -> None:
    """Also when the base fee has fallen to its floor, and empty blocks of one second are equal."""
    with held(url):
        anvil.mine(200)
        seen = {block(anvil)["hash"]}
        for _ in range(3):
            reorg(url, 2, Fate.LOST)
            seen.add(block(anvil)["hash"])
    assert len(seen) == 4


def test_the_clock_does_not_go_back_with_the_blocks(anvil: Anvil, url: str) -> None:
    warp(url, DAY_S)
    before = anvil.now()
    reorg(url, 1, Fate.LOST)
    anvil.mine(1)
    assert 0 <= anvil.now() - before <= 3


@pytest.mark.parametrize("depth", [0, -1])
def test_a_reorg_has_a_depth(url: str, depth: int) -> None:
    with pytest.raises(DevnetError, match="a reorg of"):
        reorg(url, depth, Fate.LOST)


def test_a_transaction_that_the_new_branch_refuses_is_reported(anvil: Anvil, url: str) -> None:
    """Its sender has the money only in the block that is replaced."""
    poor = anvil.rpc("eth_accounts")[5]
    anvil.set_balance(poor, 0)
    with held(url):
        anvil.mine(2)
        anvil.set_balance(poor, 10**18)  # of the second block
        tx_hash = pay(anvil, sender=5)
        anvil.mine(1)
        with pytest.raises(DevnetError, match=f"{tx_hash} is None, not MINED"):
            reorg(url, 2, Fate.MINED)
    anvil.set_balance(poor, 10**18)


def test_a_sender_without_a_key_cannot_be_mined_again(anvil: Anvil, url: str) -> None:
    """An impersonated one: its transaction has no signature that another block could take."""
    stranger = "0x" + "77" * 20
    anvil.set_balance(stranger, 10**18)
    anvil.rpc("anvil_impersonateAccount", stranger)
    with held(url):
        tx_hash = pay(anvil, sender=stranger)
        anvil.mine(1)
        with pytest.raises(DevnetError, match="recover the signer"):
            reorg(url, 1, Fate.MINED)
        assert height(anvil, tx_hash) == head(anvil)
    anvil.rpc("anvil_stopImpersonatingAccount", stranger)


def test_a_reorg_behind_a_loaded_state_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    with Anvil.start(chain_id=31397) as anvil:
        anvil.mine(3)
        anvil.dump_state(state)
    with Anvil.start(chain_id=31397, load_state=state) as anvil:
        tx_hash = pay(anvil)
        wait_receipt(anvil.rpc_url, tx_hash)
        before = block(anvil)
        with pytest.raises(DevnetError, match="a reorg of 4 blocks at 5"):
            reorg(anvil.rpc_url, 4, Fate.LOST)
        assert block(anvil) == before
        reorg(anvil.rpc_url, 1, Fate.LOST)
        assert height(anvil, tx_hash) is None


def test_old_chain_keeps_its_contracts_through_a_reorg() -> None:
    """A node that put states on its disk lost every contract's code here."""
    with Anvil.start(chain_id=31398) as node:
        code, at = "0x6001600055", "0x" + "c0" * 20
        node.rpc("anvil_setCode", at, code)
        node.mine(1_100)
        kept = node.snapshot()
        node.mine(60)
        node.revert(kept)
        node.mine(2)
        reorg(node.rpc_url, 6, Fate.LOST)
        assert node.rpc("eth_getCode", at, "latest") == code
