"""Rules for `benchmarks.sentences`, as pySBD writes its own."""

GOLDEN_RULES = [
    ("It is so. Is it? It is.", ["It is so.", "Is it?", "It is."]),
    ("It is in the U.S. It is far.", ["It is in the U.S.", "It is far."]),
    ("It is\nfar.", ["It was far."]),
]
