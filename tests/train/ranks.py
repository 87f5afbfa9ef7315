"""One rank of a training, for tests: `python ranks.py TASK.json`, started once per rank.

TASK: {"start", "target", "documents": [[tokens, prompt_tokens]…], "configs": {name: TrainConfig},
"steps", "folder"}. Every config is trained in turn in one process; the log of each lies in folder/name.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from valley.cluster.rendezvous import join_process_group, leave_process_group, place
from valley.data.render import Document
from valley.train.config import TrainConfig
from valley.train.loop import train


def main() -> None:
    torch.set_num_threads(1)
    task = json.loads(Path(sys.argv[1]).read_text())
    documents = [Document(tokens, prompt) for tokens, prompt in task["documents"]]
    folder = Path(task["folder"])
    join_process_group(place())
    for name, config in task["configs"].items():
        train(
            documents,
            Path(task["start"]),
            folder / f"model {name}",
            TrainConfig.model_validate(config),
            steps=task["steps"],
            seed=3,
            log=folder / f"{name}.jsonl",
        )
    leave_process_group()


if __name__ == "__main__":
    main()
