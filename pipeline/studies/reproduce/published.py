"""What the papers print, to set our rows beside: Tables 1 and 2 of GoodSAM (CVPR 2024).

Percent. Table 1: DensePASS, mIoU and IoU of the 19 classes in the order of their train ids. Where a
row's classes do not average to its mIoU, that is how it is printed. `published`'s parameters are
millions, as printed.
"""

from __future__ import annotations

from dataclasses import dataclass

from goodsam.data.classes import CITYSCAPES


@dataclass(frozen=True)
class Published:
    """A printed row. backbone and per_class are empty where the table has none."""

    method: str
    miou: float
    parameters: float | None = None
    backbone: str = ""
    iou: tuple[float, ...] = ()

    @property
    def per_class(self) -> dict[str, float]:
        """IoU by class name."""
        return dict(zip(CITYSCAPES, self.iou, strict=True)) if self.iou else {}


# fmt: off
DENSEPASS = (
    Published("ERFNet", 16.65, None, iou=(
        63.59, 18.22, 47.01, 9.45, 12.79, 17.00, 8.12, 6.41, 34.24, 10.15,
        18.43, 4.96, 2.31, 46.03, 3.19, 0.59, 0.00, 8.30, 5.55,
    )),
    Published("PASS", 23.66, None, iou=(
        67.84, 28.75, 59.69, 19.96, 29.41, 8.26, 4.54, 8.07, 64.96, 13.75,
        33.50, 12.87, 3.17, 48.26, 2.17, 0.82, 0.29, 23.76, 19.46,
    )),
    Published("Omni-sup", 43.02, None, iou=(
        81.60, 19.46, 81.00, 32.02, 39.47, 25.54, 3.85, 17.38, 79.01, 39.75,
        94.60, 46.39, 12.98, 81.96, 49.25, 28.29, 0.00, 55.36, 29.47,
    )),
    Published("P2PDA", 41.99, None, iou=(
        70.21, 30.24, 78.44, 26.72, 28.44, 14.02, 11.67, 5.79, 68.54, 38.20,
        85.97, 28.14, 0.00, 70.36, 60.49, 38.90, 77.80, 39.85, 24.02,
    )),
    Published("PCS", 53.83, 25.56, iou=(
        78.10, 46.24, 86.24, 30.33, 45.78, 34.04, 22.74, 13.00, 79.98, 33.07,
        93.44, 47.69, 22.53, 79.20, 61.59, 67.09, 83.26, 58.68, 39.80,
    )),
    Published("Trans4PASS-T", 53.18, 13.95, iou=(
        78.13, 41.19, 85.93, 29.88, 37.02, 32.54, 21.59, 18.94, 78.67, 45.20,
        93.88, 48.54, 16.91, 79.58, 65.33, 55.76, 84.63, 59.05, 37.61,
    )),
    Published("Trans4PASS-S", 55.22, 24.98, iou=(
        78.38, 41.58, 86.48, 31.54, 45.54, 33.92, 22.96, 18.27, 79.40, 41.07,
        93.82, 48.85, 23.36, 81.02, 67.31, 69.53, 86.13, 60.85, 39.09,
    )),
    Published("DPPASS-T", 55.30, 14.0, iou=(
        78.74, 46.29, 87.47, 48.62, 40.47, 35.38, 24.97, 17.39, 79.23, 40.85,
        93.49, 52.09, 29.40, 79.19, 58.73, 47.24, 86.48, 66.60, 38.11,
    )),
    Published("DPPASS-S", 56.28, 25.4, iou=(
        78.99, 48.14, 87.63, 42.12, 44.85, 34.95, 27.38, 19.21, 78.55, 43.08,
        92.83, 55.99, 29.10, 80.95, 61.42, 55.68, 79.70, 70.42, 38.40,
    )),
    Published("DATR-M", 52.90, 4.64, iou=(
        78.71, 48.43, 86.92, 34.92, 43.90, 33.43, 22.39, 17.15, 78.55, 28.38,
        93.72, 52.08, 13.24, 77.92, 56.73, 59.53, 93.98, 51.52, 34.06,
    )),
    Published("DATR-T", 54.60, 14.72, iou=(
        79.43, 49.70, 87.39, 37.91, 44.85, 35.06, 25.16, 19.33, 78.73, 25.75,
        93.60, 53.52, 20.20, 78.07, 60.43, 55.82, 91.11, 67.03, 34.32,
    )),
    Published("DATR-S", 56.81, 25.76, iou=(
        80.63, 51.77, 87.80, 44.94, 43.73, 37.23, 25.66, 21.00, 78.61, 26.68,
        93.77, 54.62, 29.50, 80.03, 67.35, 63.75, 87.67, 67.57, 37.10,
    )),
    Published("GoodSAM-M", 55.93, 3.7, iou=(
        79.57, 51.04, 86.24, 43.42, 44.86, 30.92, 26.60, 20.62, 77.79, 25.43,
        92.99, 53.77, 25.84, 82.01, 70.94, 62.29, 91.93, 58.24, 38.25,
    )),
    Published("GoodSAM-T", 58.21, 14.0, iou=(
        80.06, 53.29, 89.75, 44.91, 46.98, 31.13, 27.81, 19.83, 79.58, 25.72,
        93.81, 55.44, 26.99, 84.54, 73.07, 68.41, 93.99, 67.36, 43.39,
    )),
    Published("GoodSAM-S", 60.56, 25.4, iou=(
        80.98, 52.96, 93.22, 48.17, 51.28, 33.51, 28.09, 20.15, 81.64, 30.97,
        95.21, 55.13, 29.01, 87.89, 75.28, 69.37, 94.98, 73.28, 49.64,
    )),
)
"""Table 1."""
# fmt: on

WILDPASS = (
    Published("SegFormer, source domain", 47.90, backbone="SegFormer-B1"),
    Published("Trans4PASS-T", 54.67, backbone="SegFormer-B1"),
    Published("Trans4PASS-S", 62.91, backbone="SegFormer-B2"),
    Published("DPPASS-T", 60.38, backbone="SegFormer-B1"),
    Published("DPPASS-S", 63.53, backbone="SegFormer-B2"),
    Published("GoodSAM-M", 58.65, backbone="SegFormer-B0"),
    Published("GoodSAM-T", 62.42, backbone="SegFormer-B1"),
    Published("GoodSAM-S", 65.18, backbone="SegFormer-B2"),
)
"""Table 2, but for the row of the source-only SegFormer-B2, which is missing from our copy."""
