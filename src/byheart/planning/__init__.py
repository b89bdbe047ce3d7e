"""How large an adapter a memory needs, known before it is learnt: calibrations, and the plans that follow from them."""
