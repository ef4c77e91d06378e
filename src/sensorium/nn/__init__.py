"""Small building blocks, each a module or a function of arrays: attention, convolutions, norms, spectrograms."""
