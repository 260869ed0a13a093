import subprocess
import sys

COUNT = """
import resource, sys
import numpy as np
from goodsam.stages.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
np.ones(2**23)  # 64 MiB
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(2**23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_freed_memory_is_not_faulted_in_again() -> None:
    faults = {
        word: int(subprocess.check_output([sys.executable, "-c", COUNT, word]))
        for word in ("keep", "leave")
    }
    assert faults["keep"] < faults["leave"] / 4 or faults["leave"] < 100  # pages may be huge ones
