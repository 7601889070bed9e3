"""Hooks that are set aside while a library runs a model on its own account."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from transformer_lens.hook_points import HookPoint


@contextmanager
def set_aside(points: Iterable[HookPoint]) -> Iterator[None]:
    """Take every hook off hook points for as long as the context lasts, and put all back.

    They come back in their order, before any hook that was added in the meantime and stayed.
    """
    # A point is in several lists: PyTorch's, which run its hooks, and TransformerLens' own, by
    # which it finds and removes them. Each is kept as an object, because handles refer to it.
    kept = []
    for point in points:
        tables = (point._forward_hooks, point._forward_pre_hooks, point._backward_hooks)
        lists = (point.fwd_hooks, point.bwd_hooks)
        if any(tables) or any(lists):
            kept.append((point, [dict(each) for each in tables], [list(each) for each in lists]))
            for each in (*tables, *lists):
                each.clear()
    try:
        yield
    finally:
        for point, own_tables, own_lists in kept:
            tables = (point._forward_hooks, point._forward_pre_hooks, point._backward_hooks)
            for table, hooks in zip(tables, own_tables, strict=True):
                added = dict(table)
                table.clear()
                table.update({**hooks, **added})
            for handles, own in zip((point.fwd_hooks, point.bwd_hooks), own_lists, strict=True):
                handles[:0] = own
