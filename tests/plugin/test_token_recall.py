from example_plugin.token_recall import TokenRecall

from contextune.evaluate import metrics


def test_token_recall():
    assert TokenRecall().worth("it is Paris in France", "Paris France") == 1.0
    outcomes = {"item": ["a", "b"], "output": ["paris", "Rome"], "gold": ["Paris France", "Paris"]}
    assert metrics.evaluate(outcomes, "token_recall") == 0.25
