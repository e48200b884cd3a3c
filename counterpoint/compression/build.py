"""Builds a variant from the encoder: layers, then vocabulary, then precision."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import mkdtemp

from counterpoint import artifacts
from counterpoint.compression import fp16, int8, int8_blocks, layers, vocabulary
from counterpoint.compression.form import TOKENIZER, Form
from counterpoint.compression.variants import Variant
from counterpoint.encoder import TextTower

_CONVERT: Mapping[str, Callable[[Path, Path], None]] = {
    "fp16": fp16.convert,
    "int8": int8.convert,
    "int8_blocks": int8_blocks.convert,
}


class Builder:
    """Builds forms in a scratch folder.

    Args:
        tower: The encoder in torch.
        whole: Its exported form in float32.
        export: Writes a tower as a graph.
        scratch: Existing folder.
    """

    def __init__(
        self,
        tower: TextTower,
        whole: Form,
        export: Callable[[TextTower, Path], None],
        scratch: Path,
    ) -> None:
        self._tower = tower
        self._export = export
        self._scratch = scratch
        self._pruned: dict[tuple[int, ...], Form] = {(): whole}

    def build(self, variant: Variant, texts: Sequence[str]) -> Form:
        """Return a variant.

        Args:
            variant: Which.
            texts: Texts whose tokens must stay.

        Raises:
            Unsupported: A method does not fit the encoder.
        """
        form = self._with_layers(variant.layers)
        if variant.vocabulary:
            form = vocabulary.prune(form, texts, self._folder(), common=variant.common)
        if variant.precision is not None:
            folder = self._folder()
            _CONVERT[variant.precision](form.graph, folder / artifacts.ITEM_ENCODER_ONNX)
            shutil.copyfile(form.folder / TOKENIZER, folder / TOKENIZER)
            form = Form(folder)
        return form

    def _with_layers(self, chosen: tuple[int, ...]) -> Form:
        if chosen not in self._pruned:
            folder = self._folder()
            self._export(layers.prune(self._tower, chosen), folder / artifacts.ITEM_ENCODER_ONNX)
            shutil.copyfile(self._pruned[()].folder / TOKENIZER, folder / TOKENIZER)
            self._pruned[chosen] = Form(folder)
        return self._pruned[chosen]

    def _folder(self) -> Path:
        return Path(mkdtemp(dir=self._scratch))
