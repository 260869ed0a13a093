"""onnxruntime-web, which runs ONNX files in browsers: taken from npm, or from a place on this disk.

It is no part of this project. Which version, and which bytes, is fixed here: a page holds no other.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from goodsam.data.errors import InputError
from goodsam.data.files import regular

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
_SCRIPT, _MODULE, _WASM = (
    "ort.wasm.min.js",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
)
SHA512 = {  # in base64, as npm writes them
    _SCRIPT: (
        "EdzqfBPuk7yRLfzdepVd3By++Xa221II7g/GXPD8/GGHl5GcbzRAlA1ohdNQgheUP56IfsIA/v4gTagXeKk/Eg=="
    ),
    _MODULE: (
        "IboQh0Pwb+2CvUlaEljlBVLJWlFfGUCxCquU6kjywgW+qj9+DZtJYSU9pueGY4A4vT2W5rQ8Zt4CNNIDL8Kf1g=="
    ),
    _WASM: (
        "Gt7e1iIDIZ/PXEhM/OVleqWHVom0kEI/hs8cod0crXcV9jDGM39B23HuQnlOOgDOC3x4k5pxIgtdgzaL9up3MA=="
    ),
}
_MOST = 2**26  # bytes of a file; a stranger's tarball may claim more
_PATIENCE = 600  # seconds for 33 MB


@dataclass(frozen=True)
class BrowserRuntime:
    """What a page needs of it. script: for a worker; module: what that imports; wasm: its code."""

    script: bytes
    module: bytes
    wasm: bytes


def browser_runtime(source: Path | None = None) -> BrowserRuntime:
    """From a tarball or a folder of the npm package, or, without one, by `npm pack`.

    InputError where it is not there, is another version, or cannot be had.
    """
    if source is not None:
        return _from_folder(source) if source.is_dir() else _from_tarball(source)
    with TemporaryDirectory() as folder:
        return _from_tarball(_packed(Path(folder)))


def _packed(folder: Path) -> Path:
    what = f"{PACKAGE}@{VERSION}"
    remedy = f"fetch it elsewhere by `npm pack {what}` and give the file with --runtime"
    npm = shutil.which("npm")
    if npm is None:
        raise InputError(f"--format web needs {what}, and there is no npm here; {remedy}")
    try:
        subprocess.run(
            [npm, "pack", "--loglevel=error", what],
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
        )
    except (subprocess.SubprocessError, OSError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        reason = said[0] if said else "no reason given"
        raise InputError(f"npm cannot fetch {what} ({reason}); {remedy}") from error
    return next(folder.glob("*.tgz"))


def _from_folder(folder: Path) -> BrowserRuntime:
    """Of the package as it lies in `node_modules`, or of its `dist`."""
    place = folder / "dist" if (folder / "dist").is_dir() else folder

    def read(name: str) -> bytes:
        with regular(place / name).open("rb") as file:
            return file.read(_MOST)

    return _checked(folder, read)


def _from_tarball(path: Path) -> BrowserRuntime:
    try:
        with tarfile.open(regular(path)) as archive:

            def read(name: str) -> bytes:
                file = archive.extractfile(f"package/dist/{name}")
                if file is None:
                    raise KeyError(name)
                return file.read(_MOST)

            return _checked(path, read)
    except FileNotFoundError as error:
        raise InputError(f"{path}: not there; give a tarball or folder of {PACKAGE}") from error
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InputError(f"{path}: no tarball of {PACKAGE} ({error})") from error


def _checked(source: Path, read: Callable[[str], bytes]) -> BrowserRuntime:
    found = []
    for name, expected in SHA512.items():
        try:
            content = read(name)
        except (KeyError, FileNotFoundError) as error:
            raise InputError(f"{source}: no {name} in it; give {PACKAGE} {VERSION}") from error
        if base64.b64encode(hashlib.sha512(content).digest()).decode() != expected:
            raise InputError(f"{source}: its {name} is not that of {PACKAGE} {VERSION}; give that")
        found.append(content)
    return BrowserRuntime(*found)
