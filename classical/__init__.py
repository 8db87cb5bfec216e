"""Separations that need no training: one file a method, the diffuse layer out of a single picture.

METHODS maps a name to a function from an (H, W, 3) float32 RGB image in [0, 1], H, W >= 1, to its diffuse
layer, the same shape and type, between 0 and the input; the specular layer is the difference. All assume
*linear* values and a white light (`classical.shared`); the published figures use 8-bit files as if
they were linear. Results depend on the input alone: random starts have fixed seeds. Each file begins with its
equations and states its reading of the source; parameters are keyword arguments.
"""

from collections.abc import Callable

import numpy as np

from classical.akashi2016 import akashi2016
from classical.guo2018 import guo2018
from classical.shen2008 import shen2008
from classical.shen2009 import shen2009
from classical.shen2013 import shen2013
from classical.tan2005 import tan2005
from classical.yamamoto2019 import yamamoto2019
from classical.yang2010 import yang2010
from classical.yoon2006 import yoon2006

METHODS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tan2005": tan2005,
    "yoon2006": yoon2006,
    "shen2008": shen2008,
    "shen2009": shen2009,
    "yang2010": yang2010,
    "shen2013": shen2013,
    "akashi2016": akashi2016,
    "yamamoto2019": yamamoto2019,
    "guo2018": guo2018,
}
