"""The checker that the import hook of conftest.py puts on every function: beartype, where an int passes for a float (PEP 484)."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
