"""Language-model backbone with pooling: token ids in, unit vectors out."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from counterpoint.config.encoder import Pooling


class TextTower(nn.Module):
    """Pooled last hidden states of the attended tokens, L2-normalised.

    The mean is Sentence-BERT's (Reimers and Gurevych 2019); decoders, whose last token alone has
    seen the whole text, are read there (Wang et al. 2024, *Improving text embeddings with LLMs*).
    Texts are padded on the right.

    Args:
        backbone: Any encoder or decoder of transformers that returns ``last_hidden_state``.
        dim: Width D of its hidden states.
        pooling: ``mean``, ``cls`` (the first token) or ``last_token``.
    """

    def __init__(self, backbone: nn.Module, dim: int, pooling: Pooling = "mean") -> None:
        super().__init__()
        self.backbone = backbone
        self.dim = dim
        self.pooling = pooling

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return (B, D) float32 unit vectors.

        Args:
            input_ids: (B, T) int64.
            attention_mask: (B, T) int64, 1 for tokens and 0 for padding.
        """
        output = self.backbone(input_ids=input_ids, attention_mask=attention_mask)
        return pool(output.last_hidden_state, attention_mask, self.pooling)


def pool(hidden: Tensor, attention_mask: Tensor, pooling: Pooling) -> Tensor:
    """Return (B, D) float32 unit vectors of (B, T, D) hidden states."""
    hidden = hidden.float()
    if pooling == "cls":
        vector = hidden[:, 0]
    elif pooling == "last_token":
        # The last attended place; in training some before it may be masked (token dropout).
        places = torch.arange(attention_mask.shape[1], device=attention_mask.device)
        last = (attention_mask * places).amax(1)
        index = last.view(-1, 1, 1).expand(-1, 1, hidden.shape[-1])
        vector = hidden.gather(1, index).squeeze(1)
    else:
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        vector = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1.0)
    return functional.normalize(vector, dim=-1)
