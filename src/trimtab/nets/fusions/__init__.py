"""One file per fusion; the folder is the registry.

A fusion is built with the width of the states, the number of inputs and its own options: `DeepfmFusion(width, inputs,
config)`; its `forward` takes `States` and gives one vector per row, (rows, self.width). `deep` says whether that vector
comes out of hidden layers, so that a linear head is enough.
"""
