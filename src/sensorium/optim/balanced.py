"""Towers that learn at like pace: the updates of a modality whose gradient drowns the others' are made smaller, theirs larger."""

from collections.abc import Sequence
from typing import Any

import optax

from sensorium.losses.balance import evened, norms


def balanced(optimizer: optax.GradientTransformation, fields: Sequence[str]) -> optax.GradientTransformation:
    """The optimizer, with the updates of each field's own parameters scaled by `losses.balance.evened` of its gradient's norm.

    Updates are scaled and not gradients, which Adam and its like divide by their own size. Parameters come as a flat dict by
    dotted name; a field that has none of them is left out.
    """

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        gradients = updates
        updates, state = optimizer.update(gradients, state, params)
        own = [field for field in fields if any(field in name.split(".") for name in gradients)]
        if not own:
            return updates, state
        factors = evened(norms(gradients, own))

        def scaled(name: str, x: Any) -> Any:
            for field in own:
                if field in name.split("."):
                    x = x * factors[field]
            return x

        return {name: scaled(name, x) for name, x in updates.items()}, state

    return optax.GradientTransformation(optimizer.init, update)
