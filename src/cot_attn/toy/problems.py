"""The problems of the toy models: data like others, made in `cot_attn.data.sets.toy`."""

from cot_attn.data.sets.toy import Operation, Skeleton, toy_problems

__all__ = ["Operation", "Skeleton", "toy_problems"]
