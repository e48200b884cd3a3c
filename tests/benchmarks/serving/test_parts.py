"""What the parts of the serving benchmark conclude, on made-up input with known answers."""

from random import Random

import pytest

from benchmarks.serving import page, stage_times
from benchmarks.serving.__main__ import PARTS, ordered
from benchmarks.serving.malformed import model_cases, protocol_cases, rule_cases, tensor_cases
from benchmarks.serving.malformed.case import Case, draw
from benchmarks.serving.parts import swaps
from counterpoint import plugins

METRICS = """
# HELP nv_inference_request_success Number
nv_inference_request_success{model="recommend",version="1"} 100
nv_inference_request_success{model="similar",version="1"} 7
nv_inference_exec_count{model="recommend",version="1"} 50
nv_inference_request_duration_us{model="recommend",version="1"} 400000
nv_inference_queue_duration_us{model="recommend",version="1"} 100000
counterpoint_stage_seconds_sum{stage="graph"} 0.1
"""


def test_the_time_of_a_request_is_split_without_remainder() -> None:
    zero = stage_times.Counters(0, 0, 0, 0, {})
    rows = dict(stage_times.split(zero, stage_times.parse(METRICS), 6.0))
    assert rows["queue of the model"] == pytest.approx(1.0)
    assert rows["front: graph"] == pytest.approx(2.0)
    assert rows["gRPC, client, waiting before sending"] == pytest.approx(2.0)
    assert sum(rows.values()) == pytest.approx(6.0)


def test_lists_are_compared_up_to_equal_scores() -> None:
    wanted = ([b"a", b"b", b"c"], [3.0, 2.0, 2.0])
    assert swaps.same(wanted, ([b"a", b"c", b"d"], [3.0, 2.0, 2.0]))
    assert not swaps.same(wanted, ([b"b", b"a", b"c"], [3.0, 2.5, 2.0]))
    assert not swaps.same(wanted, ([b"x", b"b", b"c"], [3.0, 2.0, 2.0]))
    assert not swaps.same(wanted, ([b"a", b"b"], [3.0, 2.0]))


@pytest.mark.parametrize(
    ("status", "message", "fault"),
    [
        ("INVALID_ARGUMENT", "k: 0 is out of range", None),
        ("INVALID_ARGUMENT", "unexpected shape for input 'k'", None),
        ("INVALID_ARGUMENT", "something took place", "names no field"),
        ("INTERNAL", "k: 0", "status INTERNAL"),
        ("OK", "", "was answered"),
    ],
)
def test_a_refusal_must_name_the_field(status: str, message: str, fault: str | None) -> None:
    assert Case("kind", None, ("k",)).fault(status, message) == fault


def test_wrong_requests_are_the_same_for_a_seed_and_of_all_kinds() -> None:
    makers = [*tensor_cases.MAKERS, *protocol_cases.MAKERS, *rule_cases.MAKERS, *model_cases.MAKERS]
    one, other = (list(draw(makers, 3 * len(makers), seed=4)) for _ in range(2))
    assert [c.request.SerializeToString() for c in one] == [
        c.request.SerializeToString() for c in other
    ]
    assert len({case.kind for case in one}) >= len(set(makers)) - 2
    assert all(case.fields for case in one)


def test_rules_are_disturbed_where_they_exist() -> None:
    """A renamed rule would be refused as unknown and nothing else of it tried."""
    assert set(rule_cases.OPTIONS) == set(plugins.names("serving.rules"))
    assert rule_cases.wrong_option(Random(0)).fields[0].startswith("rules.")


def test_the_page_names_every_part(tmp_path) -> None:
    demand = {"what": "w", "demanded": "0", "measured": "1 failed", "met": False}
    machine = dict(when="d", cpus=2, load_before=1.0, load_after=2.0, seconds=3.0)
    parts = {
        name: {
            "title": part.TITLE,
            "size": 1.0,
            "machine": machine,
            "demands": [demand],
            "text": "How.",
            "tables": [{"heads": ["a", "b"], "rows": [["x", 1.5]]}],
        }
        for name, part in ordered().items()
    }
    text = page.markdown(parts, tmp_path)
    assert list(parts) == sorted(plugins.names(PARTS), key=lambda n: ordered()[n].ORDER)
    for name in parts:
        assert f"`--only {name}`" in text
    assert text.count("**not met**") == len(parts) and "| x | 1.50 |" in text
