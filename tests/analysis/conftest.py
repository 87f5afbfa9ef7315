"""The analysis scripts import each other by name, as they do when run by path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "analysis"))
