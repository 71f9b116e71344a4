"""From a recipe to results: prepare, check, train every arm at every seed, score, compare, report."""
