"""The web server of the page: where it listens, what it may load, and how it ends."""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from utils.errors import UserError
from utils.signals import interruptible
from webui.options import DemoOptions
from webui.sessions import Sessions

# The page may load resources from this server only.
POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:"


def serve(options: DemoOptions) -> int:
    """Serves the page until Ctrl-C or SIGTERM, then removes its files; returns 0.

    Raises UserError without gradio and where it cannot listen.
    """
    with tempfile.TemporaryDirectory(prefix="dehighlight-demo-") as folder, interruptible():
        page = launch(options, Path(folder))
        try:
            print(
                f"open http://{options.host}:{options.port} in a browser; Ctrl-C ends the server", flush=True
            )
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            print("server stopped; its temporary files are removed", flush=True)
        finally:
            page.close(verbose=False)
    return 0


def launch(options: DemoOptions, folder: Path) -> Any:
    """Starts the server in threads of this process and returns its `gradio.Blocks`.

    folder  for uploads and results
    """
    # Read by gradio when it is imported: no telemetry and no check for newer versions over the network.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    try:
        import gradio as gr
        from starlette.middleware import Middleware
    except ImportError as error:
        raise UserError("the interface needs another package: pip install gradio") from error
    from webui.page import build_page

    page = build_page(options, Sessions(folder))
    try:
        page.queue(default_concurrency_limit=1).launch(
            server_name=options.host,
            server_port=options.port,
            max_file_size=options.max_mb * 10**6,
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            inbrowser=False,
            ssr_mode=False,
            enable_monitoring=False,
            footer_links=[],
            # Fonts of the user's system.
            theme=gr.themes.Default(
                font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
            ),
            app_kwargs={"middleware": [Middleware(_OwnContentOnly)]},
        )
    except OSError as error:
        raise UserError(
            f"cannot listen on {options.host}, port {options.port}: it is taken or not allowed"
        ) from error
    return page


class _OwnContentOnly:
    """ASGI middleware that adds the header Content-Security-Policy to every answer."""

    def __init__(self, app: Any):
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
            await send(message)

        await self.app(scope, receive, send_with_policy)
