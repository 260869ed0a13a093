"""How the demo SAM is trained."""
