"""The built-in world: scenes drawn from named factors and rendered as pictures, captions and sounds, with their truth.

Everything is a pure function of (split, seed, index), vectorised over scenes in NumPy, and made on the fly.
"""
