import json
import sys
from pathlib import Path

first, *others = sys.argv[1:]
for file in sorted(Path(first).glob("arms/*/seed-*/stage-*/losses.json")):
    curve = [row["loss"] for row in json.loads(file.read_text())]
    for other in others:
        same = [row["loss"] for row in json.loads((other / file.relative_to(first)).read_text())]
        close = all(abs(a - b) <= 1e-4 * a for a, b in zip(curve, same, strict=True))
        print(file.parts[-4], other, len(curve), "losses,", "equal to 1e-4" if close else "DIFFERENT")
