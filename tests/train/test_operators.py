from __future__ import annotations

import os
import subprocess
import sys

import pytest

STEPS = """
import logging, sys
from pathlib import Path
import torch
from valley.train.operators import load_cpu_adam
logging.basicConfig(level=logging.INFO)
load_cpu_adam(Path(sys.argv[1]))
from deepspeed.ops.adam import DeepSpeedCPUAdam
weight = torch.nn.Parameter(torch.ones(8))
weight.grad = torch.ones(8)
DeepSpeedCPUAdam([weight], lr=0.5, weight_decay=0.0).step()
print("stepped to", round(weight[0].item(), 3))
"""


def begun(cache, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", STEPS, str(cache)],
        env={**os.environ, "DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_of_all_processes_one_compiles_and_the_others_need_no_compiler(spaced):
    """It takes a minute or more. Who comes later has an empty PATH."""
    cache = spaced / "cache" / "operators"
    both = [begun(cache) for _ in range(2)]
    said = [process.communicate(timeout=600)[0] for process in both]
    said.append(begun(cache, PATH=str(spaced)).communicate(timeout=120)[0])
    assert sum("compiled" in each for each in said) == 1
    assert all("stepped to 0.5" in each for each in said), said
    assert [path.suffix for path in cache.iterdir()] == [".so"]
