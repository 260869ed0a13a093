"""Window plans of a whole sphere, 360 x 180 degrees: windows across and down, and tangent ones."""

from goodsam.data.sphere.plan import SpherePlan, WindowPlan, sphere_plan
from goodsam.data.sphere.tangent import TangentWindows
from goodsam.data.sphere.vertical import VerticalWindows

__all__ = ["SpherePlan", "TangentWindows", "VerticalWindows", "WindowPlan", "sphere_plan"]
