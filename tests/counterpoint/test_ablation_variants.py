import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoint import plugins
from counterpoint.ablation_variants import DEFAULT, declared, parse, select, shown
from counterpoint.config import Config
from counterpoint.errors import ConfigError


@pytest.mark.parametrize("variant", declared(Config()), ids=lambda variant: variant.name)
def test_every_declared_variant_fits_the_configuration_and_changes_it(variant) -> None:
    changed = variant.apply(Config())
    assert (changed == Config()) is (variant.name == DEFAULT)


def test_every_objective_is_asked_about() -> None:
    known = set(plugins.names("counterpoint.objectives"))
    settings = Config.model_validate({"train": {"objectives": {name: {} for name in known}}})
    assert {f"without {name}" for name in known} <= {v.name for v in declared(settings)}
    alone = Config.model_validate({"train": {"objectives": {"info_nce": {}}}})
    names = {variant.name for variant in declared(alone)}
    assert {f"with {name}" for name in known - {"info_nce"}} <= names
    assert "without info_nce" not in names


def test_off_takes_away_one_objective_alone() -> None:
    settings = Config.model_validate(
        {"train": {"objectives": {"info_nce": {"samples": 7}, "uniformity": {}}}}
    )
    (off,) = (v for v in declared(settings) if v.name == "without uniformity")
    assert off.apply(settings).train.objectives == {"info_nce": {"samples": 7}}


VALUES = st.one_of(
    st.integers(-5, 500), st.booleans(), st.none(), st.lists(st.integers(0, 9), max_size=3)
)
KEYS = st.from_regex(r"train\.[a-z_]{1,8}(\.[a-z][a-z0-9_]{0,8})?", fullmatch=True)


@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4))
def test_parse_reads_what_is_typed(overrides: dict[str, object]) -> None:
    typed = ",".join(f"{key}={json.dumps(value)}" for key, value in overrides.items())
    assert parse(f"mine:{typed}").overrides == overrides


@pytest.mark.parametrize("text", ["", "wide", "wide:", ":train.seed=1", "wide:train.seed"])
def test_parse_tells_the_form(text: str) -> None:
    with pytest.raises(ConfigError, match=r"name:train\.key=value"):
        parse(text)


def test_wrong_keys_and_values_are_all_named() -> None:
    wrong = parse("wide:train.tower.dimm=1,train.tower.dim=-3")
    with pytest.raises(ConfigError) as caught:
        wrong.apply(Config())
    assert len(caught.value.faults) == 2
    assert all("'wide'" in fault for fault in caught.value.faults)


def test_select_keeps_the_default_and_names_what_it_does_not_know() -> None:
    variants = [*declared(Config()), parse("wide:train.tower.dim=256")]
    assert [v.name for v in select(variants, ["wide"])] == [DEFAULT, "wide"]
    assert [v.name for v in select(variants, ["text"])] == [DEFAULT, "without text"]
    assert select(variants, []) == variants
    with pytest.raises(ConfigError, match=r"'tall'.*without text"):
        select(variants, ["tall"])
    with pytest.raises(ConfigError, match="Two variants"):
        select([*variants, variants[-1]], [])


def test_tables_are_shown_by_their_names() -> None:
    assert shown({"train.objectives": {"info_nce": {"samples": 7}, "moco": {}}, "a.b": [1]}) == (
        "train.objectives={info_nce, moco}, a.b=[1]"
    )
    assert shown({}) == "nothing"
