from example_plugin.characters import Characters

from contextune.core.binding import BindContext


def test_characters(tokenizer):
    space = Characters(n=1).fit(["ab", "zz"], ["ab", "bc"], BindContext(tokenizer))
    assert space.scores(slice(None)).round(3).tolist() == [[1.0, 0.5], [0.0, 0.0]]
