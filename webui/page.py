"""The page: what is on it and what its buttons do."""

from functools import partial
from pathlib import Path

import gradio as gr

from restoration.composition import MAX_STRENGTH
from utils.errors import UserError
from webui.methods import Methods, has_augmentation
from webui.options import DemoOptions
from webui.separation import separate_file
from webui.sessions import Session, Sessions

TITLE = "Removing specular highlights"
AUGMENTATION = {"usual": None, "off": 1, "mirrored": 2, "mirrored and at half size": 4}


def build_page(options: DemoOptions, sessions: Sessions) -> gr.Blocks:
    """The page, to be launched."""
    actions = _Actions(options, sessions)
    # Nothing outlives its session; the sweep is for pages whose end was not noticed.
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        gr.Markdown(f"# {TITLE}")
        with gr.Row():
            with gr.Column(scale=1):
                files = gr.File(
                    label=f"Pictures, at most {options.max_mb} MB each",
                    file_count="multiple",
                    height=180,
                    elem_id="pictures",
                )
                method = gr.Dropdown(actions.methods.names, value=actions.methods.names[0], label="Method")
                strength, augmentation = _strength(), _augmentation()
                start = gr.Button("Remove highlights", variant="primary", elem_id="start")
            with gr.Column(scale=2):
                messages = gr.Textbox(label="Messages", visible=False, elem_id="messages")
                choice = gr.Radio([], label="Picture", visible=False, elem_id="choice")
                slider = gr.ImageSlider(
                    label="Before and after",
                    type="filepath",
                    interactive=False,
                    max_height=520,
                    buttons=["fullscreen"],
                    elem_id="slider",
                )
                with gr.Row():
                    image = partial(gr.Image, type="filepath", interactive=False, height=220, buttons=[])
                    highlight = image(label="Highlight map", elem_id="highlight")
                    specular = image(label="Specular layer (removed)", elem_id="specular")
                downloads = gr.File(
                    label="Download: full size and depth",
                    file_count="multiple",
                    interactive=False,
                    elem_id="downloads",
                )
        views = [slider, highlight, specular, downloads]
        private: dict = {"api_visibility": "private", "show_progress": "hidden"}
        files.upload(actions.remember, files, None, queue=False, **private)
        method.change(actions.choose_method, method, augmentation, queue=False, **private)
        choice.input(actions.show, choice, views, queue=False, **private)
        start.click(
            actions.separate,
            [files, method, strength, augmentation],
            [messages, choice, *views],
            api_visibility="private",
            show_progress_on=slider,
        )
        page.unload(actions.end)
    return page


def _strength() -> gr.Slider:
    info = "how much of what is found is removed"
    return gr.Slider(0, MAX_STRENGTH, 1, step=0.05, label="Strength", info=info)


def _augmentation() -> gr.Radio:
    info = "removes only what altered copies show too: fewer mistakes, less removal, slower"
    return gr.Radio(list(AUGMENTATION), value="usual", label="Test-time augmentation", info=info)


class _Actions:
    """What the events of the page call; gradio passes what the annotations and the last default name."""

    def __init__(self, options: DemoOptions, sessions: Sessions):
        self.options = options
        self.sessions = sessions
        self.methods = Methods(options)

    def remember(self, uploads: list[str], request: gr.Request) -> None:
        """Notes the files of a page, to be removed with it."""
        self.sessions.of(request.session_hash).uploads |= set(map(Path, uploads))

    def end(self, request: gr.Request) -> None:
        """A page was closed."""
        self.sessions.end(request.session_hash)

    def choose_method(self, name: str) -> gr.Radio:
        """Test-time augmentation as the method has it."""
        return gr.Radio(interactive=True) if has_augmentation(name) else gr.Radio("usual", interactive=False)

    def show(self, name: str, request: gr.Request) -> list:
        """The layers and downloads of one of several pictures."""
        session = self.sessions.of(request.session_hash)
        return _views(session, name)

    def separate(
        self,
        uploads: list[str] | None,
        method: str,
        strength: float,
        augmentation: str,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 (how gradio is asked for one)
    ) -> list:
        """Processes all pictures in turn; an error names its picture, and the others continue."""
        if not uploads:
            raise gr.Error("Choose a picture first.", print_exception=False)
        try:
            remover = self.methods.remover(method, strength, AUGMENTATION[augmentation])
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error
        session = self.sessions.of(request.session_hash)
        session.forget_results()
        messages = []
        for index, path in enumerate(map(Path, uploads)):

            def report(share: float, doing: str, index: int = index, path: Path = path) -> None:
                place = f" ({index + 1} of {len(uploads)})" if len(uploads) > 1 else ""
                progress((index + share) / len(uploads), desc=f"{path.name}{place}: {doing}")

            try:
                done = separate_file(path, remover, session.new_folder(), self.options.max_pixels, report)
                session.keep(done)
                messages += [f"{path.name}: {note}" for note in done.notes]
            except Exception as error:  # one failure must not stop the other pictures
                messages.append(f"{path.name} was left out: {_sentence(error, path)}")
        names = list(session.results)
        return [
            gr.Textbox("\n".join(messages), visible=bool(messages), lines=min(8, max(1, len(messages)))),
            gr.Radio(names, value=names[0] if names else None, visible=len(names) > 1),
            *(_views(session, names[0]) if names else [None] * 4),
        ]


def _views(session: Session, name: str) -> list:
    """What the page shows of one result: the two sides of the slider, the layers, the downloads."""
    separated = session.results[name]
    archive = [session.archive()] if len(session.results) > 1 else []
    shown = {kind: str(path) for kind, path in separated.previews.items()}
    return [
        (shown["before"], shown["after"]),
        shown["highlight"],
        shown["specular"],
        [str(path) for path in (*separated.downloads, *archive)],
    ]


def _sentence(error: Exception, path: Path) -> str:
    if isinstance(error, UserError):
        return str(error).replace(f"cannot read {path}: ", "")
    if isinstance(error, MemoryError):
        return "this machine has not enough memory for it"
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
