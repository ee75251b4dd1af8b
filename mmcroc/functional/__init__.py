"""The science: pure functions of tensors, one concept per file. Imports nothing of mm*."""
