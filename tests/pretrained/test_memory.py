"""A checkpoint goes into memory once: what loading takes at its peak, by the kernel's count."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from pretrained.test_families import RECORDED

from sensorium.pretrained.clip import names
from sensorium.pretrained.family import FAMILIES
from sensorium.pretrained.folder import published
from sensorium.pretrained.tensors import write
from sensorium.training import Card

MOST = 1.2
"""Of the file, or of what is made of it where that is larger."""
LOADING = """
import json, sys, jax, sensorium
from pathlib import Path

def memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

sensorium.load(sys.argv[1])  # whatever is imported and kept for good
out, kept = [], []
for folder, dtype in (("f32", "float32"), ("f32", "bfloat16"), ("f16", "float32")):
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
    before = memory("VmRSS")
    model = sensorium.load(f"{sys.argv[2]}/{folder}", dtype=dtype)
    jax.block_until_ready(model.parameters())
    out.append(memory("VmHWM") - before)
    kept.append(model)  # or its memory would be there for the next one
print(json.dumps(out))
"""


def made(root: Path) -> int:
    """A CLIP of some 17 million parameters as f32/ and f16/; the bytes of the first one's weights."""
    folder = root / "f32"
    shutil.copytree(RECORDED / "clip", folder, ignore=shutil.ignore_patterns("*.safetensors", "*.npz"))
    config = json.loads((folder / "config.json").read_text())
    for part in ("vision_config", "text_config"):
        config[part] |= {"hidden_size": 480, "intermediate_size": 1920, "num_attention_heads": 8, "num_hidden_layers": 3}
    (folder / "config.json").write_text(json.dumps(config))
    shutil.copytree(folder, root / "f16")
    described = published(folder)
    assert described is not None
    arguments = FAMILIES["clip"].describe(described).arguments
    found = {}
    for path, variable in nnx.to_flat_state(nnx.state(Card("space", arguments).shapes())):
        named = names(arguments).theirs(".".join(map(str, path)))
        assert named is not None
        found[named[0]] = named[1].write(np.zeros(variable.get_value().shape, np.float32)) + np.float32(len(found))
    write(folder / "model.safetensors", found)
    write(root / "f16" / "model.safetensors", {name: x.astype(np.float16) for name, x in found.items()})
    return sum(x.nbytes for x in found.values())


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux counts the memory")
def test_loading_takes_little_more_memory_than_the_file(tmp_path, user_env):
    size = made(tmp_path)
    assert size > 60e6
    line = [sys.executable, "-c", LOADING, str(RECORDED / "clip"), str(tmp_path)]
    done = subprocess.run(line, env=user_env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    peaks = json.loads(done.stdout)
    shares = [peak / size for peak in peaks]
    assert max(shares) < MOST, shares
    assert min(shares) > 0.3, f"the kernel counts something else: {shares}"
