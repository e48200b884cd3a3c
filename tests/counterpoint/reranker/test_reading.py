"""Reader and student in a world where no plain feature tells what is liked."""

from pathlib import Path

import numpy as np
import pytest
import torch

from counterpoint.config.encoder import EncoderConfig
from counterpoint.config.reranker import RerankerConfig
from counterpoint.encoder.loading import load_backbone
from counterpoint.reranker import baselines, loop, metrics
from counterpoint.reranker.batches import plain_features
from counterpoint.reranker.distilling import answers_of, train_student
from counterpoint.reranker.examples import Examples
from counterpoint.reranker.reader import Texts
from counterpoint.reranker.teaching import Teacher, pairs_of, teach
from tests.counterpoint.reranker import circle

CONFIG = RerankerConfig.model_validate(
    {
        "reader": {
            "weights": {"method": "full"},
            "max_tokens": 64,
            "candidate_tokens": 12,
            "batch_size": 32,
            "max_steps": 240,
            "learning_rate": 2e-3,
            "head_learning_rate": 5e-3,
            "evaluate_steps": 40,
            "patience": 4,
            "transfer_pairs": 400,
        },
        "student": {
            "dim": 8,
            "hidden": 16,
            "dropout": 0.0,
            "events": 8,
            "batch_size": 64,
            "epochs": 12,
            "learning_rate": 0.02,
            "evaluate_steps": 20,
            "patience": 10,
        },
    }
)
SIZES = ((600, 0, 0.2), (150, 1, 0.2), (400, 2, 0.0))
TRAIN, VALID, TEST = (circle.draw(n, seed=seed, noise=noise) for n, seed, noise in SIZES)
SAME, SAME_VALID, SAME_TEST = (
    circle.draw(n, seed=seed, noise=noise, steps=(0, 1)) for n, seed, noise in SIZES
)
"""The theme of the history itself is liked; read with text vectors that say nothing."""


def auc(guess: np.ndarray, examples: Examples) -> float:
    pairs = pairs_of(examples, np.arange(len(examples)))
    label = examples.click[pairs[:, 0], pairs[:, 1]] > 0.5
    return float(metrics.auc(guess, label, np.ones((1, len(guess))))[0])


def logits(student, examples: Examples) -> np.ndarray:
    found, _ = answers_of(student, examples, circle.UNITS, CONFIG.student.events)
    return found.numpy().astype(np.float64).ravel()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return circle.write_backbone(tmp_path_factory.mktemp("bert"))


def taught(weights: Path, checkpoint: Path | None = None, config: RerankerConfig = CONFIG):
    tower, tokenizer = load_backbone(EncoderConfig(model=str(weights)), attention="sdpa")
    return teach(
        tower,
        tokenizer,
        circle.TEXTS,
        SAME,
        SAME_VALID,
        circle.features(blank=True),
        circle.scale(),
        circle.UNITS,
        config,
        seed=0,
        checkpoint=checkpoint,
    )


@pytest.fixture(scope="module")
def teacher(weights: Path) -> tuple[Teacher, loop.Outcome, np.ndarray]:
    return taught(weights)


def test_plain_features_do_not_tell() -> None:
    rows = [pairs_of(each, np.arange(len(each))) for each in (TRAIN, TEST)]
    plain = [
        plain_features(each, np.arange(len(each)), circle.features(), circle.UNITS, 8).numpy()
        for each in (TRAIN, TEST)
    ]
    known, asked = (p[r[:, 0], r[:, 1]] for p, r in zip(plain, rows, strict=True))
    guess = baselines.logistic(known, TRAIN.click.ravel() > 0.5, asked)
    assert 0.4 < auc(guess, TEST) < 0.6


def test_the_reader_learns_what_reading_tells(teacher) -> None:
    found, outcome, left = teacher
    pairs = pairs_of(SAME_TEST, np.arange(len(SAME_TEST)))
    answers = found.ask(SAME_TEST, pairs)
    assert auc(answers[:, 0].numpy().astype(np.float64), SAME_TEST) > 0.95
    assert outcome.valid < 0.6
    assert len(left) == CONFIG.reader.transfer_pairs
    # A rating of 4 and one of 3 come with liking and not liking.
    truth = SAME_TEST.rating[pairs[:, 0], pairs[:, 1]] - circle.UNITS.mean
    assert float(((answers[:, 1].numpy() - truth) ** 2).mean()) < 0.1


def test_the_student_learns_what_no_plain_feature_tells() -> None:
    student, _ = train_student(
        TRAIN, VALID, circle.features(), circle.scale(), circle.UNITS, CONFIG, seed=0
    )
    assert auc(logits(student, TEST), TEST) > 0.95


def test_a_student_of_few_wrong_labels_gains_by_imitating() -> None:
    few, valid = (circle.draw(100, seed=seed, noise=0.4) for seed in (3, 4))
    pairs = pairs_of(few, np.arange(len(few)))
    right = circle.draw(100, seed=3).click[pairs[:, 0], pairs[:, 1]]
    told = torch.from_numpy(np.stack([6 * right - 3, right], axis=1).astype(np.float32))

    def loss(judged) -> float:
        student, _ = train_student(
            few,
            valid,
            circle.features(),
            circle.scale(),
            circle.UNITS,
            CONFIG.model_copy(update={"student": CONFIG.student.model_copy(update={"epochs": 40})}),
            seed=0,
            judged=judged,
        )
        label = TEST.click.ravel() > 0.5
        return float(metrics.log_loss(logits(student, TEST), label, np.ones((1, len(label))))[0])

    assert loss((pairs, told)) < loss(None) - 0.05


def test_a_resumed_run_equals_an_uninterrupted_one(weights, tmp_path: Path, monkeypatch) -> None:
    short = CONFIG.model_copy(
        update={
            "reader": CONFIG.reader.model_copy(update={"max_steps": 12, "evaluate_steps": 4}),
            "student": CONFIG.student.model_copy(update={"epochs": 2, "evaluate_steps": 5}),
        }
    )

    def everything(folder: Path | None):
        teacher, outcome, pairs = taught(weights, folder and folder / "reader", short)
        answers = teacher.ask(TRAIN, pairs)
        student, learnt = train_student(
            TRAIN,
            VALID,
            circle.features(),
            circle.scale(),
            circle.UNITS,
            short,
            seed=0,
            judged=(pairs, answers),
            checkpoint=folder and folder / "student",
        )
        return logits(student, TEST), outcome, learnt

    whole, _, _ = everything(None)
    judge = loop.checkpoints.save
    calls = []

    def killed(folder, step, *rest):
        judge(folder, step, *rest)
        calls.append(step)
        if len(calls) in (2, 5):
            raise KeyboardInterrupt

    monkeypatch.setattr(loop.checkpoints, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        everything(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        everything(tmp_path)
    again, outcome, learnt = everything(tmp_path)
    assert outcome.resumed_at == 12
    assert learnt.resumed_at > 0
    np.testing.assert_array_equal(again, whole)


def test_the_candidate_is_never_cut_off_and_the_newest_events_stay(weights) -> None:
    _, tokenizer = load_backbone(EncoderConfig(model=str(weights)))
    texts = Texts(circle.TEXTS, tokenizer, CONFIG.reader)
    long = circle.draw(1, seed=5).histories
    events = np.arange(40) % circle.ITEMS
    many = type(long)(
        ["u"],
        np.array([0, 40]),
        events.astype(np.int64),
        np.ones(40, dtype=bool),
        np.arange(40),
    )
    written = texts.history(many, 0)
    assert written.splitlines()[-1] == f"Liked: {circle.TEXTS[events[-1]]}."
    ids, mask = texts.tokens([written, ""], np.array([4, 4]))
    assert ids.shape[1] <= CONFIG.reader.max_tokens
    for row in range(2):
        words = tokenizer.decode(ids[row][mask[row].bool()])
        assert words.endswith("candidate : farm tale [SEP]")


def test_gradients_reach_every_weight_of_the_student() -> None:
    student, _ = train_student(
        TRAIN.take(np.arange(100)),
        VALID,
        circle.features(),
        circle.scale(),
        circle.UNITS,
        CONFIG.model_copy(update={"student": CONFIG.student.model_copy(update={"epochs": 2})}),
        seed=0,
    )
    student.requires_grad_(True)
    history = torch.tensor([[1, 2, 3]])
    kind = torch.tensor([[1, 2, 1]])
    logit, rating = student(history, kind, torch.tensor([[4, 5]]), torch.randn(1, 2, 5))
    (logit.square().sum() + rating.square().sum()).backward()
    for name, weight in student.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name
