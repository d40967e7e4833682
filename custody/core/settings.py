"""Settings: read once, typed, at start. A missing one stops the program.

Everything has an embedded default but secrets; those are files that `moorage init` makes under
the home folder, readable by their owner alone.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Environment variables with the prefix MOORAGE_, and DATABASE_URL for a server."""

    model_config = SettingsConfigDict(env_prefix="MOORAGE_", extra="ignore")

    home: Path = Path(".moorage")
    database_url: str | None = Field(default=None, validation_alias="DATABASE_URL")
    migration_database_url: str | None = Field(
        default=None, validation_alias="MIGRATION_DATABASE_URL"
    )
    database_name: str = "moorage"
    database_pool: int = Field(default=10, ge=1, le=200)
    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8600, ge=1, le=65535)
    api_workers: int = Field(default=1, ge=1, le=64)
    job_interval_ms: int = Field(default=250, ge=20)
    reconcile_blocks: int = Field(default=5, ge=1, le=10_000)
    """How many blocks of a chain pass between two reconciliations: a minute of Ethereum."""
    reconcile_loud_minutes: int = Field(default=15, ge=1, le=1_440)
    reconcile_stop_minutes: int = Field(default=60, ge=1, le=10_080)
    """After how long without a report of a chain, or without reading a place, that is told loudly,
    and then stops the assets that nobody looks at."""
    log_level: str = "INFO"
    memos: Literal["text", "commitment"] = "commitment"
    """What a transfer's memo is in the ledger (`custody/ledger/memos.py`); text is not erasable."""

    signer_user: str = "moorage-signer"
    service_user: str = "moorage"
    """OS users of the signer, and of worker and API, where `moorage serve` is started as root; made
    if they are missing. Empty: everything runs as root."""

    @property
    def postgres_folder(self) -> Path:
        return self.home.resolve() / "pg"

    @property
    def signer_socket(self) -> Path:
        return self.home.resolve() / "run" / "signer.sock"

    @property
    def installation_file(self) -> Path:
        """What `moorage init` wrote: chains, assets, contracts, log key; nothing secret."""
        return self.home.resolve() / "installation.json"

    @property
    def audit_folder(self) -> Path:
        """Tiles, entry bundles and the published checkpoint."""
        return self.home.resolve() / "log"
