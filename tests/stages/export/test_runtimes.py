"""Exported files in use."""

from __future__ import annotations

import ctypes
import sys

import numpy as np
import pytest

from goodsam.stages.export.runtime_files import export_graph
from goodsam.stages.export.runtimes import opened
from goodsam.stages.segformer.segmenter import Segmenter


class SignalStack(ctypes.Structure):
    """`stack_t`: where a thread takes its signals."""

    _fields_ = (("place", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def signal_stack() -> tuple[int | None, int, int]:
    """Of this thread."""
    stack = SignalStack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack))
    return stack.place, stack.flags, stack.size


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux says")
def test_openvino_leaves_the_stack_for_signals_alone(photographs, tmp_path):
    """Its own is too small where registers are large: the next Ctrl-C would be a crash."""
    student = Segmenter.load("street-student", device="cpu")
    before = signal_stack()
    export_graph(student, tmp_path / "a", photographs, format="openvino", force=True)
    labels = opened(tmp_path / "a")  # held: without it the stack is given back
    assert labels(np.zeros((2, 64, 96, 3), np.uint8)).shape == (2, 64, 96)
    assert signal_stack() == before
