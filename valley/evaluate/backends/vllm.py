"""vLLM: continuous batching, each request with its own seed and limit.

The engine is stepped here, so that answers come out as they are finished. It runs in this process (no
second one that could outlive it) and batches what is there, `batch_size` at most: what a request is
decoded beside depends on when others end, and so may its last digits. Prompts that begin alike, as those
of a problem's samples do, are computed once (prefix caching).

Nothing is left to vLLM's defaults that could change an answer: not `max_tokens`, which would be 16, nor
what a checkpoint's generation_config.json says.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from typing import Any

from valley.data.render import Document
from valley.evaluate.backends.base import Answer, Decoding
from valley.evaluate.backends.installed import check_installed
from valley.evaluate.profiles import BackendName
from valley.evaluate.requests import Request

DTYPES = {"fp32": "float32", "bf16": "bfloat16"}
ENVIRONMENT = {
    # In this process: scheduled alike in every run, and ended with it.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
    # An engine is reached from its own node alone.
    "VLLM_HOST_IP": "127.0.0.1",
    # GiB for keys and values, which a CPU's memory has no natural limit for.
    "VLLM_CPU_KVCACHE_SPACE": "2",
    # Else every engine of a machine would sit on the same cores.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}
"""What is set before vLLM is imported, where the environment does not say otherwise."""


class VllmBackend:
    """An engine in this process, over all GPUs that the job has."""

    name: BackendName = "vllm"
    batches_are_whole = False
    repeats = False

    def __init__(self, decoding: Decoding) -> None:
        self.version = check_installed(self.name)
        for variable, value in ENVIRONMENT.items():
            os.environ.setdefault(variable, value)
        import torch
        from vllm import LLM, SamplingParams
        from vllm.sampling_params import RequestOutputKind

        self._profile, self._ends = decoding.profile, decoding.ends
        self._params, self._final = SamplingParams, RequestOutputKind.FINAL_ONLY
        self.llm: Any = LLM(
            model=str(decoding.model_folder),
            dtype=DTYPES[decoding.precision],
            max_model_len=max(decoding.longest, 1),
            max_num_seqs=decoding.batch_size,
            tensor_parallel_size=max(1, torch.cuda.device_count()),
            generation_config="vllm",
            enable_prefix_caching=True,
            seed=0,
            # On a CPU compiling takes longer than it saves.
            enforce_eager=not torch.cuda.is_available(),
            disable_log_stats=True,
        )

    def answers(self, batches: list[list[Request]]) -> Iterator[list[Answer]]:
        """Give the engine all requests, and yield answers as they are finished."""
        engine, waiting = self.llm.llm_engine, {}
        for number, request in enumerate(request for batch in batches for request in batch):
            waiting[str(number)] = request
            prompt = {"prompt_token_ids": request.prompt}
            engine.add_request(str(number), prompt, self.sampling(request))
        for outputs in self._finished(waiting):
            yield [
                Answer(waiting.pop(output.request_id), list(output.outputs[0].token_ids))
                for output in outputs
            ]

    def _finished(self, waiting: Collection[str]) -> Iterator[list[Any]]:
        """Step the engine, and yield what is finished, until nothing is waiting.

        Args:
            waiting: the requests that are not finished; who takes a finished one removes it there.
        """
        engine, asked = self.llm.llm_engine, len(waiting)
        while waiting:
            if not engine.has_unfinished_requests():
                raise RuntimeError(
                    f"vLLM has nothing left to do, and {len(waiting)} of {asked} requests have no answer"
                )
            outputs = [output for output in engine.step() if output.finished]
            for output in outputs:
                # An aborted answer is none; counted as one, it would be taken for a short one.
                if (reason := output.outputs[0].finish_reason) not in ("stop", "length"):
                    raise RuntimeError(f"vLLM ended request {output.request_id} as {reason}")
            if outputs:
                yield outputs

    def surprise(self, documents: list[Document]) -> list[float]:
        """What vLLM says of a prompt's own tokens; it makes a token more, which nobody reads."""
        said: list[Any] = [None] * len(documents)
        asked = self._params(
            n=1, temperature=0.0, max_tokens=1, prompt_logprobs=0, ignore_eos=True, detokenize=False
        )
        waiting = {f"held-out-{number}": number for number in range(len(documents))}
        for name, number in waiting.items():
            prompt = {"prompt_token_ids": list(documents[number].tokens)}
            self.llm.llm_engine.add_request(name, prompt, asked)
        for outputs in self._finished(waiting):
            for output in outputs:
                said[waiting.pop(output.request_id)] = output.prompt_logprobs
        return list(map(_surprise, documents, said))

    def sampling(self, request: Request) -> Any:
        """What vLLM is told of a request, with nothing left to its defaults that changes an answer."""
        return self._params(
            n=1,
            temperature=self._profile.temperature,
            top_p=self._profile.top_p,
            seed=request.seed,
            max_tokens=request.max_tokens,
            stop_token_ids=self._ends,
            ignore_eos=True,  # of the engine's own choice; `stop_token_ids` are the checkpoint's
            detokenize=False,
            # Else every token of every request comes with all those before it, which nobody reads.
            output_kind=self._final,
        )


def _surprise(document: Document, said: Any) -> float:
    """The sum over a response, of what vLLM said of each token of a prompt: by id, and None of the first."""
    tokens = [int(token) for token in document.tokens]
    return -sum(said[i][tokens[i]].logprob for i in range(document.prompt_tokens, len(tokens)))
