"""One file per encoder; the folder is the registry.

An encoder is built with the columns that it reads, the width of the states that it gives and its own options:
`LstmEncoder(columns, width, config)`; its `forward` takes the tensors of all columns and gives `States`. The class says
which column types it can read (`types`) and how wide its states are best (`states_width`); an option that it does not
know is an error that `options.check` makes.
"""
