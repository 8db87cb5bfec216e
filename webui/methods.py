"""The selectable methods, each loaded on first use."""

import threading

from classical import METHODS
from restoration.methods import DEFAULT_NETWORK, Method, MethodSpec, find_method
from restoration.remover import HighlightRemover
from webui.options import DemoOptions


class Methods:
    """Networks and classical methods by name. Thread-safe."""

    def __init__(self, options: DemoOptions):
        self.names = [DEFAULT_NETWORK, *options.infer_model, *METHODS]
        self._options = {"device": options.device, "workers": options.workers}
        self._networks: dict[str, Method] = {}
        self._lock = threading.Lock()

    def remover(self, name: str, strength: float, test_time_augmentation: int | None) -> HighlightRemover:
        """Raises UserError for weights that cannot be read and options that do not fit the method."""
        with self._lock:
            if name not in self._networks:
                self._networks[name] = find_method(MethodSpec.parse(name))
            network = self._networks[name]
        return HighlightRemover(
            network, strength=strength, test_time_augmentation=test_time_augmentation, **self._options
        )


def has_augmentation(name: str) -> bool:
    """Whether test-time augmentation can be asked of a method: classical methods have none."""
    return name not in METHODS
