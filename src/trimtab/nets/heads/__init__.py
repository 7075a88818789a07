"""One file per head; the folder is the registry.

A head is built with the width of what it reads, the number of inputs, the output column, the dropout before its last
layer and the network's encoders: `LabelHead(width, inputs, output, dropout, encoders)`. `reads` is "vector" (then
`forward` takes the fused vector of each row), "states" (then it takes all states and the input tensors, there is no
fusion, and the network sets `followed`, the position of the encoder whose places are answered), or "tensors" (then it
takes the input tensors alone: a language model, the only encoder, reads them together with answers).

`forward` gives answers by name (`nets.states.Answers`), those that the output column declares; each that is `per` step
with its lengths. `loss(answers, batch)` gives the loss of each row, (rows,), of these answers and a `nets.batch.Batch`.
A head whose answers are written step by step is `taught`: its `forward` finds right answers among the tensors
(`nets.batch.right`) and gives, in evaluations, what `OutputColumn.taught` declares. It names the `program` that runs
its `graphs` and the `program_options`, and `settled` chooses its shape, which it is built with as a last argument.
A head that a student can learn from a teacher has `distillation_loss(answers, soft_targets)` too, the loss of each row
against the teacher's answers; one without it is not distilled, and the search says so. A head whose loss compares the
rows of a batch with each other says so by `rows_meet`: several processes do not share them out.
"""
