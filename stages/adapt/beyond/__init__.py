"""What the paper does not have, each with a setting of its own, off in the paper's presets.

`confidence` (`step.confident`) and `balance` (`hold_shares`) change what is learnt. `monitor`
changes nothing: it warns, and it stops a run that collapses (`collapse`; 0 never stops).
"""
