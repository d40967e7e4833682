"""Safe and Multicall3 at their canonical addresses, doing what they are for."""

import pytest

from chains.devnet import outside
from chains.devnet.canonical import CANONICAL, MULTICALL3
from chains.devnet.rpc import DevnetError, call, call_uint, encode_call, send
from chains.devnet.safe import Operation, create_safe, execute, multi_send_data
from chains.devnet.world import DevnetChain

pytestmark = pytest.mark.chain

USDC = 10**6
PAYEES = ("0x" + "a1" * 20, "0x" + "a2" * 20)


def owners(chain: DevnetChain) -> list[str]:
    accounts = chain.world.accounts
    return [accounts.deployer, accounts.whale, accounts.borrower]


def made(chain: DevnetChain) -> str:
    world, url = chain.world, chain.anvil.rpc_url
    safe = create_safe(url, world.safe, world.accounts.deployer, owners(chain), 2)
    outside.send_usdc(url, world, safe, 100 * USDC)
    return safe


def transfer(to: str, amount: int) -> str:
    return encode_call("transfer(address,uint256)", to, amount)


def test_everything_is_where_it_is_on_every_chain(chain: DevnetChain) -> None:
    assert chain.world.safe == CANONICAL
    for address in vars(CANONICAL).values():
        assert outside.code_at(chain.anvil.rpc_url, address)
    assert chain.world.multicall3 == MULTICALL3
    assert outside.code_at(chain.anvil.rpc_url, MULTICALL3)


def test_two_of_three_owners_move_money(chain: DevnetChain) -> None:
    url, usdc = chain.anvil.rpc_url, chain.world.tokens["USDC"].address
    safe, (first, second, third) = made(chain), owners(chain)
    execute(url, safe, [first, second], usdc, transfer(PAYEES[0], 30 * USDC))
    execute(url, safe, [third, second], usdc, transfer(PAYEES[0], 10 * USDC))
    assert outside.erc20_balance(url, usdc, PAYEES[0]) == 40 * USDC
    assert call_uint(url, safe, "nonce()") == 2


def test_one_owner_or_a_stranger_moves_nothing(chain: DevnetChain) -> None:
    url, usdc = chain.anvil.rpc_url, chain.world.tokens["USDC"].address
    safe, (first, *_) = made(chain), owners(chain)
    for signers in ([first], [first, chain.world.accounts.collector]):
        with pytest.raises(DevnetError):
            execute(url, safe, signers, usdc, transfer(PAYEES[0], USDC))
    assert outside.erc20_balance(url, usdc, safe) == 100 * USDC


def test_a_batch_is_paid_whole_or_not_at_all(chain: DevnetChain) -> None:
    url, usdc = chain.anvil.rpc_url, chain.world.tokens["USDC"].address
    safe, signers = made(chain), owners(chain)[:2]
    batch = chain.world.safe.multi_send_call_only
    fair = [(usdc, 0, transfer(payee, 20 * USDC)) for payee in PAYEES]
    execute(url, safe, signers, batch, multi_send_data(fair), operation=Operation.DELEGATE_CALL)
    greedy = [(usdc, 0, transfer(payee, 60 * USDC)) for payee in PAYEES]
    with pytest.raises(DevnetError):
        execute(
            *(url, safe, signers, batch, multi_send_data(greedy)),
            operation=Operation.DELEGATE_CALL,
        )
    assert [outside.erc20_balance(url, usdc, payee) for payee in PAYEES] == [20 * USDC] * 2


def test_multicall_reads_at_one_block_and_goes_on_after_a_failure(chain: DevnetChain) -> None:
    world, url = chain.world, chain.anvil.rpc_url
    usdc, whale = world.tokens["USDC"].address, world.accounts.whale
    reads = (encode_call("balanceOf(address)", whale), "0xdeadbeef")
    calls = [(usdc, True, bytes.fromhex(data[2:])) for data in reads]
    aggregate = "aggregate3((address,bool,bytes)[])"
    (answers,) = call(url, MULTICALL3, aggregate, calls, returns="((bool,bytes)[])")
    assert [ok for ok, _ in answers] == [True, False]
    assert int.from_bytes(answers[0][1]) == outside.erc20_balance(url, usdc, whale)
    strict = [(usdc, False, bytes.fromhex(data[2:])) for data in reads]
    with pytest.raises(DevnetError):
        send(url, whale, MULTICALL3, aggregate, strict)
