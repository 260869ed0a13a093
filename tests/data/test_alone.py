"""One process at a time."""

import errno
import fcntl
import os
import signal
import time

import pytest

from goodsam.data.alone import MARK, alone
from goodsam.data.errors import InputError


def hold(folder, holding, ending):
    """Hold the folder, and tell so, until told to end."""
    with alone(folder):
        if os.fork() == 0:  # a worker of its own outlives it, as one does whose parent was killed
            time.sleep(10)
            os._exit(0)
        os.write(holding, b"!")
        os.read(ending, 1)
    os._exit(0)


@pytest.mark.parametrize("end", ["done", "killed"])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of Python 3.12 and newer
def test_one_process_at_a_time(tmp_path, end):
    out = tmp_path / "a/out"
    (held, holding), (ending, end_it) = os.pipe(), os.pipe()
    if (other := os.fork()) == 0:
        hold(out, holding, ending)
    os.read(held, 1)
    with pytest.raises(InputError, match="out: another process is writing into it"), alone(out):
        pass
    assert (out / MARK).exists()
    if end == "done":
        os.write(end_it, b"!")
    else:
        os.kill(other, signal.SIGKILL)
    os.waitpid(other, 0)
    with alone(out):
        pass
    assert list(out.iterdir()) == []


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / MARK).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=MARK), alone(tmp_path):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_where_there_are_no_locks_work_goes_on(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", none)
    with alone(tmp_path):
        (tmp_path / "a").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
