"""Decoders and endpoints under garbage: `make fuzz SECONDS=600`; a short, seeded part of it runs with the tests.

`targets` names every decoder, `mutating` makes garbage that looks almost right, `python -m tests.fuzz` drives them by
coverage (atheris) and then a real `serve` over its sockets (`live`).
"""
