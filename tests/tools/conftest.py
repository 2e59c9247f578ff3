"""Put the folder of tools on the path, as Python does for a tool that is started by its path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "tools"))
