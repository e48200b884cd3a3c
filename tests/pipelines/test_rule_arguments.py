import pytest

from counterpoint.errors import ConfigError
from pipelines.rule_arguments import parse


def test_rules_are_read_from_arguments() -> None:
    assert parse(None) == {}
    assert parse(
        [
            "cap.attribute=genre",
            "cap.most=2",
            "mmr.weight=0.4",
            "category.any=[genre=Drama, genre=Sci-Fi]",
            "boost.items={'42': 1.5}",
            "explore",
            "availability=null",
        ]
    ) == {
        "cap": {"attribute": "genre", "most": 2},
        "mmr": {"weight": 0.4},
        "category": {"any": ["genre=Drama", "genre=Sci-Fi"]},
        "boost": {"items": {"42": 1.5}},
        "explore": {},
        "availability": None,
    }


def test_every_wrong_argument_is_named() -> None:
    wrong = ["cap=3", "cap.most", ".most=2", "=", "a.b=[", "gone=null", "gone.option=1"]
    with pytest.raises(ConfigError) as caught:
        parse(wrong)
    assert len(caught.value.faults) == 6
    assert all(
        repr(w) in f for w, f in zip([*wrong[:5], wrong[6]], caught.value.faults, strict=True)
    )
