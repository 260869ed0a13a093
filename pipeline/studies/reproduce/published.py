"""What was published, to set our rows beside: each row with where it is printed.

Percent; parameters in millions, as printed. DensePASS of Table 1: mIoU and IoU of the 19 classes in
the order of their train ids. Where a row's classes do not average to its mIoU, that is how it is
printed. A row that was read only where others print it says so in its source.
"""

from __future__ import annotations

from dataclasses import dataclass

from goodsam.data.classes import CITYSCAPES

TABLE_1, TABLE_2 = "GoodSAM (CVPR 2024), Table 1", "GoodSAM (CVPR 2024), Table 2"
DAPASS = "DAPASS (arXiv 2603.25131)"
OMNISAM = "OmniSAM (arXiv 2503.07098)"
DTA4PASS = "DTA4PASS (arXiv 2408.16469)"
PANOSAMIC = "PanoSAMic (arXiv 2601.07447)"
TRANS4PASS = "github.com/jamycheung/Trans4PASS"
SECOND_HAND = "second-hand, not read where it was first printed"


@dataclass(frozen=True)
class Published:
    """A printed row. backbone and per_class are empty where the table has none.

    source: where it is printed. source_free: adapted without source images; None for a method that
    does not adapt. sam_at_test: a SAM works when the method is used. trained: how, where it is not
    adaptation without labels of the target.
    """

    method: str
    miou: float
    parameters: float | None = None
    backbone: str = ""
    iou: tuple[float, ...] = ()
    source: str = ""
    source_free: bool | None = None
    sam_at_test: bool = False
    trained: str = ""

    @property
    def title(self) -> str:
        """The method, and what has to be known beside its number."""
        return ", ".join(filter(None, (self.method, self.backbone, self.trained)))

    @property
    def per_class(self) -> dict[str, float]:
        """IoU by class name."""
        return dict(zip(CITYSCAPES, self.iou, strict=True)) if self.iou else {}


SUPERVISED, SOURCE_ONLY = "supervised on panoramas", "source only"

# fmt: off
GOODSAM_TABLE_1 = (
    Published("ERFNet", 16.65, None, source=TABLE_1, iou=(
        63.59, 18.22, 47.01, 9.45, 12.79, 17.00, 8.12, 6.41, 34.24, 10.15,
        18.43, 4.96, 2.31, 46.03, 3.19, 0.59, 0.00, 8.30, 5.55,
    )),
    Published("PASS", 23.66, None, source=TABLE_1, iou=(
        67.84, 28.75, 59.69, 19.96, 29.41, 8.26, 4.54, 8.07, 64.96, 13.75,
        33.50, 12.87, 3.17, 48.26, 2.17, 0.82, 0.29, 23.76, 19.46,
    )),
    Published("Omni-sup", 43.02, None, source=TABLE_1, iou=(
        81.60, 19.46, 81.00, 32.02, 39.47, 25.54, 3.85, 17.38, 79.01, 39.75,
        94.60, 46.39, 12.98, 81.96, 49.25, 28.29, 0.00, 55.36, 29.47,
    )),
    Published("P2PDA", 41.99, None, source=TABLE_1, source_free=False, iou=(
        70.21, 30.24, 78.44, 26.72, 28.44, 14.02, 11.67, 5.79, 68.54, 38.20,
        85.97, 28.14, 0.00, 70.36, 60.49, 38.90, 77.80, 39.85, 24.02,
    )),
    Published("PCS", 53.83, 25.56, source=TABLE_1, source_free=False, iou=(
        78.10, 46.24, 86.24, 30.33, 45.78, 34.04, 22.74, 13.00, 79.98, 33.07,
        93.44, 47.69, 22.53, 79.20, 61.59, 67.09, 83.26, 58.68, 39.80,
    )),
    Published("Trans4PASS-T", 53.18, 13.95, source=TABLE_1, source_free=False, iou=(
        78.13, 41.19, 85.93, 29.88, 37.02, 32.54, 21.59, 18.94, 78.67, 45.20,
        93.88, 48.54, 16.91, 79.58, 65.33, 55.76, 84.63, 59.05, 37.61,
    )),
    Published("Trans4PASS-S", 55.22, 24.98, source=TABLE_1, source_free=False, iou=(
        78.38, 41.58, 86.48, 31.54, 45.54, 33.92, 22.96, 18.27, 79.40, 41.07,
        93.82, 48.85, 23.36, 81.02, 67.31, 69.53, 86.13, 60.85, 39.09,
    )),
    Published("DPPASS-T", 55.30, 14.0, source=TABLE_1, source_free=False, iou=(
        78.74, 46.29, 87.47, 48.62, 40.47, 35.38, 24.97, 17.39, 79.23, 40.85,
        93.49, 52.09, 29.40, 79.19, 58.73, 47.24, 86.48, 66.60, 38.11,
    )),
    Published("DPPASS-S", 56.28, 25.4, source=TABLE_1, source_free=False, iou=(
        78.99, 48.14, 87.63, 42.12, 44.85, 34.95, 27.38, 19.21, 78.55, 43.08,
        92.83, 55.99, 29.10, 80.95, 61.42, 55.68, 79.70, 70.42, 38.40,
    )),
    Published("DATR-M", 52.90, 4.64, source=TABLE_1, source_free=False, iou=(
        78.71, 48.43, 86.92, 34.92, 43.90, 33.43, 22.39, 17.15, 78.55, 28.38,
        93.72, 52.08, 13.24, 77.92, 56.73, 59.53, 93.98, 51.52, 34.06,
    )),
    Published("DATR-T", 54.60, 14.72, source=TABLE_1, source_free=False, iou=(
        79.43, 49.70, 87.39, 37.91, 44.85, 35.06, 25.16, 19.33, 78.73, 25.75,
        93.60, 53.52, 20.20, 78.07, 60.43, 55.82, 91.11, 67.03, 34.32,
    )),
    Published("DATR-S", 56.81, 25.76, source=TABLE_1, source_free=False, iou=(
        80.63, 51.77, 87.80, 44.94, 43.73, 37.23, 25.66, 21.00, 78.61, 26.68,
        93.77, 54.62, 29.50, 80.03, 67.35, 63.75, 87.67, 67.57, 37.10,
    )),
    Published("GoodSAM-M", 55.93, 3.7, source=TABLE_1, source_free=True, iou=(
        79.57, 51.04, 86.24, 43.42, 44.86, 30.92, 26.60, 20.62, 77.79, 25.43,
        92.99, 53.77, 25.84, 82.01, 70.94, 62.29, 91.93, 58.24, 38.25,
    )),
    Published("GoodSAM-T", 58.21, 14.0, source=TABLE_1, source_free=True, iou=(
        80.06, 53.29, 89.75, 44.91, 46.98, 31.13, 27.81, 19.83, 79.58, 25.72,
        93.81, 55.44, 26.99, 84.54, 73.07, 68.41, 93.99, 67.36, 43.39,
    )),
    Published("GoodSAM-S", 60.56, 25.4, source=TABLE_1, source_free=True, iou=(
        80.98, 52.96, 93.22, 48.17, 51.28, 33.51, 28.09, 20.15, 81.64, 30.97,
        95.21, 55.13, 29.01, 87.89, 75.28, 69.37, 94.98, 73.28, 49.64,
    )),
)
# fmt: on

DENSEPASS = (
    Published("Trans4PASS-T", 45.89, source=TRANS4PASS, trained=SOURCE_ONLY),
    Published("Trans4PASS-S", 51.38, source=TRANS4PASS, trained=SOURCE_ONLY),
    Published("Trans4PASS+-T", 50.23, source=TRANS4PASS, trained=SOURCE_ONLY),
    Published("Trans4PASS+-S", 51.41, source=TRANS4PASS, trained=SOURCE_ONLY),
    *GOODSAM_TABLE_1,
    Published("360SFUDA++", 50.19, None, "B1", source=DAPASS, source_free=True),
    Published("360SFUDA++", 52.99, None, "B2", source=DAPASS, source_free=True),
    Published("DAPASS", 53.16, None, "B1", source=DAPASS, source_free=True),
    Published("DAPASS", 55.04, None, "B2", source=DAPASS, source_free=True),
)
"""19 classes, Cityscapes to DensePASS."""

DENSEPASS_13 = (
    Published("Trans4PASS-T", 49.21, source=TRANS4PASS, trained=SOURCE_ONLY),
    Published("Trans4PASS-S", 50.96, source=TRANS4PASS, trained=SOURCE_ONLY),
    Published("Trans4PASS+-T", 49.16, source=TRANS4PASS, trained=SOURCE_ONLY),
    Published("Trans4PASS+-S", 51.40, source=TRANS4PASS, trained=SOURCE_ONLY),
    Published("DTA4PASS", 57.16, source=DTA4PASS, source_free=False),
    *(
        Published("OmniSAM", miou, None, size, source=OMNISAM, source_free=False, sam_at_test=True)
        for size, miou in (("T", 59.01), ("S", 60.23), ("B", 62.46), ("L", 61.63))
    ),
)
"""13 classes: another benchmark than that of 19."""

WILDPASS = (
    Published("SegFormer-B1", 47.90, source=TABLE_2, trained=SOURCE_ONLY),
    Published("Trans4PASS-T", 54.67, None, "SegFormer-B1", source=TABLE_2, source_free=False),
    Published("Trans4PASS-S", 62.91, None, "SegFormer-B2", source=TABLE_2, source_free=False),
    Published("DPPASS-T", 60.38, None, "SegFormer-B1", source=TABLE_2, source_free=False),
    Published("DPPASS-S", 63.53, None, "SegFormer-B2", source=TABLE_2, source_free=False),
    Published("GoodSAM-M", 58.65, None, "SegFormer-B0", source=TABLE_2, source_free=True),
    Published("GoodSAM-T", 62.42, None, "SegFormer-B1", source=TABLE_2, source_free=True),
    Published("GoodSAM-S", 65.18, None, "SegFormer-B2", source=TABLE_2, source_free=True),
)
"""Table 2, but for the row of the source-only SegFormer-B2, which is missing from our copy."""

SYNPASS = (
    Published("Trans4PASS-T", 38.53, source=TRANS4PASS, trained=SUPERVISED),
    Published("Trans4PASS-S", 38.57, source=TRANS4PASS, trained=SUPERVISED),
    Published("Trans4PASS+-T", 38.85, source=TRANS4PASS, trained=SUPERVISED),
    Published("Trans4PASS+-S", 39.16, source=TRANS4PASS, trained=SUPERVISED),
)
"""22 classes, its test set in all weathers."""

STANFORD_8 = (
    Published("Trans4PASS-T", 58.93, source=TRANS4PASS, trained=SOURCE_ONLY),
    Published("Trans4PASS-S", 62.39, source=TRANS4PASS, trained=SOURCE_ONLY),
    Published("Trans4PASS+-T", 59.55, source=TRANS4PASS, trained=SOURCE_ONLY),
    Published("Trans4PASS+-S", 63.08, source=TRANS4PASS, trained=SOURCE_ONLY),
    Published("360SFUDA++", 66.54, None, "B1", source=DAPASS, source_free=True),
    Published("360SFUDA++", 68.84, None, "B2", source=DAPASS, source_free=True),
    Published("DAPASS", 69.56, None, "B1", source=DAPASS, source_free=True),
    Published("DAPASS", 70.38, None, "B2", source=DAPASS, source_free=True),
    Published("DTA4PASS", 70.29, source=DTA4PASS, source_free=False),
    *(
        Published("OmniSAM", miou, None, size, source=OMNISAM, source_free=False, sam_at_test=True)
        for size, miou in (("T", 69.10), ("S", 70.81), ("B", 74.72), ("L", 79.06))
    ),
)
"""8 classes, pinhole images to panoramas of Stanford2D3D."""

STANFORD_13 = (
    Published("Trans4PASS-T", 46.08, source=TRANS4PASS, trained="pinhole images only"),
    Published("Trans4PASS-S", 48.34, source=TRANS4PASS, trained="pinhole images only"),
    Published("Trans4PASS+-T", 46.75, source=TRANS4PASS, trained="pinhole images only"),
    Published("Trans4PASS+-S", 50.35, source=TRANS4PASS, trained="pinhole images only"),
    Published("Trans4PASS+-S", 54.00, source=TRANS4PASS, trained=f"{SUPERVISED}, three folds"),
    Published("Trans4PASS+", 52.04, source=SECOND_HAND, trained=f"{SUPERVISED}, three folds"),
    Published(
        "PanoSAMic", 59.62, source=PANOSAMIC, sam_at_test=True, trained=f"{SUPERVISED}, three folds"
    ),
    Published(
        "SAM 3 by text", 52.05, 850, source=SECOND_HAND, sam_at_test=True, trained="zero-shot"
    ),
)
"""13 classes of Stanford2D3D's panoramas."""
