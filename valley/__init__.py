"""valley: distillation sweeps that measure the valley of code reasoning."""

__version__ = "0.1.0"
