"""Text and modalities in the item tower: gates, masks and dropout."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from counterpoint.config.towers import TowerConfig
from counterpoint.item_tower import ItemTower, Shown

N, DIM = 12, 8
WIDTHS = {"audio": 3, "image": 5}
MASKS = st.lists(st.booleans(), min_size=N, max_size=N)


def units(width: int, mask: list[bool] | None = None) -> torch.Tensor:
    vectors = functional.normalize(torch.randn(N, width), dim=-1)
    return vectors if mask is None else vectors * torch.tensor(mask).unsqueeze(1)


def tower(
    masks: dict[str, list[bool]] | None = None, *, text: int = 4, cold: int = 3, **options: object
) -> ItemTower:
    """Random weights everywhere; the last items have no interaction."""
    given = masks or {}
    popularity = torch.arange(1.0, N + 1)
    popularity[N - cold :] = 0
    neighbours = torch.randint(0, N, (N, 3)), torch.full((N, 3), 1 / 3)
    config = TowerConfig.model_validate({"dim": DIM, "smoothing": 0.0, **options})
    modalities = {name: units(WIDTHS[name], mask) for name, mask in given.items() if name in WIDTHS}
    made = ItemTower(units(text, given.get("text")), popularity, neighbours, config, modalities)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 9), st.booleans(), st.sampled_from([0.0, 0.7]))
def test_without_modalities_it_is_the_tower_of_text_alone(seed, training, smoothing) -> None:
    """The formula and the random draws of the model before there were modalities, bit for bit."""
    torch.manual_seed(seed)
    made = tower(smoothing=smoothing, id_dropout=0.4).train(training)
    torch.manual_seed(seed + 1)
    vectors, bias = made()
    (vectors.sum() + bias.sum()).backward()
    found = [vectors, bias, *(p.grad for p in made.parameters())]
    for parameter in made.parameters():
        parameter.grad = None
    torch.manual_seed(seed + 1)
    keep = made.warm & (torch.rand(N) >= 0.4) if training else made.warm
    assert made.mlp is not None and made.text_bias is not None
    whole = torch.where(keep.unsqueeze(-1), made.id.weight, 0.0)
    own = functional.normalize(whole + 0.2 * made.mlp(made.text), dim=-1)
    if smoothing:
        others = (made.neighbour_weight.unsqueeze(-1) * own[made.neighbour_index]).sum(1)
        own = functional.normalize((1 - smoothing) * own + smoothing * others, dim=-1)
    old_bias = torch.where(
        keep, made.bias.weight.squeeze(-1), made.text_bias(made.text).squeeze(-1)
    )
    (own.sum() + old_bias.sum()).backward()
    expected = [own, old_bias, *(p.grad for p in made.parameters())]
    if not smoothing:
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@settings(max_examples=30, deadline=None)
@given(MASKS, MASKS, MASKS)
def test_an_item_is_the_gated_sum_of_what_it_has(text, image, audio) -> None:
    torch.manual_seed(0)
    made = tower(
        {"text": text, "image": image, "audio": audio},
        modality_gate=0.3,
        modality_gates={"audio": 0.7},
    ).eval()
    vectors, bias = made()
    parts = dict(zip(made.names, made.modalities, strict=True))
    assert made.mlp is not None and made.text_bias is not None
    for item in range(N):
        total = made.id.weight[item] if made.warm[item] else torch.zeros(DIM)
        cold = made.text_bias.bias[0].clone()
        if text[item]:
            total = total + 0.2 * made.mlp(made.text[item])
            cold = made.text_bias(made.text[item])[0]
        for name, mask, gate in (("image", image, 0.3), ("audio", audio, 0.7)):
            if mask[item]:
                total = total + gate * parts[name].mlp(parts[name].vectors[item])
                cold = cold + parts[name].bias(parts[name].vectors[item])[0]
        expected = functional.normalize(total, dim=0)
        torch.testing.assert_close(vectors[item], expected, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(
            bias[item], made.bias.weight[item, 0] if made.warm[item] else cold
        )
    described = torch.tensor([t or i or a for t, i, a in zip(text, image, audio, strict=True)])
    assert torch.equal(made.described(), described)


@settings(max_examples=20, deadline=None)
@given(MASKS, st.integers(0, 5))
def test_a_dropped_modality_is_one_the_item_never_had(mask, seed) -> None:
    torch.manual_seed(seed)
    everything = [True] * N
    made = tower({"image": everything, "audio": mask}).eval()
    kept = torch.rand(N) < 0.5
    shown = made.shown()
    dropped = Shown(shown.ids, {**shown.contents, "image": shown.contents["image"] & kept})
    image = made.modalities[made.names.index("image")]
    before = made.base(None, dropped), made.biases(None, dropped)
    with torch.no_grad():
        image.vectors[~kept] = torch.randn(int((~kept).sum()), WIDTHS["image"])
    after = made.base(None, dropped), made.biases(None, dropped)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    image.present.logical_and_(kept)
    assert torch.equal(made.eval()()[0], after[0])


def test_each_modality_is_dropped_by_itself_at_its_rate() -> None:
    torch.manual_seed(0)
    made = tower({"text": [True] * N, "image": [n % 2 == 0 for n in range(N)]}, id_dropout=0.0)
    made.config = made.config.model_copy(update={"modality_dropout": 0.3})
    draws = [made.train().shown() for _ in range(800)]
    text = torch.stack([shown.contents["text"] for shown in draws]).float()
    image = torch.stack([shown.contents["image"] for shown in draws]).float()[:, ::2]
    assert abs(text.mean() - 0.7) < 0.02 and abs(image.mean() - 0.7) < 0.02
    together = (text[:, ::2] * image).mean()
    assert abs(together - 0.49) < 0.03
    assert not any(shown.contents["image"][1::2].any() for shown in draws)
    assert all(torch.equal(shown.ids, made.warm) for shown in draws)
    assert all(kept.all() for kept in made.eval().shown().contents["text"].unsqueeze(0))


def test_an_item_that_loses_everything_has_no_direction_and_finite_gradients() -> None:
    torch.manual_seed(0)
    made = tower({"text": [True] * N, "image": [True] * N}, modality_dropout=0.99, id_dropout=0.99)
    vectors, bias = made.train()()
    (vectors.square().sum() + bias.sum()).backward()
    assert (vectors.norm(dim=-1) == 0).any() and torch.isfinite(vectors).all()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in made.parameters())


def test_learned_gates_move_and_one_of_zero_stays() -> None:
    torch.manual_seed(0)
    masks = {"image": [True] * N, "audio": [True] * N}
    made = tower(masks, gates="learned", modality_gates={"audio": 0.0}).eval()
    assert set(made.learned_gates) == {"of_text", "of_image"}
    vectors, _ = made()
    (vectors @ torch.randn(DIM)).sum().backward()
    for gate in made.learned_gates.values():
        assert gate.ndim == 0 and gate.grad is not None and gate.grad != 0
    index = made.names.index("audio")
    assert made.gate("audio") == 0.0
    before = made()[0].detach()
    with torch.no_grad():
        made.modalities[index].mlp[2].bias.add_(1.0)
    torch.testing.assert_close(made()[0], before)


@pytest.mark.parametrize("gates", ["fixed", "learned"])
def test_items_without_text_work_with_modalities_alone(gates: str) -> None:
    torch.manual_seed(0)
    made = tower({"image": [n != 4 for n in range(N)]}, text=0, gates=gates)
    assert made.mlp is None and made.has_content
    vectors, bias = made.train()()
    assert torch.isfinite(vectors).all() and torch.isfinite(bias).all()
    ids, content = made.views(torch.tensor([0, 1]))
    assert not torch.allclose(ids, content)
    assert "of_text" not in made.learned_gates


@pytest.mark.parametrize("name", ["items", "keys", "training", "forward"])
def test_a_modality_may_have_any_name(name: str) -> None:
    vectors = {name: units(3)}
    neighbours = torch.zeros(N, 0, dtype=torch.int64), torch.zeros(N, 0)
    config = TowerConfig(dim=DIM, gates="learned")
    made = ItemTower(units(4), torch.ones(N), neighbours, config, vectors)
    assert made()[0].shape == (N, DIM) and f"of_{name}" in made.learned_gates


def test_ids_start_from_text_and_modalities() -> None:
    torch.manual_seed(0)
    image = units(5)
    image[6:] = image[:6]
    neighbours = torch.zeros(N, 0, dtype=torch.int64), torch.zeros(N, 0)
    config = TowerConfig(dim=DIM, id_scale=0.2)
    made = ItemTower(torch.zeros(N, 0), torch.ones(N), neighbours, config, {"image": image})
    ids = made.id.weight.detach().numpy()
    near = np.linalg.norm(ids[:6] - ids[6:], axis=1)
    far = np.linalg.norm(ids[:5] - ids[1:6], axis=1)
    assert near.max() < 0.3 * far.min()
