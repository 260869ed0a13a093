"""How the demo SAM is trained; `stages.sam` uses it and needs nothing of this."""
