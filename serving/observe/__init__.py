"""What a served front tells about itself: metrics, log lines, trace context, impressions.

Runs inside Triton: standard library only.
"""
