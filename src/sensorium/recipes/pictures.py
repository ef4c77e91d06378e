"""Pictures of the built-in world painted by what is said of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sensorium.core.trainer import BadDial, Trainer
from sensorium.modalities import Image
from sensorium.models import PictureVAE
from sensorium.recipes.latent import in_latents
from sensorium.recipes.makers import DRAWN, FORMED, LAYOUTS, PAINTED, SKETCHED, denoiser, layouts, making, slots
from sensorium.sensorium import load
from sensorium.training import Experiment

STRIDE = 8
"""Noise on every eighth row: with it on every fourth they are no better, and take a tenth longer."""


def pictures(
    *,
    steps: int = 900,
    batch: int = 96,
    lr: float = 2e-3,
    side: int = 32,
    most: int = 2,
    width: int = 256,
    depth: int = 3,
    latent: str | None = None,
    seed: int = 0,
    trainer: Trainer | None = None,
) -> Experiment:
    """Learn to paint scenes of the built-in world from what is said of them.

    Args:
        steps: Updates of the parameters.
        batch: Scenes a step.
        lr: The highest learning rate.
        side: Of the pictures that are painted, in pixels: 32 or 64. In latents it is always 64.
        most: Of how many objects the scenes are, at most.
        width: Of the network.
        depth: Its layers.
        latent: A run of the recipe `latent`: pictures are painted as its small grids, at the price of small pictures.
        seed: Of the parameters and of the scenes.
        trainer: How the steps are taken, watched and kept.
    """
    arguments = {name: value for name, value in locals().items() if name != "trainer"}
    painted = Image(size=64)
    planned: dict[str, Any] = {"outline": 1.0, "told": layouts(most), "plans": LAYOUTS}
    if latent is None:
        decoder = painter(painted, side, width, depth, slots([side] * 2, most)) | {"drawn": DRAWN}
        return making("pictures", arguments, painted, decoder, trainer, **planned)
    trained = load(Path(latent))
    if not isinstance(trained.model, PictureVAE):
        raise BadDial(f"latent={latent}: expected a run of the recipe latent: sensorium learn latent --out runs/latent")
    form = dict(trained.card.arguments["vae"])
    cells = [painted.size // form["factor"]] * 2
    sketch = slots(cells, most)
    painted_by = denoiser(
        {"form": "latent", **form}, cells, form["latent"], [cells[0] // 4] * 2, width, depth, sketch, apart=True
    )
    painted_by |= SKETCHED | {"middle": 0.0, "scale": 3.0, "floor": 0.4, "stride": STRIDE}
    return in_latents(making("pictures", arguments, painted, painted_by, trainer, **planned), trained, latent)


def painter(
    painted: Image, side: int = 32, width: int = 256, depth: int = 3, sketch: Mapping[str, Any] = FORMED
) -> dict[str, Any]:
    """The arguments of a `Denoiser` of pictures of this side, but for the widths of what it is told."""
    form, patch = {"form": "pixels", "every": [painted.size // side] * 2}, [side // 4] * 2
    painted_by = denoiser(form, [side] * 2, 3, patch, width, depth, sketch, apart=True)
    return painted_by | PAINTED | SKETCHED | {"stride": STRIDE}
