"""Protobuf bodies of Kubernetes' own kinds, read into plain data. kubectl's typed commands send nothing else.

Answers are always JSON, which every client reads: it says so in its Accept header. (Kubernetes API
Concepts, "Kubernetes Protobuf encoding": four magic bytes, then a `runtime.Unknown`.)
"""
