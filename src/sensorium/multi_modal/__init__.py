"""The guide's names: arrays in, arrays out, made of the rooms: datasets, fusion, generators, encoders, losses, retrieval."""
