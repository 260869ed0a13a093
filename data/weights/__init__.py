"""The demo weights: small networks trained by us on the street world (`make weights`).

fp16 safetensors. They are for trying the commands and for measuring on the street world; they know
nothing of real streets.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
STREET_SAM = FOLDER / "sam.safetensors"

# what --teacher-assistant and --student take, besides directories and hub names
SEGFORMERS = {
    "street-ta": FOLDER / "teacher_assistant",
    "street-student": FOLDER / "student",
    "street-w8": FOLDER / "w8",
}
