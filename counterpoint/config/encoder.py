"""The language model that reads item text, and how it is trained."""

from typing import Literal

from pydantic import Field, model_validator

from counterpoint.config.base import Section
from counterpoint.config.pretrain import PretrainConfig
from counterpoint.config.trainjob import TrainJobConfig
from counterpoint.config.weights import WeightsConfig

Precision = Literal["auto", "float32", "bfloat16"]
Pooling = Literal["auto", "mean", "cls", "last_token"]
"""How hidden states become one vector; ``auto``: the mean for encoders, the last token for
decoders."""


class PairsConfig(Section):
    """Which items count as alike: pairs drawn from the positives of one user."""

    next_item: float = Field(default=0.0, ge=0)
    """Share of pairs of consecutive positives."""

    session: float = Field(default=0.5, ge=0)
    """Share of pairs within ``session_items`` positives of each other."""

    co_interaction: float = Field(default=0.5, ge=0)
    """Share of pairs of any two positives."""

    session_items: int = Field(default=5, ge=1)
    """Width of a session in positives."""

    max_positives: int = Field(default=200, ge=2)
    """Only this many newest positives of a user are paired: a robot must not make all pairs."""

    @model_validator(mode="after")
    def _some(self) -> "PairsConfig":
        if self.next_item + self.session + self.co_interaction <= 0:
            raise ValueError("next_item, session and co_interaction are all 0; at least one counts")
        return self


class HardNegativesConfig(Section):
    """Items the current model takes for alike although nobody interacted with both."""

    count: int = Field(default=0, ge=0)
    """For each anchor; 0: in-batch negatives only."""

    depth: int = Field(default=50, ge=1)
    """They are drawn among this many nearest items that are no positives."""

    margin: float = Field(default=0.05, ge=0)
    """A candidate must be less similar than the positive by this much (cosine), else it may be a
    false negative (NV-Retriever, Moreira et al. 2024)."""

    refresh_steps: int = Field(default=50, ge=1)
    """Steps after which they are mined again."""


class AdversarialConfig(Section):
    """Training on perturbed embeddings: FGM (Miyato et al. 2017) or PGD (Madry et al. 2018)."""

    method: Literal["off", "fgm", "pgd"] = "off"
    epsilon: float = Field(default=0.5, gt=0)
    """Length of the perturbation of each token's vector, in its mean length."""

    steps: int = Field(default=3, ge=1)
    """Steps of PGD."""

    weight: float = Field(default=0.5, ge=0)
    """Weight of the loss on the perturbed input."""


class TuneConfig(Section):
    """Contrastive training of the text encoder on the interactions."""

    weights: WeightsConfig = WeightsConfig()
    pairs: PairsConfig = PairsConfig()

    regression: float = Field(default=1.0, ge=0)
    """Weight of the loss that has the vectors of some items predict what a linear model says of
    others: what new items are ranked by (encoder/regression.py)."""

    supervised: float = Field(default=0.0, ge=0)
    """Weight of the contrastive loss on pairs of items."""

    unsupervised: float = Field(default=0.0, ge=0)
    """Weight of SimCSE's loss on two dropout views of the same text (Gao et al. 2021)."""

    temperature: float = Field(default=0.05, gt=0)
    """Of the softmax over cosines."""

    logq: bool = True
    """Correct for popular items being drawn more often (Bengio and Senecal 2008)."""

    hard_negatives: HardNegativesConfig = HardNegativesConfig()
    token_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the tokens of a text that are hidden in training, the first and last never."""

    matryoshka: tuple[int, ...] = ()
    """Widths whose first numbers must suffice on their own (Kusupati et al. 2022)."""

    adversarial: AdversarialConfig = AdversarialConfig()

    batch_size: int = Field(default=256, ge=4)
    """Pairs of a step, or items for the regression and the dropout views."""

    max_steps: int = Field(default=60, ge=1)
    """Most optimiser steps."""

    learning_rate: float = Field(default=1e-4, gt=0)
    """Peak; rises over ``warmup`` of the steps, then falls linearly."""

    warmup: float = Field(default=0.1, ge=0, lt=1)
    weight_decay: float = Field(default=0.01, ge=0)
    max_gradient: float = Field(default=1.0, gt=0)
    """Longer gradients are shortened to this norm."""

    withheld: float = Field(default=0.1, gt=0, lt=0.5)
    """Share of the items that are kept out and ranked as new ones to see whether training pays."""

    evaluate_steps: int = Field(default=10, ge=1)
    """Steps between two looks at the withheld items."""

    patience: int = Field(default=3, ge=1)
    """Looks without a better one after which training stops."""

    chunk_tokens: int = Field(default=4096, ge=64)
    """Tokens (with padding) that go through the model at once."""

    activation_mb: int = Field(default=2048, ge=0)
    """Activations up to this size are kept for the backward pass; beyond it each chunk is computed
    twice (GradCache, Gao et al. 2021)."""

    hidden_mb: int = Field(default=1024, ge=0)
    """Most memory for hidden states below the trained blocks; beyond it they are computed again."""

    processes: int = Field(default=1, ge=0)
    """Processes of this machine that share each step (torchrun); 0: one for each GPU."""

    shard_weights: bool = False
    """Divide the weights, gradients and moments among the processes (FSDP): for a language model
    that one GPU cannot hold. The frozen blocks are then computed anew in every step."""

    trainjob: TrainJobConfig | None = None
    """Train on several nodes of a cluster instead, by Kubeflow Trainer; null: on this machine."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Precision = "auto"
    """``auto``: bfloat16 autocast on GPUs and on CPUs that compute in it, else float32."""

    checkpoint_steps: int = Field(default=20, ge=1)
    """Steps between two checkpoints."""

    @model_validator(mode="after")
    def _check_objectives(self) -> "TuneConfig":
        if not self.regression + self.supervised + self.unsupervised > 0:
            raise ValueError(
                "regression, supervised and unsupervised are all 0: nothing would be learned. Give "
                "at least one of them a weight"
            )
        return self


class EncoderConfig(Section):
    """The language model that encodes item text."""

    model: str | None = "all-MiniLM-L6-v2"
    """Named weights of counterpoint/assets.py, a local folder, or a model name on a hub; null
    trains without text."""

    weights_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of model.safetensors; other weights are refused. Null: any."""

    pooling: Pooling = "auto"
    """How hidden states become one vector."""

    prompt: str = ""
    """Put before every text, as some backbones want it (E5: ``passage: ``)."""

    max_tokens: int = Field(default=64, ge=4)
    """Tokens of a text beyond this are cut off."""

    batch_size: int = Field(default=32, ge=1)
    """Texts encoded at once, if they are as long as ``max_tokens``; more of shorter ones."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where texts are encoded; ``auto``: on a GPU if there is one."""

    precision: Precision = "auto"
    """Of encoding texts. ``auto``: bfloat16 on GPUs and on CPUs that compute in it, where it is
    several times as fast and moves a number of a vector by about 0.001; else float32. What is
    served computes in float32 or as compressed."""

    cache: str = "var/assets"
    """Folder of downloaded weights and of cached text vectors (keyed by text and weights hash)."""

    pretrain: PretrainConfig | None = None
    """Masked training on histories as text before everything else; null: the weights stay."""

    tune: TuneConfig | None = None
    """Contrastive training on the interactions before the towers; null: the weights stay."""
