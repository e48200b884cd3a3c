"""Metrics on Triton's ``/metrics``, through the Python backend."""

from typing import Any

from serving.observe import serving_observer as names
from serving.observe.meters import Series

_COUNTERS = {
    f"{names.STAGE_SECONDS}_bucket": "Executions by stage and duration, as a histogram",
    f"{names.STAGE_SECONDS}_count": "Executions that had the stage",
    f"{names.STAGE_SECONDS}_sum": "Seconds spent in the stage",
    names.ANSWERS: "Answered rows by source, version and its role",
    names.DEGRADED: "Answers given without the feature server",
    names.REFUSED: "Wrong requests by field",
    names.FAILED: "Requests that failed for a reason that is not theirs",
    names.PLACES: "Places of answered lists; cold: the item had no interactions in training",
    names.SHADOWED: "Requests that the shadow answered too",
    names.OVERLAP: "Sum of the shares of answered items that the shadow chose too",
    names.SHADOW_DROPPED: "Requests that the shadow was too slow to see",
    names.IMPRESSIONS_DROPPED: "Impressions that the disk was too slow to take",
}
_GAUGES = {
    names.COVERED: "Distinct items answered within the last hour, by instance",
    names.VERSION: "1 for each version that is served",
}


class TritonMetrics:
    """A sink (serving/observe/meters.py) on ``pb_utils.MetricFamily``.

    Families and metrics are kept: Triton forgets a family whose object is gone.

    Args:
        pb_utils: The module ``triton_python_backend_utils``.
    """

    def __init__(self, pb_utils: Any) -> None:
        family = pb_utils.MetricFamily
        self._families = {
            name: family(name=name, description=text, kind=family.COUNTER)
            for name, text in _COUNTERS.items()
        } | {
            name: family(name=name, description=text, kind=family.GAUGE)
            for name, text in _GAUGES.items()
        }
        self._metrics: dict[Series, Any] = {}

    def add(self, series: Series, value: float) -> None:
        """Increase a counter."""
        self._metric(series).increment(value)

    def set(self, series: Series, value: float) -> None:
        """Set a gauge."""
        self._metric(series).set(value)

    def _metric(self, series: Series) -> Any:
        if series not in self._metrics:
            name, labels = series
            self._metrics[series] = self._families[name].Metric(labels=dict(labels))
        return self._metrics[series]
