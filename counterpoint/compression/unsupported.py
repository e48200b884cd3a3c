"""Why a method cannot be used on an encoder."""


class Unsupported(Exception):
    """The method does not fit this encoder or tokenizer; the message says why."""
