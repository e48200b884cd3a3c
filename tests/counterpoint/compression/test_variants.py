import pytest

from counterpoint.compression.variants import Variant, parse
from counterpoint.config import load
from counterpoint.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("int8", Variant("int8", precision="int8")),
        ("fp16 + vocabulary", Variant("vocabulary+fp16", vocabulary=True, precision="fp16")),
        ("layers:4", Variant("layers:4", layers=(1, 2, 3, 4))),
        (
            "int8_blocks+layers:1,3+vocabulary:900",
            Variant(
                "layers:1,3+vocabulary:900+int8_blocks", (1, 3), True, 900, precision="int8_blocks"
            ),
        ),
    ],
)
def test_names_are_read_in_any_order(text: str, expected: Variant) -> None:
    assert parse(text) == expected
    assert parse(expected.name) == expected


@pytest.mark.parametrize(
    "text",
    """int4|int8+fp16|layers|layers:0|layers:3,2|layers:2,2|layers:x|vocabulary:0|vocabulary:
    vocabulary:-1|int8:8|vocabulary+vocabulary|int8+||+""".replace("\n", "|").split("|"),
)
def test_a_malformed_name_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="Allowed: methods joined by"):
        parse(text)


def test_the_configuration_names_the_fault_and_writes_names_in_normal_form() -> None:
    found = load(overrides=["export.compression.variants=[int8+vocabulary, vocabulary+int8]"])
    assert found.export.compression.variants == ("vocabulary+int8",)
    with pytest.raises(ConfigError, match=r"export\.compression\.variants.*'int9' is no method"):
        load(overrides=["export.compression.variants=[int9]"])
    assert load().export.compression.variants == ()
