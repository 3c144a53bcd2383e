"""What the server does with objects: one file per verb, on typed objects, knowing nothing of HTTP.

Both the HTTPS listener and the in-process client end here, so that no shortcut skips defaulting,
admission or validation.
"""
