"""How the demo SAM is trained; `goodsam.stages.sam` uses it and needs nothing of this."""
