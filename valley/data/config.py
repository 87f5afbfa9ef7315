"""Settings of the data: which source, and so what students are asked and what they learn from."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from valley.data.sources.config import PackagesConfig as PackagesConfig
from valley.data.sources.config import TinyConfig as TinyConfig
from valley.data.sources.corpus_config import CorpusConfig as CorpusConfig
from valley.data.sources.jsonl_config import JsonlConfig as JsonlConfig

DataConfig = Annotated[
    TinyConfig | PackagesConfig | JsonlConfig | CorpusConfig, Field(discriminator="source")
]
