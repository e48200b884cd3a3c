"""The quantised index on a catalogue that is large enough to get one."""

import pytest

from benchmarks.serving.large_data import model, users
from counterpoint.config import ExportConfig
from counterpoint.errors import QualityError
from counterpoint.large_export import check_recall, export_large
from counterpoint.retrieval_index import FEWEST, factory


def test_small_catalogues_get_an_exact_index() -> None:
    assert factory(129, FEWEST - 1) == "Flat"
    assert factory(129, FEWEST) == "RR130,PQ65x4fs"


@pytest.mark.slow
@pytest.mark.parametrize("normalisation", ["top", "all"])
def test_the_index_finds_what_scoring_every_item_finds(tmp_path, normalisation: str) -> None:
    recommender = model(30_000, normalisation, covered=500)
    people = users(recommender, 30)
    config = ExportConfig(popular_items=500, max_exact_cold_items=100, min_recall=0.98)
    graph = tmp_path / "recommender.onnx"
    facts = export_large(recommender, graph, people, config)
    assert facts["indexes"]["warm"]["index"] == "RR130,PQ65x4fs"
    assert facts["indexes"]["warm"]["mb"] < 1.5  # of 15 MB
    assert not facts["exact_cold"]
    recall = check_recall(graph, recommender, people, config)
    assert recall.score_difference < 0.05
    strict = config.model_copy(update={"min_recall": 1.1})
    with pytest.raises(QualityError, match="min_recall"):
        check_recall(graph, recommender, people, strict)
