"""Extension point: one served model a file.

A file holds ``SPEC`` (serving/spec.py) and ``class Runtime``, made from (folder, options, call),
with ``execute(requests)``. Verbs are Python fronts that speak strings; nouns are ONNX graphs.
The files run inside Triton's Python backend: standard library, numpy and the files of
``serving.runtime_files.RUNTIME_FILES`` only; onnxruntime and tokenizers inside functions.
"""
