"""A Python as users have it: no annotation is checked there, and so the library speaks first."""

import contextlib
import io
from multiprocessing.connection import Connection

from cot_attn.sweeps.executors import beginning


def printed(code: str) -> str:
    """Run code in a process of its own, which has imported the library; return what it prints."""
    receiving, sending = beginning().Pipe(duplex=False)
    process = beginning().Process(target=_run, args=(code, sending))  # type: ignore[attr-defined]
    process.start()
    sending.close()
    try:
        text: str = receiving.recv()  # where the code raises, there is nothing
    finally:
        process.join()
    return text


def _run(code: str, sending: Connection) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(code, {"__name__": "__main__"})
    sending.send(said.getvalue())
