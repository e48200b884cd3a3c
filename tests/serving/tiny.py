"""A version small enough for tests: 12 items with odd ids, hand-made graphs, five users."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn

from counterpoint import artifacts, columns, user_snapshot
from counterpoint.user_snapshot import StoredUser

ITEMS = ["a", "b", "ünï", "日本", "with space", "e", "f", "g", "h", "i", "j", "🎬"]
ATTRIBUTES = [
    ["genre=Drama"],
    ["genre=Comedy"],
    ["genre=Drama", "genre=Comedy"],
    ["genre=Horror"],
    [],
    ["genre=Drama", "mood=dark"],
    ["genre=Comedy"],
    ["genre=Drama"],
    ["genre=Horror", "mood=dark"],
    ["genre=Drama"],
    ["genre=Comedy", "genre=Horror"],
    ["genre=Drama"],
]
VOCABULARY = ["genre=Drama", "genre=Comedy"]
TEXT_WIDTH = 5
PROFILE = ["age=18-24", "age=25-34", "gender=F", "gender=M"]
COLD = [11, 12]
MAX_K = 20
HISTORY_LENGTH = 6
USERS = [
    StoredUser("anna", [1, 2, 3], [True, True, False], ["gender=F"]),
    StoredUser("бо́рис", [4], [True], []),
    StoredUser("long", [1, 2, 3, 4, 5, 6], [True] * 6, []),
    StoredUser("everything", list(range(1, 13)), [True] * 12, []),
    StoredUser("profile only", [], [], ["age=25-34"]),
]


class TinyRecommender(nn.Module):
    """Scores = sum of item vectors of the history, weighted by recency, plus profile and prior."""

    def __init__(self, n_items: int = len(ITEMS), n_profile: int = len(PROFILE)) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.vectors = nn.Parameter(torch.randn(n_items + 1, 4))
        self.profile = nn.Parameter(torch.randn(n_profile, n_items + 1))
        self.prior = nn.Parameter(torch.linspace(0.5, 0, n_items + 1))
        self.taste = nn.Parameter(torch.randn(4, TEXT_WIDTH + len(VOCABULARY)))

    def forward(
        self,
        history: Tensor,
        age: Tensor,
        kind: Tensor,
        profile: Tensor,
        exclude: Tensor,
        allow: Tensor,
        k: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        weight = ((kind == 1) | (kind == 3)).float() / (1 + age)
        each = torch.einsum("bld,nd->bln", self.vectors[history] * weight[..., None], self.vectors)
        scores = each.sum(1) + profile @ self.profile + self.prior
        user = (self.vectors[history] * weight[..., None]).sum(1)
        lowest = scores.amin(1, keepdim=True) - 1.0
        taste = torch.cat([user @ self.taste, scores.mean(1, keepdim=True), lowest], 1)
        restricted = (allow > 0).any(1, keepdim=True)
        barred = torch.zeros_like(scores) + torch.where(restricted, 1.0, 0.0)
        barred = barred.scatter(1, allow, 0.0)
        banned = torch.where(kind < 3, history, torch.zeros_like(history))
        barred = barred.scatter(1, torch.cat([banned, exclude], 1), 1.0)
        barred = torch.cat([torch.ones_like(barred[:, :1]), barred[:, 1:]], 1)
        scores = torch.where(barred > 0, torch.full_like(scores, -1e9), scores)
        best, item = torch.sort(scores, dim=1, descending=True)
        best, item = best[:, : k.max()], item[:, : k.max()]
        item = torch.where(best > -1e8, item, torch.zeros_like(item))
        share = torch.gather(each, 2, item[:, None, :].expand(-1, each.shape[1], -1))
        share = torch.cat([share, torch.zeros_like(share[:, :1]).expand(-1, 3, -1)], 1)
        top, where = torch.sort(share, dim=1, descending=True)
        reason = torch.where(top[:, :3] > 0, where[:, :3] + 1, torch.zeros_like(where[:, :3]))
        return item, best, reason.transpose(1, 2), taste


RERANKER = {"weight": 0.0, "depth": 8, "events": 4, "ratings": True}
"""Of the contract; with a weight of 0 `recommend` leaves the re-ranker alone."""


class TinyReranker(nn.Module):
    """Inner products of the liked items' vectors with the candidate's, and the score."""

    def __init__(self, n_items: int = len(ITEMS)) -> None:
        super().__init__()
        torch.manual_seed(9)
        self.vectors = nn.Parameter(torch.randn(n_items + 1, 3))

    def forward(
        self, history: Tensor, kind: Tensor, candidate: Tensor, score: Tensor
    ) -> tuple[Tensor, Tensor]:
        liked = ((kind == 1) | (kind == 3)).float() * (history > 0).float()
        place = torch.ones_like(liked).cumsum(1)
        user = (self.vectors[history] * (liked * place).unsqueeze(2)).sum(1, keepdim=True)
        logit = (self.vectors[candidate] * user).sum(-1) + self.vectors[candidate][..., 0]
        return logit + 0.1 * score, 3.0 + torch.tanh(logit)


class TinyEncoder(nn.Module):
    """Mean pool of token vectors, L2-normalised."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(8)
        self.tokens = nn.Embedding(16, TEXT_WIDTH)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        mask = attention_mask[..., None].float()
        mean = (self.tokens(input_ids) * mask).sum(1) / mask.sum(1).clamp(min=1)
        return nn.functional.normalize(mean, dim=1)


def write_onnx(folder: Path) -> Path:
    """Write what the export stage writes."""
    (folder / "item_encoder").mkdir(parents=True)
    batch = {0: "batch"}
    free = {0: "batch", 1: "length"}
    history = torch.tensor([[1, 2, 0]])
    module = TinyRecommender().eval()
    torch.onnx.export(
        module,
        (
            history,
            torch.zeros(1, 3),
            torch.tensor([[1, 1, 0]]),
            torch.zeros(1, len(PROFILE)),
            torch.zeros(1, 2, dtype=torch.int64),
            torch.zeros(1, 2, dtype=torch.int64),
            torch.tensor([[5]]),
        ),
        str(folder / "recommender.onnx"),
        input_names=["history", "history_age", "history_kind", "profile", "exclude", "allow", "k"],
        output_names=["item", "score", "reason", "taste"],
        dynamic_axes={
            "history": free,
            "history_age": free,
            "history_kind": free,
            "profile": {0: "batch", 1: "profile"},
            "exclude": {0: "batch", 1: "excluded"},
            "allow": {0: "batch", 1: "allowed"},
            "k": batch,
            "item": {0: "batch", 1: "best"},
            "score": {0: "batch", 1: "best"},
            "reason": {0: "batch", 1: "best"},
            "taste": {0: "batch", 1: "taste"},
        },
        opset_version=17,
        dynamo=False,
    )
    torch.onnx.export(
        TinyEncoder().eval(),
        (torch.tensor([[1, 2]]), torch.ones(1, 2, dtype=torch.int64)),
        str(folder / "item_encoder" / "model.onnx"),
        input_names=["input_ids", "attention_mask"],
        output_names=["vector"],
        dynamic_axes={"input_ids": free, "attention_mask": free, "vector": batch},
        opset_version=17,
        dynamo=False,
    )
    torch.onnx.export(
        TinyReranker().eval(),
        (history, torch.tensor([[1, 1, 0]]), torch.tensor([[3, 4]]), torch.zeros(1, 2)),
        str(folder / "reranker.onnx"),
        input_names=["history", "history_kind", "candidate", "score"],
        output_names=["logit", "rating"],
        dynamic_axes={"history": free, "history_kind": free}
        | {name: {0: "batch", 1: "n"} for name in ("candidate", "score", "logit", "rating")},
        opset_version=17,
        dynamo=False,
    )
    words = {"[PAD]": 0, "[UNK]": 1, "space": 2, "drama": 3}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding()
    tokenizer.save(str(folder / "item_encoder" / "tokenizer.json"))
    item_attributes = {"genre": {"separator": "|"}}
    contract = {
        "format": artifacts.CONTRACT_FORMAT,
        "max_k": MAX_K,
        "history_length": HISTORY_LENGTH,
        "profile": PROFILE,
        "attributes": {"user": {"age": {"bins": [18, 25, 35]}}, "item": item_attributes},
        "item_attributes": item_attributes,
        "item_vocabulary": VOCABULARY,
        "attribute_weight": 0.5,
        "text_width": TEXT_WIDTH,
        "n_items": len(ITEMS),
        "cold": COLD,
        "reranker": RERANKER,
    }
    (folder / "contract.json").write_text(json.dumps(contract), "utf-8")
    pl.DataFrame(
        {
            columns.ITEM: ITEMS,
            columns.TITLE: [None, *(f"Title of {item}" for item in ITEMS[1:])],
            columns.ATTRIBUTES: ATTRIBUTES,
            columns.AVAILABLE_FROM: [None, datetime(1990, 1, 1, tzinfo=UTC)] * (len(ITEMS) // 2),
            columns.AVAILABLE_UNTIL: [None] * len(ITEMS),
        },
        schema_overrides={
            columns.AVAILABLE_FROM: columns.INSTANT,
            columns.AVAILABLE_UNTIL: columns.INSTANT,
        },
    ).write_parquet(folder / "items.parquet")
    vectors = nn.functional.normalize(module.vectors.detach()[1:], dim=1)
    np.save(folder / artifacts.ITEM_VECTORS, vectors.numpy())
    placing = np.random.default_rng(5).standard_normal((TEXT_WIDTH + len(VOCABULARY) + 1, 4))
    np.save(folder / artifacts.SIMILARITY_MAP, placing.astype(np.float32))
    user_snapshot.write(folder / "users.sqlite", USERS)
    return folder


def write_version(folder: Path) -> dict[str, Path]:
    """Write the folders of a version: name -> folder."""
    write_onnx(folder / "onnx")
    (folder / "model").mkdir()
    (folder / "model" / "model.json").write_text("{}")
    (folder / "evaluation").mkdir()
    (folder / "evaluation" / "evaluation.json").write_text('{"metrics": {"ndcg": 0.2}}')
    return {name: folder / name for name in ("onnx", "model", "evaluation")}
