"""Distillation with DeepSpeed; knows nothing of plans and clusters."""
