"""Weight files: ours (.safetensors), the authors' (.mdl, .pth, MindSpore's .ckpt), backbones, averages."""

from weights.model_files import load_model, save_model

__all__ = ["load_model", "save_model"]
