from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, LlamaConfig, LlamaForCausalLM

from counterpoint.config.encoder import EncoderConfig
from counterpoint.encoder import language_head
from counterpoint.encoder.language_head import CheckpointHead, TiedHead, in_chunks
from counterpoint.encoder.loading import load_backbone
from tests.counterpoint.encoder import tastes


def load(folder: Path, *, learn_table: bool = False):
    tower, words = load_backbone(EncoderConfig(model=str(folder), cache=str(folder)))
    counts = torch.arange(len(words))
    return tower, language_head.load(str(folder), tower, counts, learn_table=learn_table)


def llama(folder: Path, *, tied: bool) -> Path:
    words = tastes.tokenizer(before=False)
    sizes = LlamaConfig(
        vocab_size=len(words), **tastes.SIZES, pad_token_id=0, tie_word_embeddings=tied
    )
    LlamaForCausalLM(sizes).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["bert with head", "llama", "tied llama"])
def test_the_head_of_a_checkpoint_scores_as_its_model_does(kind, tmp_path: Path) -> None:
    if kind == "bert with head":
        folder, whole = tastes.save(tmp_path, kind), AutoModelForMaskedLM
    else:
        folder, whole = llama(tmp_path, tied="tied" in kind), AutoModelForCausalLM
    tower, head = load(folder)
    ids = torch.tensor([[5, 9, 13, 7], [6, 6, 8, 20]])
    with torch.no_grad():
        expected = whole.from_pretrained(folder).eval()(input_ids=ids).logits
        states = tower.backbone(input_ids=ids).last_hidden_state
        found = head.eval()(states.flatten(0, 1)).view_as(expected)
    assert isinstance(head, CheckpointHead)
    torch.testing.assert_close(found, expected)
    towers = {id(weight) for weight in tower.parameters()}
    shared = [name for name, weight in head.named_parameters() if id(weight) in towers]
    assert len(shared) == (0 if kind == "llama" else 1)
    if kind == "llama":
        assert not head.model.lm_head.weight.requires_grad
        assert load(folder, learn_table=True)[1].model.lm_head.weight.requires_grad


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_without_a_head_the_word_embeddings_are_one(kind, tmp_path: Path, caplog) -> None:
    caplog.set_level("INFO")
    tower, head = load(tastes.save(tmp_path, kind))
    assert isinstance(head, TiedHead) and "no language-model head" in caplog.text
    table = tower.backbone.get_input_embeddings().weight
    assert any(weight is table for weight in head.parameters())
    # At the start, a state that is a token's own vector tells this token, else the frequent ones.
    scores = head(torch.zeros(1, 32))
    assert scores.argmax().item() == len(table) - 1
    with torch.no_grad():
        head.bias.zero_()
        own = head(torch.nn.functional.layer_norm(table, (32,))).argmax(1)
    assert (own == torch.arange(len(table))).float().mean() > 0.9


def test_chunks_change_neither_loss_nor_gradient() -> None:
    torch.manual_seed(0)
    head = torch.nn.Linear(8, 50)
    states, labels = torch.randn(23, 8, requires_grad=True), torch.randint(50, (23,))
    results = []
    for rows in (100, 5):
        loss, right = in_chunks(head, states, labels, rows=rows)
        results.append((loss, right, *torch.autograd.grad(loss, [states, head.weight])))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)
    plain = torch.nn.functional.cross_entropy(head(states), labels)
    torch.testing.assert_close(results[0][0], plain)


def test_no_labels_give_a_loss_of_zero_with_a_gradient() -> None:
    states = torch.randn(0, 8, requires_grad=True)
    loss, right = in_chunks(torch.nn.Linear(8, 5), states, torch.zeros(0).long(), rows=4)
    loss.backward()
    assert loss.item() == 0 and right.item() == 0
