"""A row's keys win over methods, and nothing that is null is printed, in the templates of data and of tasks alike."""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal

import pytest

from contextune.core import clock
from contextune.core.errors import UserError
from contextune.core.templates import TextTemplate, ValueTemplate

NAMES = ("items", "values", "keys", "copy", "get", "pop", "update", "setdefault", "clear", "fromkeys", "popitem")


@pytest.mark.parametrize("name", NAMES)
def test_keys_win_over_methods(name):
    row = {"order": {name: {name: ["rope"]}}, name: "top"}
    assert TextTemplate(f"{{{{ {name} }}}} {{{{ order.{name}.{name}[0] }}}}")(row, "r") == "top rope"
    assert ValueTemplate(f"{{{{ order.{name}.{name} }}}}", "options", "t")(row, "r") == ["rope"]


def test_a_method_is_there_to_be_called_only():
    row = {"order": {"id": 7}, "name": "ann"}
    assert (
        TextTemplate("{% for k, v in order.items() %}{{ k }}{{ v }}{% endfor %}{{ name.title() }}")(row, "r")
        == "id7Ann"
    )
    assert TextTemplate("{{ order.items is defined }}")(row, "r") == "False"
    for text in ("{{ order.items }}", "{% if order.items %}yes{% endif %}", "{{ name.title }}", "{{ dict }}"):
        with pytest.raises(UserError, match="r: template: "):
            TextTemplate(text)(row, "r")


def null_values() -> dict[str, object]:
    import numpy as np
    import pandas as pd

    return {
        "None": None, "nan": math.nan, "infinity": -math.inf, "NA": pd.NA, "NaT": pd.NaT, "float32": np.float32("nan"),
        "decimal": Decimal("NaN"), "datetime64": np.datetime64("NaT"),
    }  # fmt: skip


@pytest.mark.parametrize("name", null_values())
def test_what_is_null_is_refused_and_allowed_for(name):
    row = {"year": null_values()[name]}
    with pytest.raises(UserError, match="r: template: 'year' is null") as e:
        TextTemplate("In {{ year }}.")(row, "r")
    assert "{{ year or '' }}" in e.value.hint
    assert TextTemplate("{{ year or '' }}{% if year is none %}?{% endif %}")(row, "r") == "?"
    with pytest.raises(UserError, match="r: answer: 'year' is null"):
        ValueTemplate("{{ year }}", "answer", "t")(row, "r")


HIDING = ("'a' ~ year", "year | string", "year | int", "[year, 1] | join", "'%s' % year", "'{}'.format(year)", "[year]",
          "{'a': year}", "'a' | replace('a', year)", "year | upper", "deep.year", "deep")  # fmt: skip


@pytest.mark.parametrize("expression", HIDING)
def test_a_null_is_found_where_it_hides(expression):
    with pytest.raises(UserError, match="is null"):
        TextTemplate("{{ " + expression + " }}")({"year": math.nan, "deep": {"year": math.inf}}, "r")


def test_numbers_stay_numbers():
    row = {"big": 10**400, "half": 0.5, "some": [1, None]}
    assert TextTemplate("{{ half }} {{ big | string | length }} {{ some | tojson }}")(row, "r") == "0.5 401 [1, null]"


def test_the_date_is_the_runs_and_there_is_no_chance():
    with clock.fixed(datetime(2026, 3, 1)):
        assert TextTemplate("{{ strftime_now('%d %b %Y') }}")({}, "r") == "01 Mar 2026"
    for text in ("{{ [1, 2] | random }}", "{{ lipsum() }}"):
        with pytest.raises(UserError, match="template"):
            TextTemplate(text)({}, "r")
