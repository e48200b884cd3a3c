"""Counterpoint: recommendations trained by contrastive learning on a language model."""

__version__ = "0.1.0"
