"""Write a DVC pipeline of so many stages, of the same shape, and run it once: FOLDER STAGES."""

import subprocess
import sys
from pathlib import Path

ROWS = "id,amount\n" + "".join(f"r{i},{i}\n" for i in range(200))


def stages(number: int) -> dict[str, str]:
    """Return each stage with what it reads and writes, in the words of dvc.yaml."""
    found = {}
    for i in range(number):
        reads = [f"feeds/{i}.csv"] if i < 6 else [f"out/{i - 6}.csv", f"out/{i - 5}.csv"]
        deps = "".join(f"      - {name}\n" for name in reads)
        found[f"stage{i}"] = (
            f"  stage{i}:\n    cmd: cp {reads[0]} out/{i}.csv\n    deps:\n{deps}"
            f"    outs:\n      - out/{i}.csv\n"
        )
    return found


def main(folder: Path, number: int) -> None:
    if (folder / "dvc.lock").is_file():
        return
    for name in ("feeds", "out"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for i in range(6):
        (folder / "feeds" / f"{i}.csv").write_text(ROWS + f"source,{i}\n")
    (folder / "dvc.yaml").write_text("stages:\n" + "".join(stages(number).values()))
    dvc = str(Path(sys.executable).parent / "dvc")
    for words in (
        ["init", "--no-scm", "--force"],
        ["config", "core.analytics", "false"],
        ["repro"],
    ):
        subprocess.run([dvc, *words], cwd=folder, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
