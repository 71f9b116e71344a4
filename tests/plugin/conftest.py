"""The example package is on the path; importing a file of it registers what it holds."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
