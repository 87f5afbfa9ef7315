from __future__ import annotations

import pytest
import torch

from valley.errors import UserError
from valley.train.config import TrainConfig
from valley.train.kernels import uses_liger

needs_none = pytest.mark.skipif(torch.cuda.is_available(), reason="what is chosen on a CPU")


@needs_none
def test_without_a_gpu_torch_computes():
    assert not uses_liger(TrainConfig(), "qwen2")
    assert not uses_liger(TrainConfig(kernels="torch"), "qwen2")
    with pytest.raises(UserError, match=r"train\.kernels: liger needs a GPU.*auto or torch"):
        uses_liger(TrainConfig(kernels="liger"), "qwen2")
