"""Reading what wandb writes offline."""

import struct
import time
from collections.abc import Iterator
from pathlib import Path

from wandb.proto import wandb_internal_pb2

BLOCK, FULL, LAST = 32768, 1, 4


def records(folder: Path) -> list[wandb_internal_pb2.Record]:
    """Return the records of a finished offline run, once its writer, a process of its own, has written the last."""
    for _ in range(100):
        found = list(_parsed(folder))
        if any(record.WhichOneof("record_type") == "exit" for record in found):
            return found
        time.sleep(0.2)
    raise AssertionError(f"{folder} has no exit record after 20 s")


def _parsed(folder: Path) -> Iterator[wandb_internal_pb2.Record]:
    """Parse a run file with wandb's own message types; its frames are LevelDB's log format after a 7-byte header."""
    data = next(folder.glob("*.wandb")).read_bytes()
    assert data[:4] == b":W&B"
    place, parts = 7, b""
    while place + 7 <= len(data):
        left = BLOCK - place % BLOCK
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if place > len(data):  # the writer is in the middle of this one
            return
        if kind in (FULL, LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            yield record
            parts = b""
