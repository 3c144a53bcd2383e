"""The API server: one request pipeline, one file per stage, one direction.

listener -> authentication -> impersonation -> audit -> fairness -> authorization -> dispatch ->
body (decode) -> verbs (default, mutate, validate, commit) -> answer (encode).
"""

from kybern import lazily

lazily.package("aiohttp")
