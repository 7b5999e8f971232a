"""Copies a database in a process that a test kills: `copy_worker.py FROM TO`."""

import asyncio
import sys

from chargehand.store import copying
from chargehand.store.copy_sides import side_of

copying.ROWS_AT_ONCE = 2
asyncio.run(copying.copy(side_of(sys.argv[1]), side_of(sys.argv[2]), told=lambda progress: None))
