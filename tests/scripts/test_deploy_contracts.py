"""`scripts/deploy_contracts` against a real node, with a key of its own."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount

from chains.devnet.anvil import REPO, Anvil
from chains.devnet.rpc import call
from chains.devnet.world import World, start_chain
from chains.evm.deployment.create2 import DEPLOYER
from scripts.contracts.deploy import KEY, PASSPHRASE, main

pytestmark = pytest.mark.chain

ETHER = 10**18
LOG_ID = "0x" + "0b" * 32
ROLES = {
    name: "0x" + byte * 20
    for name, byte in {
        "treasury": "b1", "owner": "b2", "guardian": "b3", "allocator": "b4", "anchorer": "b5",
    }.items()
}  # fmt: skip


@dataclass(frozen=True)
class Yard:
    """A chain, and a folder with setups of guards."""

    anvil: Anvil
    world: World
    setups: Path


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    chain, setups = start_chain(REPO / ".cache", 31337), tmp_path_factory.mktemp("setups")
    _write_setups(setups, chain.world)
    with chain.anvil:
        yield Yard(chain.anvil, chain.world, setups)


@pytest.fixture
def chain(running: Yard) -> Iterator[Yard]:
    snapshot = running.anvil.snapshot()
    yield running
    running.anvil.revert(snapshot)


def _write_setups(folder: Path, world: World) -> None:
    """usdc.json, eth.json, and x.json over no token."""
    market = world.aave.reserves["USDC"]
    usdc = {
        "asset": world.tokens["USDC"].address,
        "grain": "1000000",
        "delay_s": 172800,
        "idle_min": "1000000",
        "payees_day_max": "5000000000",
        "venues": [
            {
                "name": "aave-usdc",
                "kind": "aave_v3",
                "target": market.a_token,
                "aux": world.aave.pool,
                "cap": "9000000000",
                "share_max_bps": 9000,
                "flow_max": "8000000000",
            }
        ],
        "groups": [{"venues": ["aave-usdc"], "cap": "7000000000", "share_max_bps": 8000}],
        "payees": {ROLES["treasury"]: "4000000000"},
    }
    (folder / "usdc.json").write_text(json.dumps(usdc))
    none: dict[str, object] = {"venues": [], "groups": [], "payees": {}}
    (folder / "eth.json").write_text(json.dumps(usdc | none | {"asset": "native"}))
    (folder / "x.json").write_text(json.dumps(usdc | none | {"asset": "0x" + "0c" * 20}))


@pytest.fixture
def account(chain: Yard, monkeypatch: pytest.MonkeyPatch) -> LocalAccount:
    """A deploying account with ether, whose key is in the environment."""
    made: LocalAccount = Account.create()
    chain.anvil.set_balance(made.address, ETHER)
    monkeypatch.setenv(KEY, made.key.hex())
    return made


def arguments(chain: Yard, *more: str, **other: str) -> list[str]:
    roles = [part for name, at in (ROLES | other).items() for part in (f"--{name}", at)]
    files = {"guard_usdc": "usdc.json", "guard_eth": "eth.json"}
    guards = [f"--guard={name}={chain.setups / file}" for name, file in files.items()]
    fixed = ["--rpc", chain.anvil.rpc_url, "--chain-id", "31337", "--log-id", LOG_ID]
    return [*fixed, *roles, *guards, *more]


def block_number(chain: Yard) -> int:
    return int(chain.anvil.rpc("eth_blockNumber"), 16)


def test_a_dry_run_needs_no_key_and_sends_nothing(
    chain: Yard, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(KEY, raising=False)
    before = block_number(chain)
    assert main(arguments(chain)) == 0
    out = capsys.readouterr().out
    assert out.count("to be deployed") == 5
    assert "dry run: nothing was sent" in out
    assert block_number(chain) == before


def test_what_the_dry_run_says_is_what_is_deployed_once(
    chain: Yard,
    account: LocalAccount,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "book.json"
    assert main(arguments(chain)) == 0
    announced = capsys.readouterr().out
    assert main(arguments(chain, "--send", "--book", str(file))) == 0
    book = json.loads(file.read_text())["contracts"]
    assert set(book) == {"audit_anchor", "payouts", "sweeper", "guard_usdc", "guard_eth"}
    assert all(entry["address"] in announced for entry in book.values())

    before, said = block_number(chain), capsys.readouterr()
    assert main(arguments(chain, "--send", "--book", str(file))) == 0
    assert json.loads(file.read_text())["contracts"] == book
    assert main(arguments(chain)) == 0
    again = capsys.readouterr()
    assert "to be" not in again.out
    assert block_number(chain) == before

    url, owner = chain.anvil.rpc_url, ROLES["owner"]
    log_id, anchors = bytes.fromhex(LOG_ID[2:]), book["audit_anchor"]["address"]
    assert call(url, anchors, "ownerOf(bytes32)", log_id, returns="(address)")[0] == owner
    for guard in ("guard_usdc", "guard_eth"):
        at = book[guard]["address"]
        assert call(url, at, "owner()", returns="(address)")[0] == owner
    shown = announced + said.out + said.err + again.out + again.err
    assert account.key.hex().removeprefix("0x") not in shown


def test_the_key_can_come_from_a_keystore(
    chain: Yard, account: LocalAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "key.json"
    store.write_text(json.dumps(Account.encrypt(account.key, "open", kdf="pbkdf2", iterations=2)))
    monkeypatch.delenv(KEY)
    monkeypatch.setenv(PASSPHRASE, "open")
    wanted = arguments(chain, "--send", "--keystore", str(store), "--book", str(tmp_path / "b"))
    assert main(wanted) == 0


@pytest.mark.parametrize("secret", [None, "0x1234", "ab" * 33, "not hex: deadbeef"])
def test_a_bad_key_is_refused_and_not_shown(
    chain: Yard,
    secret: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv(KEY, raising=False)
    if secret is not None:
        monkeypatch.setenv(KEY, secret)
    before = block_number(chain)
    assert main(arguments(chain, "--send")) == 1
    shown = capsys.readouterr()
    assert KEY in shown.err
    assert secret is None or secret not in shown.out + shown.err
    assert block_number(chain) == before


@pytest.mark.parametrize("other", ["owner", "guardian"])
@pytest.mark.parametrize("hot", ["allocator", "anchorer", "deploying account"])
def test_no_hot_account_owns_or_guards(
    chain: Yard,
    account: LocalAccount,
    other: str,
    hot: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = block_number(chain)
    address = ROLES.get(hot, account.address)
    assert main(arguments(chain, "--send", **{other: address})) == 1
    assert f"{other} and {hot} are one account" in capsys.readouterr().err
    assert block_number(chain) == before


def test_another_chain_is_refused(
    chain: Yard, account: LocalAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = arguments(chain, "--send")
    wanted[wanted.index("31337")] = "1"
    assert main(wanted) == 1
    assert "another chain" in capsys.readouterr().err


def test_a_chain_without_the_deployer_is_refused(
    chain: Yard, account: LocalAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    chain.anvil.rpc("anvil_setCode", DEPLOYER, "0x")
    for more in ((), ("--send",)):
        assert main(arguments(chain, *more)) == 1
        assert "no deterministic deployment proxy" in capsys.readouterr().err


def test_a_guard_over_no_token_is_refused(
    chain: Yard, account: LocalAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    before = block_number(chain)
    assert main(arguments(chain, "--send", f"--guard=guard_x={chain.setups / 'x.json'}")) == 1
    assert "no token" in capsys.readouterr().err
    assert block_number(chain) == before


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("grain", 5, "grain: .*decimal string"),
        ("idle_min", "1.5", "idle_min: .*decimal string"),
        ("idle_min", "5", "idle_min: 5 is not"),
        ("payees", {"0x12": "1"}, "payees"),
        ("comment", "x", "comment: Extra inputs"),
        ("delay_s", "1", "delay_s: .*integer"),
        ("venues", [{"name": "x", "kind": "bank"}], "venues.0.kind: .*one of aave_v3"),
    ],
)
def test_a_wrong_setup_names_file_field_and_rule(
    chain: Yard, field: str, value: object, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = chain.setups / "wrong.json"
    wrong.write_text(
        json.dumps(json.loads((chain.setups / "usdc.json").read_text()) | {field: value})
    )
    assert main(arguments(chain, f"--guard=wrong={wrong}")) == 1
    assert re.search(f"wrong.json: {says}", capsys.readouterr().err)


@pytest.mark.parametrize("name", ["guard_usdc", "sweeper"])
def test_two_of_one_name_are_refused(
    chain: Yard, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(chain, f"--guard={name}={chain.setups / 'eth.json'}")) == 1
    assert "names of their own" in capsys.readouterr().err


def test_it_waits_for_its_account_to_be_idle(
    chain: Yard, account: LocalAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else the nonces of a run that is still going on would be used twice."""
    chain.anvil.rpc("evm_setAutomine", False)
    signed = account.sign_transaction(
        {
            "chainId": 31337,
            "nonce": 0,
            "gas": 100_000,
            "data": b"",
            "maxFeePerGas": 10**11,
            "maxPriorityFeePerGas": 1,
        }
    )
    chain.anvil.rpc("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())
    try:
        assert main(arguments(chain, "--send")) == 1
    finally:
        chain.anvil.rpc("anvil_mine", "0x1")
        chain.anvil.rpc("evm_setAutomine", True)
    assert "not mined yet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("role", "text"),
    [
        ("owner", "0x" + "00" * 20),
        ("owner", "0x12"),
        ("treasury", "0xAb5801a7D398351b8bE11C439e05C5B3259aeC9b"[:-1] + "C"),
    ],
)
def test_addresses_are_read_strictly(chain: Yard, role: str, text: str) -> None:
    with pytest.raises(SystemExit):
        main(arguments(chain, **{role: text}))


def test_a_wrapper_of_a_lending_market_is_placed_for_its_guard(
    chain: Yard, account: LocalAccount, tmp_path: Path
) -> None:
    file, market = tmp_path / "book.json", chain.world.compound.v_tokens["USDC"]
    wanted = arguments(chain, f"--vtoken-vault=guard_usdc={market}", "--book", str(file))
    assert main(wanted) == 0
    assert main([*wanted, "--send"]) == 0
    book = json.loads(file.read_text())["contracts"]
    vault = book[f"guard_usdc_{market[2:10].lower()}"]["address"]
    url, guard = chain.anvil.rpc_url, book["guard_usdc"]["address"]
    assert call(url, vault, "DEPOSITOR()", returns="(address)")[0].lower() == guard.lower()
    assert call(url, vault, "MARKET()", returns="(address)")[0].lower() == market.lower()


@pytest.mark.parametrize(
    ("guard", "symbol", "says"),
    [
        ("guard_eth", "USDC", "is no guard of a token here"),
        ("nobody", "USDC", "is no guard of a token here"),
        ("guard_usdc", "WETH", "the market lends"),
        ("guard_usdc", "", "no market at"),
    ],
)
def test_a_wrapper_that_fits_no_guard_is_refused(
    chain: Yard,
    account: LocalAccount,
    guard: str,
    symbol: str,
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    market = chain.world.compound.v_tokens.get(symbol, "0x" + "0c" * 20)
    before = block_number(chain)
    assert main(arguments(chain, f"--vtoken-vault={guard}={market}", "--send")) == 1
    assert says in capsys.readouterr().err
    assert block_number(chain) == before
