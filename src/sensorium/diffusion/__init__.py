"""Diffusion as mathematics, without networks: schedules, corruption, times, samplers and guidance."""

from sensorium.diffusion.corruption import KINDS as KINDS
from sensorium.diffusion.corruption import Kind as Kind
from sensorium.diffusion.corruption import corrupt as corrupt
from sensorium.diffusion.guidance import check_guidance as check_guidance
from sensorium.diffusion.guidance import guided as guided
from sensorium.diffusion.samplers import SAMPLERS as SAMPLERS
from sensorium.diffusion.samplers import draw_noise as draw_noise
from sensorium.diffusion.samplers import in_parts as in_parts
from sensorium.diffusion.samplers import sample as sample
from sensorium.diffusion.schedules import SCHEDULES as SCHEDULES
from sensorium.diffusion.schedules import Betas as Betas
from sensorium.diffusion.schedules import Cosine as Cosine
from sensorium.diffusion.schedules import LinearBeta as LinearBeta
from sensorium.diffusion.schedules import Rectified as Rectified
from sensorium.diffusion.schedules import Schedule as Schedule
from sensorium.diffusion.times import DRAWS as DRAWS
from sensorium.diffusion.times import LogitNormal as LogitNormal
from sensorium.diffusion.times import Uniform as Uniform
from sensorium.diffusion.times import grid as grid
