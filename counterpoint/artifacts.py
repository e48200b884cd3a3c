"""File names inside each artifact folder: the contract between the stages.

==========  ====================================================================================
folder      content
==========  ====================================================================================
dataset     ``interactions``, ``items``, ``users`` (Parquet, columns.py) and ``dataset.json``; for
            each modality ``vectors.<name>`` (item_id and vector)
validated   the accepted rows under the same names, ``dataset.json``, ``verdict.json``,
            ``quarantine/<table>.parquet`` (rejected rows with ``reason``), ``docs/`` (Data Docs)
features    ``interactions`` (ordered, with ``fold``), ``items``, ``users``, ``examples`` (point
            in time, from the feature store), ``vectors.<name>``, ``features.json``,
            ``dataset.json``
model       ``model.safetensors``, ``model.json``, ``items``, ``tensorboard/``, ``curves.json``,
            ``encoder/`` (where one was trained), ``reranker/`` (where one is kept)
evaluation  ``evaluation.json``, ``per_user.parquet``, ``report.html``
onnx        ``recommender.onnx``, ``item_encoder/`` (``model.onnx``, tokenizer), ``contract.json``,
            ``items`` (with availability), ``vectors.npy`` (how alike items are),
            ``users.sqlite`` (histories and attributes of the known users); of a large catalogue
            ``retrieval/`` (see retrieval.py); ``compression.json`` (smaller forms of the item
            encoder, where any were tried); ``reranker.onnx`` where the model has one
version     (registry) all that a served version needs: ``onnx/``, ``model/``, ``evaluation/``,
            ``reference/`` (monitoring snapshot), ``version.json``
monitoring  ``verdict.json``, ``report.html``
==========  ====================================================================================
"""

from typing import Final

INTERACTIONS: Final = "interactions.parquet"
ITEMS: Final = "items.parquet"
USERS: Final = "users.parquet"
DATASET: Final = "dataset.json"
REJECTED: Final = "rejected.parquet"

QUARANTINE: Final = "quarantine"
VALIDATION_VERDICT: Final = "verdict.json"
DATA_DOCS: Final = "docs"

EXAMPLES: Final = "examples.parquet"
FEATURES: Final = "features.json"

MODEL_TENSORS: Final = "model.safetensors"
TRAINED_ENCODER: Final = "encoder"
"""Folder of the text encoder that was trained with the model, in its folder."""
MODEL: Final = "model.json"
CURVES: Final = "curves.json"
TENSORBOARD: Final = "tensorboard"
CHECKPOINTS: Final = "checkpoints"

EVALUATION: Final = "evaluation.json"
PER_USER: Final = "per_user.parquet"
DECISION: Final = "decision.json"
DECISION_PAGE: Final = "decision.html"
REPORT: Final = "report.html"

RECOMMENDER_ONNX: Final = "recommender.onnx"
RERANKER: Final = "reranker"
RERANKER_ONNX: Final = "reranker.onnx"
ITEM_ENCODER: Final = "item_encoder"
ITEM_ENCODER_ONNX: Final = "model.onnx"
USERS_SNAPSHOT: Final = "users.sqlite"
COMPRESSION: Final = "compression.json"
CONTRACT: Final = "contract.json"
CONTRACT_FORMAT: Final = 3
"""Raised when callers of the graph must change: a version of another format is not served."""
ITEM_VECTORS: Final = "vectors.npy"
SIMILARITY_MAP: Final = "similarity_map.npy"

VERSION: Final = "version.json"
REFERENCE: Final = "reference"

MONITORING_VERDICT: Final = "verdict.json"
WINDOW: Final = "window.json"
