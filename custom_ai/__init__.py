"""custom-ai: turn your own documents into your own language model, on your own machine.

One package per step of the chain. A module imports only from packages to its left, never to its
right; tests/test_architecture.py reads the order from the lines below and holds it.

layers:
    texts errors files step options child | settings secrets hardware | projects | providers models
    | documents | datasets | training | export | evaluation | runs | demo | ui cli
"""

__version__ = "0.1.0"
