import example_plugin.sums  # noqa: F401  importing it registers the world

from contextune.core.world import build_world


def test_sums():
    world = build_world("sums", seed=3)
    assert build_world("sums", seed=3) == world
    asked = [item for task in world.tasks.values() for item in task.items]
    assert all(item.gold == f" {eval(item.id)}." for item in asked)
    taught = {record.id for record in world.records["train"]}
    assert not taught & {item.id for item in world.tasks["fresh"].items}
