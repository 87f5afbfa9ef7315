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


AT_ONCE = """
import json, os, sys, time
from multiprocessing import get_context
from pathlib import Path
from deepspeed.ops.op_builder import CPUAdamBuilder
from valley.train import operators

def compiled(self, verbose):
    time.sleep(0.5)
    claim, = Path(sys.argv[1]).glob("*.claim")
    assert json.loads(claim.read_text())["beat"] > 1
    folder = Path(os.environ["TORCH_EXTENSIONS_DIR"], self.name)
    folder.mkdir()
    (folder / f"{self.name}.so").write_text(f"by {os.getpid()}")
    self._loaded_ops[self.name] = f"by {os.getpid()}"

def element(start, said):
    start.wait()
    operators.load_cpu_adam(Path(sys.argv[1]))
    said.put(CPUAdamBuilder._loaded_ops["cpu_adam"])

CPUAdamBuilder.load = compiled
operators.BEAT_S = 0.1
operators._module = lambda name, library: library.read_text()
fork = get_context("fork")
start, said = fork.Barrier(6), fork.SimpleQueue()
for _ in range(6):
    fork.Process(target=element, args=(start, said)).start()
print(*sorted(said.get() for _ in range(6)), sep="\\n")
"""


def begun(cache, steps=STEPS, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", steps, str(cache)],
        env={**os.environ, "DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_of_six_elements_that_start_at_once_one_compiles(spaced):
    """With half a second in place of the compiler, which shows life; the library says who made it."""
    cache = spaced / "cache" / "operators"
    said = begun(cache, AT_ONCE).communicate(timeout=120)[0].splitlines()
    makers = [line for line in said if line.startswith("by ")]
    assert len(makers) == 6 and len(set(makers)) == 1, said
    assert [path.suffix for path in cache.iterdir()] == [".so"]


@pytest.mark.slow
def test_of_all_processes_one_compiles_and_the_others_need_no_compiler(spaced):
    """It takes a minute or more. Who comes later has an empty PATH."""
    cache = spaced / "cache" / "operators"
    both = [begun(cache) for _ in range(2)]
    said = [process.communicate(timeout=1800)[0] for process in both]
    said.append(begun(cache, PATH=str(spaced)).communicate(timeout=120)[0])
    assert sum("compiled" in each for each in said) == 1
    assert all("stepped to 0.5" in each for each in said), said
    assert [path.suffix for path in cache.iterdir()] == [".so"]
