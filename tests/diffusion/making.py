"""Makes recorded/schedulers.npz with the schedulers of diffusers; run it where torch and diffusers are installed.

`python tests/diffusion/making.py`: the tests themselves need neither. What is denoised is f32[2 3], and the "network" says that
the data are tanh(1.5·x_t): it is no straight line, and knows no time.
"""

from pathlib import Path
from typing import Any

import diffusers  # pyright: ignore[reportMissingImports]
import numpy as np
import torch  # pyright: ignore[reportMissingImports]

FILE = Path(__file__).parent / "recorded" / "schedulers.npz"
SCALED = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
LINEAR = {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02}
STEPS = 8


def denoised(x: torch.Tensor) -> torch.Tensor:
    return torch.tanh(1.5 * x)


def discrete(scheduler: Any, x: torch.Tensor, **more: Any) -> dict[str, np.ndarray]:
    """A scheduler of a table of betas, asked for the data themselves."""
    scheduler.set_timesteps(STEPS)
    steps = scheduler.timesteps.numpy()
    for k in scheduler.timesteps:
        x = scheduler.step(denoised(x), k, x, **more).prev_sample
    return {"steps": steps, "end": x.numpy()}


def euler(scheduler: Any, x: torch.Tensor) -> dict[str, np.ndarray]:
    """In x / alpha, by the noise; `x` is at the noisiest level, as x_t."""
    scheduler.set_timesteps(STEPS)
    levels = scheduler.sigmas
    x = x * torch.sqrt(1 + levels[0] ** 2)
    for i, k in enumerate(scheduler.timesteps):
        seen = scheduler.scale_model_input(x, k)
        x = scheduler.step((x - denoised(seen)) / levels[i], k, x).prev_sample
    return {"levels": levels.numpy(), "end": x.numpy()}


def flow(scheduler: Any, x: torch.Tensor) -> dict[str, np.ndarray]:
    """By the velocity; one that evaluates twice a step has each time twice."""
    scheduler.set_timesteps(STEPS)
    times = scheduler.sigmas.numpy()
    for i, k in enumerate(scheduler.timesteps):
        x = scheduler.step((x - denoised(x)) / scheduler.sigmas[i], k, x).prev_sample
    return {"times": times, "end": x.numpy()}


def main() -> None:
    torch.manual_seed(0)
    x, noise = torch.randn(2, 3), torch.randn(2, 3)
    k = torch.tensor([0, 1, 17, 500, 998, 999])
    found: dict[str, Any] = {"x": x, "noise": noise, "k": k}
    for name, betas in (("linear", LINEAR), ("scaled_linear", SCALED)):
        ddpm = diffusers.DDPMScheduler(**betas)
        found[f"add/{name}"] = torch.stack([ddpm.add_noise(x, noise, one) for one in k])
        found[f"velocity/{name}"] = torch.stack([ddpm.get_velocity(x, noise, one) for one in k])
    sample = {"prediction_type": "sample", "clip_sample": False}
    ddim = diffusers.DDIMScheduler(**SCALED, **sample, set_alpha_to_one=False, steps_offset=1)
    runs = {"ddim": discrete(ddim, x), "ddim_noisy": discrete(ddim, x, eta=0.7, variance_noise=noise)}
    dpm = {
        **LINEAR,
        "prediction_type": "sample",
        "solver_order": 2,
        "algorithm_type": "dpmsolver++",
        "timestep_spacing": "trailing",
    }
    runs["dpm"] = discrete(diffusers.DPMSolverMultistepScheduler(**dpm), x)
    runs["euler"] = euler(diffusers.EulerDiscreteScheduler(**LINEAR, timestep_spacing="linspace", use_karras_sigmas=True), x)
    runs["flow_euler"] = flow(diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0), x)
    runs["flow_heun"] = flow(diffusers.FlowMatchHeunDiscreteScheduler(shift=1.0), x)
    found |= {f"{run}/{name}": values for run, made in runs.items() for name, values in made.items()}
    arrays: dict[str, Any] = {name: np.asarray(values) for name, values in found.items()}
    np.savez_compressed(FILE, **arrays)
    print({name: values.shape for name, values in arrays.items()}, FILE.stat().st_size, "bytes")
    for name in ("ddim/steps", "dpm/steps", "euler/levels", "flow_euler/times", "flow_heun/times"):
        print(name, arrays[name])


if __name__ == "__main__":
    main()
