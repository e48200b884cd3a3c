import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.observe import trace_context

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_trace_is_continued_with_a_span_of_our_own() -> None:
    found = trace_context.continued(PARENT, "vendor=value")
    assert found.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert found.parent_id == "b7ad6b7169203331"
    assert found.span_id not in ("", found.parent_id)
    assert found.headers == {
        "traceparent": f"00-{found.trace_id}-{found.span_id}-01",
        "tracestate": "vendor=value",
    }


def test_a_later_version_of_the_header_is_read_as_far_as_it_is_known() -> None:
    assert trace_context.continued(f"cc-{PARENT[3:]}-what.next").parent_id == "b7ad6b7169203331"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "x",
        PARENT.upper(),
        f"ff{PARENT[2:]}",
        f"{PARENT}-more",
        PARENT.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
        PARENT.replace("b7ad6b7169203331", "0" * 16),
        PARENT[:-1],
    ],
)
def test_a_malformed_header_begins_a_new_trace(header: str) -> None:
    found = trace_context.continued(header, "vendor=value")
    assert found.parent_id == "" and found.state == ""
    assert found.trace_id not in header


@given(st.text(), st.text())
def test_what_is_passed_on_is_always_well_formed(parent: str, state: str) -> None:
    headers = trace_context.continued(parent, state).headers
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", headers["traceparent"])
    assert all(value.isprintable() for value in headers.values())


def test_two_requests_have_two_traces() -> None:
    assert trace_context.continued().trace_id != trace_context.continued().trace_id
