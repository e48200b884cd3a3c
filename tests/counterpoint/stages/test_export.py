import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import polars as pl
import pytest
import torch
from onnx import numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from counterpoint import columns, onnx_parity, tables
from counterpoint.cold import TIE
from counterpoint.config import ExportConfig, FeaturesConfig, TrainConfig
from counterpoint.errors import DataError, QualityError
from counterpoint.feature_users import histories_of
from counterpoint.histories import Histories
from counterpoint.point_in_time import PlainFeatures
from counterpoint.recommender import Recommender
from counterpoint.stages import export, features, train
from counterpoint.tables import Tables
from counterpoint.text import item_texts
from counterpoint.user_snapshot import UserSnapshot
from tests.counterpoint import toys

USERS, ITEMS = 40, 30
UNTIL = datetime(2030, 1, 1, tzinfo=UTC)
CONFIG = ExportConfig(max_k=12, parity_users=25)


def some_tables() -> Tables:
    """Two tastes; ids with spaces and other scripts; one user per attribute set."""
    rng = np.random.default_rng(3)
    rows = []
    for user in range(USERS):
        liked = rng.permutation(ITEMS // 2)[: 4 + user % 9] * 2 + user % 2
        rows += [
            (f"usér {user}", f"品 {item}", 1000 * user + 60 * n) for n, item in enumerate(liked)
        ]
    interactions = pl.DataFrame(
        {
            columns.ROW: range(len(rows)),
            columns.USER: [row[0] for row in rows],
            columns.ITEM: [row[1] for row in rows],
            columns.TIMESTAMP: [row[2] * 1_000_000 for row in rows],
            columns.VALUE: [float(1 + n % 5) for n in range(len(rows))],
            columns.POSITIVE: [n % 4 > 0 for n in range(len(rows))],
        }
    )
    items = pl.DataFrame(
        {
            columns.ITEM: [f"品 {item}" for item in range(ITEMS)],
            columns.TITLE: [f"title {'even' if item % 2 == 0 else 'odd'}" for item in range(ITEMS)],
            columns.ATTRIBUTES: [[f"half={2 * item // ITEMS}"] for item in range(ITEMS)],
            columns.AVAILABLE_UNTIL: [UNTIL if item % 3 else None for item in range(ITEMS)],
        }
    )
    users = pl.DataFrame(
        {
            columns.USER: [f"usér {user}" for user in range(USERS)],
            columns.ATTRIBUTES: [[f"group={user % 2}"] for user in range(USERS)],
        }
    )
    return Tables(
        tables.conform(interactions, columns.INTERACTIONS, table="interactions"),
        tables.conform(items, columns.ITEMS, table="items"),
        tables.conform(users, columns.USERS, table="users"),
    )


def tiny_encoder(folder: Path) -> Path:
    """A language model with random weights, in the layout of a hub."""
    words = ["[PAD]", "[UNK]", "[CLS]", "title", "even", "odd"]
    tokenizer = Tokenizer(
        models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]"
    ).save_pretrained(folder)
    torch.manual_seed(1)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    settings = BertConfig(vocab_size=len(words), intermediate_size=16, **shape)
    BertModel(settings).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A features folder and a model folder."""
    root = tmp_path_factory.mktemp("trained")
    tables.write(some_tables(), root / "validated")
    features.run(
        FeaturesConfig(examples_per_user=4, history_length=8),
        validated=root / "validated",
        features=root / "features",
        open_source=lambda read: PlainFeatures(read, 8),
    )
    config = TrainConfig.model_validate(
        {
            "encoder": {
                "model": str(tiny_encoder(root / "encoder")),
                "cache": str(root / "cache"),
                "max_tokens": 6,
            },
            "tower": {"dim": 8},
            "fit": {"epochs": 1, "min_steps": 2, "checkpoints": str(root / "checkpoints")},
        }
    )
    train.run(config, features=root / "features", model=root / "model")
    yield {"features": root / "features", "model": root / "model"}


@pytest.fixture(scope="module")
def exported(
    trained: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, export.ExportResult]:
    folder = tmp_path_factory.mktemp("exported") / "onnx"
    return folder, export.run(CONFIG, onnx=folder, **trained)


def test_everything_a_version_needs_is_written(
    exported: tuple[Path, export.ExportResult], trained: dict[str, Path]
) -> None:
    folder, result = exported
    recommender = Recommender.load(trained["model"])
    contract = json.loads((folder / "contract.json").read_text("utf-8"))
    assert contract["max_k"] == CONFIG.max_k
    assert contract["n_items"] == ITEMS
    assert contract["profile"] == list(recommender.settings.profile)
    assert contract["history_length"] == recommender.settings.history_length
    items = pl.read_parquet(folder / "items.parquet")
    assert items[columns.ITEM].to_list() == recommender.item_ids
    assert items.schema == pl.Schema(
        {name: columns.ITEMS[name] for name in columns.ITEMS if name != columns.TEXT}
    )
    assert items[columns.AVAILABLE_FROM].null_count() == ITEMS
    until = dict(zip(items[columns.ITEM], items[columns.AVAILABLE_UNTIL], strict=True))
    assert until == {f"品 {item}": UNTIL if item % 3 else None for item in range(ITEMS)}
    vectors = np.load(folder / "vectors.npy", allow_pickle=False)
    assert vectors.shape == (ITEMS, 8) and vectors.dtype == np.float32
    assert result.parity_users == CONFIG.parity_users
    assert result.stored_users == USERS
    assert result.score_difference <= CONFIG.tolerance
    assert result.encoder_difference is not None
    assert result.encoder_difference <= CONFIG.tolerance


def test_a_caller_scores_an_item_added_later_from_what_is_exported(
    exported: tuple[Path, export.ExportResult], trained: dict[str, Path]
) -> None:
    """With the served encoder, the contract and the taste alone, as ``Recommender.extend`` does."""
    folder, _ = exported
    contract = json.loads((folder / "contract.json").read_text("utf-8"))
    assert contract["format"] == 3 and contract["item_attributes"] == {}
    new = pl.DataFrame(
        {
            columns.ITEM: ["both", "text", "tokens", "nothing"],
            columns.TITLE: ["title odd", "title even odd", None, None],
            columns.ATTRIBUTES: [["half=1", "other=x"], None, ["half=0"], ["other=x"]],
        }
    )
    recommender = Recommender.load(trained["model"])
    larger = recommender.extend(new)
    tokenizer = Tokenizer.from_file(str(folder / "item_encoder" / "tokenizer.json"))
    encoder = ort.InferenceSession(str(folder / "item_encoder" / "model.onnx"))
    inputs = recommender.inputs(histories_of(trained["features"], recommender))
    none = np.zeros((USERS, 1), np.int64)
    graph = ort.InferenceSession(str(folder / "recommender.onnx"))
    feed = vars(inputs) | {"exclude": none, "allow": none, "k": none + 3}
    (taste,) = graph.run(["taste"], feed)
    expected = larger.score(histories_of(trained["features"], recommender))[:, ITEMS:]
    width, vocabulary = contract["text_width"], contract["item_vocabulary"]
    texts = item_texts(tables.conform(new, columns.ITEMS, table="items"))
    for place, tokens in enumerate(new[columns.ATTRIBUTES].to_list()):
        phi = np.zeros(width + len(vocabulary))
        if texts[place]:
            tokenized = tokenizer.encode(texts[place])
            phi[:width] = encoder.run(
                None,
                {
                    "input_ids": [tokenized.ids],
                    "attention_mask": [tokenized.attention_mask],
                },
            )[0][0]
        owned = [vocabulary.index(token) for token in tokens or () if token in vocabulary]
        if owned:
            phi[[width + i for i in owned]] = np.sqrt(contract["attribute_weight"] / len(owned))
        found = taste[:, :-2] @ phi + taste[:, -2] if phi.any() else taste[:, -1]
        # Ties of cold items are the only difference.
        np.testing.assert_allclose(found - expected[:, place], TIE / 2, atol=TIE / 2 + 1e-4)
        tie = float(toys.ties(larger.module)[ITEMS + place])
        np.testing.assert_allclose(found - tie, expected[:, place], atol=1e-4)


def test_graph_and_contract_name_the_same_tensors(
    exported: tuple[Path, export.ExportResult],
) -> None:
    folder, _ = exported
    graph = ort.InferenceSession(str(folder / "recommender.onnx"))
    contract = json.loads((folder / "contract.json").read_text("utf-8"))["tensors"]
    kinds = {"int64": "tensor(int64)", "float32": "tensor(float)"}
    for side, nodes in (("inputs", graph.get_inputs()), ("outputs", graph.get_outputs())):
        assert set(contract[side]) == {node.name for node in nodes}
        for node in nodes:
            dtype, _, shape = contract[side][node.name].partition(" ")
            assert kinds[dtype] == node.type
            assert len(node.shape) == len(shape.split(","))


def test_the_snapshot_holds_the_newest_events_and_the_attributes(
    exported: tuple[Path, export.ExportResult], trained: dict[str, Path]
) -> None:
    folder, _ = exported
    events = pl.read_parquet(trained["features"] / "interactions.parquet")
    ids = pl.read_parquet(folder / "items.parquet")[columns.ITEM].to_list()
    length = Recommender.load(trained["model"]).settings.history_length
    snapshot = UserSnapshot(folder / "users.sqlite")
    for user in ("usér 0", "usér 8", "usér 39"):
        stored = snapshot.get(user)
        own = events.filter(pl.col(columns.USER) == user).sort(columns.TIMESTAMP).tail(length)
        assert stored is not None
        assert [ids[item - 1] for item in stored.items] == own[columns.ITEM].to_list()
        assert list(stored.positive) == own[columns.POSITIVE].to_list()
        assert list(stored.attributes) == [f"group={int(user.split()[1]) % 2}"]
    assert snapshot.get("nobody") is None
    assert len(list(snapshot)) == USERS
    snapshot.close()


def test_any_batch_and_length_runs(
    exported: tuple[Path, export.ExportResult], trained: dict[str, Path]
) -> None:
    """The example of the export fixes no size; an empty history gives the start page."""
    folder, _ = exported
    recommender = Recommender.load(trained["model"])
    recommender.module.max_k = CONFIG.max_k
    for length in (0, 1, 5, 30):
        count = np.full(3, length)
        histories = Histories(
            ["x", "y", "z"],
            np.concatenate([[0], np.cumsum(count)]).astype(np.int64),
            np.concatenate([np.arange(length), np.arange(length)[::-1], np.arange(length)]) % ITEMS,
            np.ones(3 * length, dtype=bool),
            np.arange(3 * length),
            [[], ["group=1"], ["group=0"]],
        )
        for k in (1, CONFIG.max_k):
            parity = onnx_parity.check_recommender(
                folder / "recommender.onnx", recommender, histories, k=k, tolerance=1e-4
            )
            assert parity.users == 3


def test_a_graph_that_answers_otherwise_is_refused(
    exported: tuple[Path, export.ExportResult], trained: dict[str, Path], tmp_path: Path
) -> None:
    folder, _ = exported
    graph = onnx.load(folder / "recommender.onnx")
    recommender = Recommender.load(trained["model"])
    recommender.module.max_k = CONFIG.max_k
    changed = 0
    for tensor in graph.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size > ITEMS:
            tensor.CopyFrom(numpy_helper.from_array(values * np.float32(1.02) + 0.01, tensor.name))
            changed += 1
    assert changed
    onnx.save(graph, tmp_path / "changed.onnx")
    users = histories_of(trained["features"], recommender)
    with pytest.raises(QualityError, match=r"user 'usér \d+' at rank \d+: torch '品 \d+'"):
        onnx_parity.check_recommender(
            tmp_path / "changed.onnx", recommender, users, k=12, tolerance=1e-4
        )


def test_ties_may_change_places_but_nothing_else_may() -> None:
    scores = np.array([[0.0, 5.0, 3.0, 3.0, 1.0]], np.float32)
    none = np.zeros((1, 0), np.float32)
    ours = onnx_parity._Answers(np.array([[1, 2, 3]]), np.array([[5, 3, 3]], np.float32), none)

    def gap(items: list[int], values: list[float]) -> float:
        theirs = onnx_parity._Answers(np.array([items]), np.array([values], np.float32), none)
        return float(onnx_parity._gaps(ours, theirs, scores)[0].max())

    assert gap([1, 2, 3], [5, 3, 3]) == 0
    assert gap([1, 3, 2], [5, 3, 3]) == 0
    assert gap([1, 2, 4], [5, 3, 3]) == 2
    assert gap([1, 2, 3], [5, 3, 2.5]) == 0.5
    assert gap([1, 2, 2], [5, 3, 3]) == np.inf
    assert gap([1, 2, 0], [5, 3, 0]) == np.inf
    assert gap([1, 2, 3], [5, np.nan, 3]) == np.inf


def test_a_refused_export_leaves_the_old_folder(
    exported: tuple[Path, export.ExportResult],
    trained: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = tmp_path / "onnx"
    shutil.copytree(exported[0], target)
    before = sorted(str(p) for p in target.rglob("*"))

    def refuse(*args: object, **options: object) -> None:
        raise QualityError("no")

    monkeypatch.setattr(onnx_parity, "check_recommender", refuse)
    with pytest.raises(QualityError):
        export.run(CONFIG, onnx=target, **trained)
    assert sorted(str(p) for p in target.rglob("*")) == before
    assert [p.name for p in tmp_path.iterdir()] == ["onnx"]


def test_other_encoder_weights_are_refused(trained: dict[str, Path], tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(trained["model"], model)
    described = json.loads((model / "model.json").read_text("utf-8"))
    described["settings"]["encoder_sha256"] = "0" * 64
    (model / "model.json").write_text(json.dumps(described), "utf-8")
    with pytest.raises(DataError, match="other weights"):
        export.run(CONFIG, model=model, features=trained["features"], onnx=tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()


def test_a_missing_features_file_is_named(trained: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"interactions\.parquet"):
        export.run(CONFIG, model=trained["model"], features=tmp_path, onnx=tmp_path / "onnx")
