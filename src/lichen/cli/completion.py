"""`lichen completion`: a script by which a shell completes verbs, options and nodes."""

from __future__ import annotations

from typing import Literal

from lichen.cli.options import USUAL, Options
from lichen.cli.page import emit


def completion(
    shell: Literal["bash", "zsh", "fish", "powershell"], *, options: Options = USUAL
) -> int:
    """Print the script by which a shell completes verbs, options, nodes and targets.

    bash: lichen completion bash > ~/.local/share/bash-completion/completions/lichen
    zsh: lichen completion zsh > ~/.zfunc/_lichen, with fpath+=~/.zfunc before compinit in ~/.zshrc
    fish: lichen completion fish > ~/.config/fish/completions/lichen.fish

    --json: {"shell", "script"}

    Parameters
    ----------
    shell
        Whose script.
    """
    from lichen.cli import app

    script = app().generate_completion(shell=shell)
    if options.json:
        emit({"shell": shell, "script": script})
        return 0
    print(script)
    return 0
