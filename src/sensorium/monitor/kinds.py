"""What can go wrong in a training, by name: the sign of it, the patience until it is told, and the advice."""

from collections.abc import Callable
from typing import NamedTuple

from sensorium.monitor import signs
from sensorium.monitor.signs import Memory, Numbers, Sight


class Kind(NamedTuple):
    """A sign, its patience (it is told when it has been there for so many steps *and* records), and what to do about it."""

    sign: Callable[[Numbers, Memory], Sight]
    steps: int
    records: int
    advice: str


KINDS = {
    "not finite": Kind(
        signs.not_finite, 1, 1,
        "look for broken values in the data of the field that is named (`sensorium data check`); if there are none, divide "
        "the learning rate (lr) by 10",
    ),
    "constant input": Kind(
        signs.constant, 10, 3,
        "the loader gives the same thing for every row: look at what it reads (a wrong column or path, a blank placeholder)",
    ),
    "stands still": Kind(
        signs.still, 10, 3,
        "if it is meant to be frozen, say so (frozen=…); otherwise look for a stop_gradient, a cast to integers, or an "
        "optimizer mask that leaves it out",
    ),
    "loss at chance": Kind(
        signs.chance, 200, 10,
        "the model has learned nothing so far: see whether inputs and partners are right (`sensorium data show`), then try a "
        "learning rate 10 times higher or lower",
    ),
    "loss stays": Kind(
        signs.unfit_loss, 200, 10,
        "the model has learned nothing so far: see whether inputs and partners are right, then change the learning rate",
    ),
    "steps too small": Kind(signs.small_steps, 200, 10, "raise the learning rate (lr) 10 times, or shorten the warm-up"),
    "shuffled pairs": Kind(
        signs.shuffled, 200, 10,
        "look at ten pairs with your own eyes: most likely one side was sorted, shifted or shuffled without the other. "
        "Another learning rate will not help",
    ),
    "collapse": Kind(
        signs.collapse, 100, 10,
        "the tower gives every row the same answer: lower the learning rate, raise the batch, and see whether its inputs "
        "differ at all",
    ),
    "modality gap": Kind(
        signs.gap, 200, 10,
        "the two senses live in different corners of the space, so their similarities cannot be compared with others': start "
        "with a higher temperature (a smaller scale), and give the projections no bias",
    ),
    "ignored modality": Kind(
        signs.ignored, 200, 10,
        "the model learns from the other senses only: check this one's files and partners, give its pairs more weight, or its "
        "tower a higher learning rate",
    ),
    "lopsided gradient": Kind(
        signs.lopsided, 100, 10,
        "this tower hardly learns beside the others: raise its learning rate (rates by name) or the weight of its pairs, and "
        "look for a scale that shrinks its gradient",
    ),
    "scale at its clamp": Kind(
        signs.clamp, 50, 5,
        "late in a long run this is usual; early it says that the pairs are too easy (or the same rows come again and again): "
        "use larger batches or harder negatives, and watch the evaluation",
    ),
    "twins as negatives": Kind(
        signs.twins, 10, 3,
        "equal things are pushed apart, which cannot be learned: give equal captions an equal `<field>/id`, and rows of one item "
        "one `group`, or remove the copies (`sensorium data check`)",
    ),
    "dead units": Kind(
        signs.dead, 100, 10,
        "lower the learning rate, and use GELU in place of ReLU; units that are dead seldom come back: begin anew",
    ),
    "steps too large": Kind(
        signs.large_steps, 1, 1, "divide the learning rate (lr) by 10 or more, and begin anew: what was learned is lost"
    ),
    "exploding": Kind(
        signs.exploding, 5, 2, "divide the learning rate (lr) by 10 or more, use a warm-up, and clip the gradient's norm at 1"
    ),
    "vanishing gradient": Kind(
        signs.vanishing, 20, 3,
        "nothing reaches the parameters: use norms and residual paths in deep towers, and look for saturated activations or "
        "a loss that is scaled down",
    ),
    "starved": Kind(
        signs.starved, 20, 5,
        "reading is slower than learning: use more workers, smaller files (pictures of the size that is trained on), or a "
        "faster disk",
    ),
    "overfitting": Kind(
        signs.overfitting, 1, 5,
        "stop here and keep the best checkpoint; more data, augmentation or weight decay, or a smaller model go further",
    ),
}  # fmt: skip
