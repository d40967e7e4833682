"""Which database: the embedded PostgreSQL under the home folder, or DATABASE_URL's server."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from api.processes import serving
from custody.core import embedded
from custody.core.errors import Unavailable
from custody.core.settings import Settings


@dataclass(frozen=True, slots=True)
class Urls:
    """`app` is what the service connects as; `owner` runs migrations and nothing else."""

    app: str
    owner: str


def database_urls(settings: Settings, *, start: bool) -> Urls:
    """The two addresses; with `start` the embedded server is started and the database made.

    Raises Unavailable where a server is named without the owner's address for migrations.
    """
    if settings.database_url is not None:
        owner = settings.migration_database_url
        if owner is None and start:
            raise Unavailable("MIGRATION_DATABASE_URL must be set beside DATABASE_URL")
        return Urls(_asyncpg(settings.database_url), _asyncpg(owner or settings.database_url))
    server = embedded.start(settings.postgres_folder)
    if start:
        embedded.ensure_database(server, settings.database_name)
    return Urls(
        server.url(settings.database_name, embedded.APP_ROLE),
        server.url(settings.database_name, embedded.OWNER_ROLE),
    )


@contextmanager
def left_as_found(settings: Settings) -> Iterator[None]:
    """For commands that end: stop the embedded server at the end unless it ran before, or
    `moorage serve` has begun to use it meanwhile."""
    ran = settings.database_url is not None or embedded.is_running(settings.postgres_folder)
    try:
        yield
    finally:
        with serving(settings.home) as alone:
            if alone and not ran:
                embedded.stop(settings.postgres_folder)


def _asyncpg(url: str) -> str:
    """Accepts the usual `postgresql://` spelling."""
    scheme, rest = url.split("://", 1)
    return f"postgresql+asyncpg://{rest}" if scheme in ("postgres", "postgresql") else url
