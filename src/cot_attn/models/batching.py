"""Work in batches that become smaller when memory runs out."""

from collections.abc import Callable, Sequence
from math import ceil
from typing import TypeVar

import torch

Item = TypeVar("Item")


def check_sizes(batch_size: int | None, max_new_tokens: int) -> None:
    """Raise where a batch would have no row, or an answer no token."""
    if (batch_size is not None and batch_size < 1) or max_new_tokens < 1:
        raise ValueError(
            f"batch_size is {batch_size} and max_new_tokens {max_new_tokens}; give at least 1."
        )


class Batches:
    """Work in batches that halve when memory runs out, and stay so.

    Parameters
    ----------
    size
        The number of rows to begin with.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def work(
        self, items: Sequence[Item], job: Callable[[Sequence[Item]], None], rows_each: int = 1
    ) -> None:
        """Call a job with all items, batch by batch of about equal size.

        A job that ran out of memory is called again with half of its items. An item counts as
        `rows_each` rows.
        """
        done = 0
        while done < len(items):
            left, size = len(items) - done, max(1, self.size // rows_each)
            batch = items[done : done + ceil(left / ceil(left / size))]
            try:
                job(batch)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not _out_of_memory(error) or len(batch) == 1:
                    raise
                self.size = len(batch) // 2 * rows_each
            else:
                done += len(batch)
                continue
            # Here the failed batch's tensors are no longer held by the error's traceback.
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def _out_of_memory(error: BaseException) -> bool:
    # On the CPU PyTorch raises a plain RuntimeError.
    return not isinstance(error, RuntimeError) or (
        isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error)
    )
