"""Every check finds the faults that it exists for."""

import copy

import kubernetes_validate
import pytest

from tests.k8s.broken import BROKEN
from tests.k8s.checks import CHECKS
from tests.k8s.checks.resources import quantity
from tests.k8s.mutations import put


@pytest.mark.parametrize(
    ("check", "change", "fragment"),
    BROKEN,
    ids=[f"{check}-{fragment}" for check, _, fragment in BROKEN],
)
def test_finds_the_fault(rendered, check, change, fragment):
    objects = copy.deepcopy(rendered["prod"])
    assert list(CHECKS[check](objects)) == []
    change(objects)
    faults = list(CHECKS[check](objects))
    assert any(fragment in fault for fault in faults), faults


def test_every_check_is_tested():
    assert {check for check, _, _ in BROKEN} == set(CHECKS)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (put("Deployment", "triton", "spec.replica", 2), kubernetes_validate.ValidationError),
        (put("Deployment", "triton", "spec.replicas", "x"), kubernetes_validate.ValidationError),
        (
            put("HorizontalPodAutoscaler", "triton", "apiVersion", "autoscaling/v9"),
            kubernetes_validate.SchemaNotFoundError,
        ),
    ],
)
def test_the_schema_refuses(rendered, change, error):
    objects = copy.deepcopy(rendered["prod"])
    change(objects)
    with pytest.raises(error):
        for item in objects:
            kubernetes_validate.validate(item, "1.30", strict=True)


@pytest.mark.parametrize(
    ("text", "value"),
    [("500m", 0.5), ("2", 2), ("1.5", 1.5), ("1k", 1000), ("1Ki", 1024), ("2Gi", 2 * 2**30)],
)
def test_quantity(text, value):
    assert quantity(text) == value


@pytest.mark.parametrize("text", ["", "2GB", "1 Gi", "-1", "Gi", "1e"])
def test_no_quantity(text):
    with pytest.raises(ValueError, match="not a quantity"):
        quantity(text)
