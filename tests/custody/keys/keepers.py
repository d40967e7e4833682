"""Who keeps a KEK: a passphrase, a hardware module (SoftHSM2), AWS KMS (moto's server)."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from custody.keys.keks import LIBRARY_VARIABLE
from custody.keys.vault import Kek, LocalKek

LIBRARIES = (
    *("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so"),
    *("/usr/local/lib/softhsm/libsofthsm2.so", "/opt/homebrew/lib/softhsm/libsofthsm2.so"),
)
TOKEN, PIN, WORDS = "moorage-test", "throw-away-pin-4711", "throw-away words of a test"
ACCESS_KEY = {
    "AWS_ACCESS_KEY_ID": "throw-away",
    "AWS_SECRET_ACCESS_KEY": "throw-away",
    "AWS_DEFAULT_REGION": "eu-central-1",
}


@dataclass(frozen=True)
class Keeper:
    """`make` gives a new KEK, `secret` opens it again."""

    kind: str
    make: Callable[[], Kek]
    secret: str


@cache
def softhsm_library() -> str | None:
    """The module's library, where SoftHSM2 and its tool are installed."""
    found = next((path for path in LIBRARIES if Path(path).exists()), None)
    return found if shutil.which("softhsm2-util") else None


def passphrase_keeper() -> Keeper:
    return Keeper(
        "local-scrypt", lambda: LocalKek.create("throw-away words", 2**10), "throw-away words"
    )


@pytest.fixture(scope="session")
def softhsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A token of its own for the session: the library reads its settings once a process."""
    library = softhsm_library()
    if library is None:
        pytest.skip("SoftHSM2 is not installed (Debian package softhsm2)")
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder}/tokens\nlog.level = ERROR\n")
    before = {name: os.environ.get(name) for name in ("SOFTHSM2_CONF", LIBRARY_VARIABLE)}
    os.environ["SOFTHSM2_CONF"], os.environ[LIBRARY_VARIABLE] = str(settings), library
    init = ("softhsm2-util", "--init-token", "--free", "--label", TOKEN)
    subprocess.run([*init, "--pin", PIN, "--so-pin", PIN], check=True, capture_output=True)
    yield library
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """moto's server, found by boto3 through the environment as the real one is."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {**ACCESS_KEY, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}.items():
        monkeypatch.setenv(name, value)
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["local-scrypt", "pkcs11", "aws-kms"])
def keeper(request: pytest.FixtureRequest) -> Keeper:
    """Each of them in turn."""
    match request.param:
        case "pkcs11":
            library = request.getfixturevalue("softhsm")
            from custody.keys.kek_pkcs11 import Module, Pkcs11Kek

            module = Module(library, TOKEN, PIN)
            return Keeper("pkcs11", lambda: Pkcs11Kek.create(module), PIN)
        case "aws-kms":
            request.getfixturevalue("kms")
            from custody.keys.kek_aws import AwsKek

            return Keeper("aws-kms", AwsKek.create, "")
    return Keeper("local-scrypt", lambda: LocalKek.create(WORDS, 2**10), WORDS)
