"""How PyTorch traces a network that is quantized or written to a file."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch.fx import config


@contextmanager
def without_stack_traces() -> Iterator[None]:
    """Trace without noting where in Python each operator was called: a tenth of an export's time, read by nobody."""
    before = config.do_not_emit_stack_traces
    config.do_not_emit_stack_traces = True
    try:
        yield
    finally:
        config.do_not_emit_stack_traces = before
