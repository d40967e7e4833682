"""What the keeper of the signer's machine does with its key-encryption keys. No service needed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from custody.core.clock import SystemClock
from custody.core.settings import Settings
from custody.keys import homes, keks, rotation, shares
from custody.keys.keks import KINDS, Register, kek_id
from custody.keys.rotation import RotationRefused
from custody.keys.shares import Share, SharesRefused
from custody.keys.store import copy_store
from custody.keys.vault import CannotOpen

app = typer.Typer(
    help="The key over the signer's keys: rotation, backups, shares.", no_args_is_help=True
)

Backup = Annotated[Path, typer.Argument(help="the backup's file")]
SecretFile = Annotated[
    Path | None,
    typer.Option(help="file (0600) of the passphrase or PIN; the one in force if not given"),
]


@app.command("list")
def list_() -> None:
    """Every KEK that was used here, and what became of it."""
    with clear_errors():
        home = Settings().home
        sealed = homes.read_envelope(home)
        register, current = Register.read(homes.folder(home)), kek_id(sealed.kek)
        for name, description in {**register.known, current: sealed.kek}.items():
            destroyed = "destroyed" if name in register.destroyed else "kept"
            state = "in force" if name == current else destroyed
            typer.echo(f"{name}  {description['kind']:<12}  {state}")


@app.command()
def rotate(
    to: Annotated[str, typer.Option(help=f"the new keeper: {', '.join(KINDS)}")],
    token: Annotated[str | None, typer.Option(help="a module's token")] = None,
    secret_file: SecretFile = None,
) -> None:
    """Put the keys under a new KEK while the signer runs. The old one is kept."""
    with clear_errors():
        home = Settings().home
        old = keks.reopen(
            homes.folder(home), homes.read_envelope(home).kek, homes.read_secret(home)
        )
        needed = keks.needs_secret({"kind": to})
        new = keks.create(to, _secret(home, secret_file) if needed else "", token)
        typer.echo(rotation.rotate(home, old, new))
        if secret_file is not None:
            named = f"{homes.PASSPHRASE_VARIABLE}={secret_file}"
            typer.echo(f"the signer's next start needs {named}", err=True)


@app.command("back-up")
def back_up(backup: Backup) -> None:
    """Copy the sealed keys into a new file. It opens with its KEK alone."""
    with clear_errors():
        rotation.back_up(Settings().home, backup)


@app.command("back-up-store")
def back_up_store(backup: Backup) -> None:
    """Copy what the signer remembers into a new file, while it works. `restore` asks for it."""
    with clear_errors():
        copy_store(homes.folder(Settings().home) / "store.db", backup)


@app.command("verify-backup")
def verify_backup(backup: Backup, secret_file: SecretFile = None) -> None:
    """Read a backup back to the keys in it. `destroy` asks for this, done within a day."""
    with clear_errors():
        home = Settings().home
        rotation.verify_backup(home, backup, _secret(home, secret_file), SystemClock())


@app.command()
def destroy(
    kek: Annotated[str, typer.Argument(help="its id, as `kek list` prints it")],
    confirm: Annotated[str, typer.Option(help="the id again: there is no way back")],
    secret_file: SecretFile = None,
) -> None:
    """End an old KEK for ever. Backups of its time do not open any more."""
    with clear_errors():
        if confirm != kek:
            raise RotationRefused("confirm: must be the id of the KEK to be destroyed")
        home = Settings().home
        found = rotation.found(home, kek, _secret(home, secret_file))
        rotation.destroy(home, found, SystemClock())


@app.command("split")
def split(
    folder: Annotated[Path, typer.Argument(help="a folder for the shares, one file a person")],
    threshold: Annotated[int, typer.Option(min=2, help="how many restore the keys")],
    count: Annotated[int, typer.Option(max=shares.SHARES_MAX, help="how many there are")],
) -> None:
    """Make shares of the seed. Give each to another person, and leave none on this machine."""
    with clear_errors():
        home = Settings().home
        plain = homes.open_secrets(home, homes.read_secret(home))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for share in shares.split(plain, threshold, count):
            share.write(folder / f"share-{share.set_id}-{share.index}.json")


@app.command("restore")
def restore(
    files: Annotated[list[Path], typer.Argument(help="shares, as many as they ask for")],
    store: Annotated[Path, typer.Option(help="a copy of the signer's store.db")],
    secret_file: Annotated[Path, typer.Option(help="file (0600) of a new passphrase")],
) -> None:
    """Make the signer's folder from shares, on a machine that has none. It starts frozen."""
    from custody.keys import ceremony

    with clear_errors():
        made = ceremony.restore(
            Settings().home,
            shares.combine([Share.read(path) for path in files]),
            passphrase=homes.read_private(secret_file),
            store=store,
            clock=SystemClock(),
        )
        typer.echo(made.account_xpub)


def _secret(home: Path, file: Path | None) -> str:
    return homes.read_secret(home) if file is None else homes.read_private(file)


@contextmanager
def clear_errors() -> Iterator[None]:
    """One line that says what is wrong, and exit code 1."""
    try:
        yield
    except (CannotOpen, RotationRefused, SharesRefused, OSError, ValueError) as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        raise typer.Exit(1) from None
