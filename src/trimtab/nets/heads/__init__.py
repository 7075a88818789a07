"""One file per head; the folder is the registry.

A head is built with the width of what it reads, the number of inputs, the output column, the dropout before its last
layer and the network's encoders: `LabelHead(width, inputs, output, dropout, encoders)`. `reads` is "vector" (then
`forward` takes the fused vector of each row) or "states" (then it takes all states and the input tensors, and there is
no fusion). Beside the class stands `loss(outputs, targets, weights, smoothing)`, the loss of each row, (rows,).
"""
