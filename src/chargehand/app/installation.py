"""Whether a database and a data folder belong together, before a service of this folder opens it."""

from chargehand.app.options import server_limits
from chargehand.service.access import Access
from chargehand.settings import Settings
from chargehand.store.opening import open_database


async def is_own_database(settings: Settings) -> bool:
    """Whether the database holds no installation yet, or the one of this data folder. An empty one is filled."""
    limits = server_limits(settings)
    async with open_database(settings.database_path, settings.database_url, limits) as opened:
        access = Access(opened.db, opened.clock, settings.data_dir / "pepper")
        return await access.fits(settings.key_file)
