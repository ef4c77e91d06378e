"""The built-in world: scenes drawn from named factors, and moved; rendered as pictures, captions, sounds, clips and the
traces of an accelerometer, with questions about them, and with their truth.

Everything is a pure function of (split, seed, index), vectorised over scenes in NumPy, and made on the fly.
"""
