"""Make a corpus of articles of a given size, the same on any machine: for measurements, not for training.

    python scripts/make_corpus.py 100MB corpus.jsonl --seed 0

An article is a title, sections and sentences of words by Zipf's law, half of them the commonest of English, the others
made of syllables: about 4 characters a token, as English has it. One in 500 repeats an earlier one.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

COMMON = """
the of and to in a is that for it as was with be by on not he his but at are this have from or had an they which one
you were all her she there would their we him been has when who will no more if out so up said what its about than
into them can only other time new some could these two may first then do any like my now over such our man me even
most made after also did many must through years where much your way well down should because each just those people
how too little state good very make world still see own work long here get both between life being under never day
same another know while last might us great old year off come since against go came right used take three states
himself few house use during without again place around however small found thought went say part once general high
upon school every cells protein patients study blood disease treatment increased heart acute common results levels
clinical therapy risk infection normal symptoms chronic surgery tissue signs history cancer muscle nerve bone skin
kidney liver lung
"""
UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9}
PARTS = (
    "b c d f g h l m n p r s t v br cl dr pl st tr th",
    "a e i o u ea io",
    "n s r l tion al ic ing ed ous ment ity er est ate",
)
"""Of made words: beginnings of syllables, vowels, endings."""
RARE = 30_000
"""Words made of syllables."""


def vocabulary(rng: random.Random) -> list[str]:
    """Words, the most frequent first: the common ones, then made ones."""
    common, (onsets, vowels, ends) = COMMON.split(), map(str.split, PARTS)
    made = dict.fromkeys(common)
    while len(made) < len(common) + RARE:
        syllables = (rng.choice(onsets) + rng.choice(vowels) for _ in range(rng.randint(0, 1)))
        made["".join(syllables) + rng.choice(onsets) + rng.choice(vowels) + rng.choice(ends)] = None
    return list(made)


def articles(size: int, seed: int) -> Iterator[str]:
    """Texts of `size` characters together, about 8,000 each."""
    words = vocabulary(random.Random(seed))
    draws, n = np.random.default_rng(seed), len(words)
    middle, first, last = ([f"{w} " for w in words], [f"{w.capitalize()} " for w in words], [f"{w}. " for w in words])
    quoted = [f"“{w}” – " for w in words]
    forms = np.array(middle + first + last + [f"{w}, " for w in words] + quoted, dtype=object)
    weight = (np.arange(n) + 3.0) ** -1.2
    cumulative = np.cumsum(weight / weight.sum())
    earlier: list[str] = []
    while size > 0:
        lengths = draws.integers(300, 2400, 500)
        ids = np.minimum(np.searchsorted(cumulative, draws.random(int(lengths.sum()))), n - 1)
        pieces = forms[_shaped(ids, n, draws)].tolist()
        at = 0
        for length in lengths.tolist():
            text = f"{pieces[at].strip(' .,').capitalize()}\n\n" + "".join(pieces[at : at + length]).strip(" ,")
            at += length
            text = text if text.endswith(".") else text + "."
            if earlier and draws.random() < 0.002:
                text = earlier[int(draws.integers(len(earlier)))]
            elif len(earlier) < 200:
                earlier.append(text)
            size -= len(text)
            yield text
            if size <= 0:
                return


def _shaped(ids: NDArray[np.int64], n: int, draws: np.random.Generator) -> NDArray[np.int64]:
    """Words by form: the first and last of sentences of 6 to 30 words, some before a comma, few quoted."""
    ends = np.cumsum(draws.integers(6, 31, len(ids) // 6 + 1))
    ends = ends[ends < len(ids)]
    chance = draws.random(len(ids))
    form = np.where(chance < 0.06, 3, 0) + (chance < 0.001)
    form[ends] = 2
    form[np.minimum(ends + 1, len(ids) - 1)] = 1
    form[0] = 1
    return ids + n * form


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", help="characters of text, e.g. 100MB, 2.5GB")
    parser.add_argument("out", type=Path, help="the .jsonl file to write")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    size = int(float(options.size[:-2]) * UNITS[options.size[-2:].upper()])
    count = 0
    with options.out.open("w", encoding="utf-8") as file:
        for count, text in enumerate(articles(size, options.seed), 1):
            file.write(json.dumps({"id": f"article-{count}", "text": text}, ensure_ascii=False) + "\n")
    print(f"{options.out}: {count:,} articles, {options.out.stat().st_size:,} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
