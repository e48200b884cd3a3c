"""What answers requests: loaded versions, their items, and the way of a question through them.

Runs inside Triton: standard library, numpy and onnxruntime only.
"""
