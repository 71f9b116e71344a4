from contextune.core.sequence import Rendered
from contextune.train.layouts import LAYOUTS

rows = [
    Rendered((1, 11, 12, 13, 2), (-100, -100, 12, 13, 2)),
    Rendered((1, 21, 2), (-100, 21, 2)),
    Rendered((1, 2), (-100, 2)),
]
for name, layout in LAYOUTS.items():
    print(name)
    for batch in layout(rows, 8192, 0):
        positions = None if batch.position_ids is None else batch.position_ids.tolist()
        print("  ids", batch.input_ids.tolist(), "positions", positions, "targets", batch.targets.tolist())
