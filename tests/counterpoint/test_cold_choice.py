import numpy as np
import pytest

from counterpoint import cold_choice, fitting, splits, training
from counterpoint.item_catalogue import describe
from counterpoint.pools import Validation
from tests.counterpoint import toys


def choose(bound: float, **over: object) -> tuple[float, list[dict], dict[float, float]]:
    tables = toys.world(users=40, items=40)
    folded, drawn = toys.prepared(tables)
    config = toys.small_config(choices={"max_cold_share": bound}, **over)
    catalogue = describe(folded, tables.items, config)
    fold = fitting.prepare(folded, catalogue, {}, "choose", config)
    tower, _ = fitting.fit_towers(
        fold,
        drawn.filter(drawn["fit"] == "choose"),
        catalogue,
        config,
        checkpoint=None,
        tensorboard=None,
    )
    choices = training.selection.start(config, has_text=False, train_users=300)
    module = fitting.assemble(fold, catalogue, tower, choices, ["none"], config)
    histories, targets = splits.fold_histories(folded, "valid", catalogue.index)
    validation = Validation(histories, targets, fold.warm, ["none"], 512)
    taken, tried = cold_choice.choose(module, fold, validation, catalogue, config)
    return taken, tried, {record["boost"]: record["places of new items"] for record in tried}


@pytest.mark.parametrize("bound", [0.0, 0.05, 0.9])
def test_the_greatest_boost_within_the_bound_is_taken(bound: float) -> None:
    taken, tried, places = choose(bound)
    assert sum(record["taken"] for record in tried) == 1
    allowed = [boost for boost, share in places.items() if share <= bound]
    assert taken == (max(allowed) if allowed else min(places))
    assert np.all(np.diff([places[boost] for boost in sorted(places)]) >= 0)
    assert max(places.values()) > 0.1


def test_items_of_which_nothing_is_known_keep_the_configured_boost() -> None:
    taken, tried, _ = choose(0.5, cold={"max_attributes": 0, "boost": 0.4})
    assert taken == 0.4 and tried == []
