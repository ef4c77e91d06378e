"""The training doctor: what a step tells of itself, what that is a sign of, and what to do about it."""

from sensorium.monitor.judge import Finding as Finding
from sensorium.monitor.judge import Monitor as Monitor
