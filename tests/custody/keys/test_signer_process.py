"""The signer as a process: its socket, its end, and a kill at the worst moment."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from custody.audit.note import LogKey
from custody.core.ports import Fees, SignerRefused, SignerUnavailable
from custody.keys import homes
from custody.keys.client import SignerClient
from custody.keys.request import SignRequest
from tests.canary import CANARY
from tests.custody.keys.vault_world import FEES, ORIGIN, SMALL, VaultWorld

pytestmark = pytest.mark.journey

DIES_BEFORE_ANSWERING = """
import os
from custody.keys import signer
from custody.keys.desk import Desk
real = Desk.sign
def sign_then_die(self, request):
    real(self, request)
    os.kill(os.getpid(), 9)
Desk.sign = sign_then_die
signer.main()
"""


@contextmanager
def running(home: Path, *code: str) -> Iterator[subprocess.Popen[str]]:
    """A signer that listens. Killed at the end if it still runs."""
    start = ["-c", *code] if code else ["-m", "custody.keys.signer"]
    process = subprocess.Popen(
        [sys.executable, *start, "--home", str(home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"ready {homes.socket_path(home)}\n"
        yield process
    finally:
        process.kill()
        assert CANARY.leaks("".join(process.communicate())) == []


async def ask(client: SignerClient, r: SignRequest) -> str:
    fees = Fees(r.max_fee, r.max_priority_fee)
    return (await client.sign(r.intent, r.decision, r.nonce, fees)).raw


async def test_life_of_a_signer(world: VaultWorld) -> None:
    """Properties 20, 43: own process, private socket, no core file, clean end."""
    path = homes.socket_path(world.home)
    client = SignerClient(path)
    with running(world.home) as process:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        limits = Path(f"/proc/{process.pid}/limits").read_text().splitlines()
        core = next(line for line in limits if line.startswith("Max core file size"))
        assert core.split()[4:6] == ["0", "0"]
        assert await client.account_xpub(0) == world.made.account_xpub
        large = world.payout(2 * SMALL)
        with pytest.raises(SignerRefused) as refused:
            await ask(client, world.request(large, world.first))
        assert refused.value.rule == "decision_outcome"
        frozen_at = await client.freeze()
        with pytest.raises(SignerUnavailable, match="frozen"):
            await ask(client, world.request(world.payout()))
        assert (await client.status())["frozen_at"] == frozen_at
        process.terminate()
        assert process.wait(10) == 0
    assert not path.exists()
    with pytest.raises(SignerUnavailable):
        await client.status()


async def test_checkpoint_signature_verifies_with_the_vkey(world: VaultWorld) -> None:
    client, root = SignerClient(homes.socket_path(world.home)), b"r" * 32
    with running(world.home):
        signature = await client.sign_checkpoint(ORIGIN, 3, root)
        with pytest.raises(SignerRefused, match="checkpoint_fork"):
            await client.sign_checkpoint(ORIGIN, 3, b"q" * 32)
    key = LogKey.parse(world.made.log_vkey)
    assert key.name == ORIGIN
    body = f"{ORIGIN}\n3\ncnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnI=\n"
    Ed25519PublicKey.from_public_bytes(key.public_key).verify(signature, body.encode())


async def test_killed_between_store_and_answer(world: VaultWorld) -> None:
    """Property 10: the bytes were stored before the answer, so there are no others."""
    client = SignerClient(homes.socket_path(world.home))
    world.clock.advance(0)
    request = world.request(world.payout())
    with running(world.home, DIES_BEFORE_ANSWERING) as process:
        with pytest.raises(SignerUnavailable):
            await ask(client, request)
        assert process.wait(10) == -signal.SIGKILL
    with running(world.home):
        first = await ask(client, request)
        assert await ask(client, request) == first
        lower = Fees(FEES.max_fee_per_gas - 1, 1)
        again = await client.sign(request.intent, request.decision, 0, lower)
        assert again.raw == first
        with pytest.raises(SignerRefused, match="nonce_taken"):
            await ask(client, world.request(world.payout()))


async def test_parallel_requests_each_get_their_own_answer(world: VaultWorld) -> None:
    """Property 18: 32 at once through the socket; the limit lets ten pass."""
    client = SignerClient(homes.socket_path(world.home))
    with running(world.home):
        asked = [ask(client, world.request(world.payout(), nonce=n)) for n in range(32)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
    signed = [a for a in answers if isinstance(a, str)]
    refused = [a for a in answers if isinstance(a, SignerRefused)]
    assert len(signed) == len(set(signed)) == 10
    assert {a.rule for a in refused} == {"limit"}
    assert len(refused) == 22


def test_second_signer_of_a_folder_is_refused(world: VaultWorld) -> None:
    with running(world.home):
        second = subprocess.run(
            [sys.executable, "-m", "custody.keys.signer", "--home", str(world.home)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert second.returncode != 0
    assert "SignerBusy" in second.stderr


def test_other_users_are_refused(world: VaultWorld) -> None:
    """Property 43: another OS user gets nothing, even where it may reach the socket."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    with running(world.home):
        path = homes.socket_path(world.home)
        path.chmod(0o666)
        for folder in (f for f in path.parents if f.is_relative_to(tempfile.gettempdir())):
            if folder != Path(tempfile.gettempdir()):
                folder.chmod(0o755)
        assert _answer_to(65534, path) == b""
        assert _answer_to(0, path) != b""


_ASK = """
import os, socket, sys
os.setuid(int(sys.argv[1]))
with socket.socket(socket.AF_UNIX) as s:
    s.connect(sys.argv[2])
    try:
        s.sendall(b'{"op":"status"}\\n')
        sys.stdout.write(s.recv(9).decode())
    except ConnectionError:
        pass
"""


def _answer_to(uid: int, path: Path) -> bytes:
    """What a process of another user hears. It starts as us, since that user has no Python."""
    done = subprocess.run(
        [sys.executable, "-c", _ASK, str(uid), str(path)],
        capture_output=True,
        timeout=30,
        check=True,
    )
    return done.stdout
