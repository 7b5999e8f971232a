"""What dev.py starts: `python -m chaos` from any working folder."""

import runpy
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Its modules are those of the package; as modules of their own they would stand in others' way.
sys.path[:] = [str(HERE.parent), *(place for place in sys.path if place != str(HERE))]
runpy.run_module("chaos", run_name="__main__")
