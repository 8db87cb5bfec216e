"""The browser interface, with gradio: pictures in, layers side by side, results to download."""
