"""How networks are trained: losses, optimisers, learning rates, and what "better" means.

recipe.py           the protocol that the training loop works with
options.py          options that every recipe has; Term, a row of a table of losses
aha_terms.py        options and losses of the AHA networks        aha.py      their recipe
tshrnet_terms.py    options and losses of TSHRNet                 tshrnet.py  its recipe
presets.py          what corrected, released and tshrnet choose for options that are not given
build.py            name -> recipe

A new loss is a function in losses/, and a row with an option in one of the two tables.
"""
