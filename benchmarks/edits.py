"""Time and memory of making one edited checkpoint, against copying the file and against mergekit's linear merge.

Makes a synthetic Llama-shaped pair, decomposes it (not counted: factors are cached when edits are made), then, each in
a process of its own and in one go:

  copy       the checkpoint's weight file copied and flushed to disk
  edit       one edited checkpoint of each recipe named, with its matrix products timed by themselves
  mergekit   mergekit's linear merge of the same pair, where its command is to be had

and prints seconds and peak memory, the ratio (edit - products) / copy that is to stay below 3, the growth of memory
from 2 to 12 layers, and as its last line one JSON object. mergekit is no dependency: install it into an environment of
its own (`python -m venv mk; mk/bin/pip install mergekit`) and name its command with --mergekit mk/bin/mergekit-yaml.

    .venv/bin/python benchmarks/edits.py [--layers 4] [--recipes disrupt-left restore-left] [--mergekit COMMAND]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from structure import made, measure

COPY = """
import json, os, sys, time
source, target = sys.argv[1:3]
start = time.perf_counter()
with open(source, "rb") as reader, open(target, "wb") as writer:
    while block := reader.read(8 << 20):
        writer.write(block)
    writer.flush()
    os.fsync(writer.fileno())
print(json.dumps({"seconds": time.perf_counter() - start}))
"""

EDIT = """
import json, sys, time
from pathlib import Path
import rotoscale.linalg, rotoscale.recipes, resources.checkpoints.writer
from resources.checkpoints import open_checkpoint
from resources.edits import read_plan
from resources.edits.build import Builder
from resources.factors import FactorStore

spent = 0.0
plain = rotoscale.linalg.product

def product(X, Y):
    global spent
    start = time.perf_counter()
    result = plain(X, Y)
    spent += time.perf_counter() - start
    return result

for module in list(sys.modules.values()):
    if getattr(module, "__name__", "").startswith("rotoscale") and getattr(module, "product", None) is plain:
        module.product = product
base, post, factors, recipe, out = sys.argv[1:6]
builder = Builder(open_checkpoint(base), open_checkpoint(post), FactorStore(Path(factors)))
start = time.perf_counter()
built = builder.build(read_plan(recipe), Path(out))
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "products": spent, "weight_error": built.weight_error}))
"""

MERGE = """\
merge_method: linear
dtype: bfloat16
models:
  - {{model: {base}, parameters: {{weight: 0.5}}}}
  - {{model: {post}, parameters: {{weight: 0.5}}}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--recipes", nargs="+", default=["disrupt-left", "restore-left", "noise", "interpolate"])
    parser.add_argument("--mergekit", default=shutil.which("mergekit-yaml"), help="the command mergekit-yaml")
    parser.add_argument("--repeats", type=int, default=3, help="the fastest of so many runs counts")
    parser.add_argument("--no-depth", action="store_true", help="leave out the memory comparison of 2 and 12 layers")
    parser.add_argument("--folder", type=Path, help="keep checkpoints and factors here (default: a temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).absolute()
        result = at_depth(folder, options.layers, options.recipes, options.repeats)
        result |= merged(folder, options.layers, options.mergekit, options.repeats)
        if not options.no_depth:
            peaks = [edited(folder, layers, options.recipes[-1], 1)["peak"] for layers in (2, 12)]
            low, high = (peak / 1e6 for peak in peaks)
            print(f"{options.recipes[-1]}: peak at 2 layers {low:.0f} MB, at 12 layers {high:.0f} MB")
            result["depth_growth"] = peaks[1] / peaks[0] - 1
    print(json.dumps({name: round(value, 3) for name, value in result.items()}))


def at_depth(folder: Path, layers: int, recipes: list[str], repeats: int) -> dict[str, float]:
    """Copy and edits of a model of some depth, printed line by line."""
    _, post, _ = pair(folder, layers)
    copied = fastest(
        [sys.executable, "-c", COPY, str(post / "model.safetensors"), str(folder / "copy.safetensors")], folder, repeats
    )
    (folder / "copy.safetensors").unlink()
    print(f"{'':24}{'seconds':>10}{'products':>10}{'peak MB':>10}{'(edit - products) / copy':>28}")
    print(f"{'copy':24}{copied['seconds']:10.2f}{'':>10}{copied['peak'] / 1e6:10.0f}")
    result = {"copy_seconds": copied["seconds"]}
    for recipe in recipes:
        run = edited(folder, layers, recipe, repeats)
        ratio = (run["seconds"] - run["products"]) / copied["seconds"]
        print(f"{recipe:24}{run['seconds']:10.2f}{run['products']:10.2f}{run['peak'] / 1e6:10.0f}{ratio:28.2f}")
        result |= {f"{recipe}_seconds": run["seconds"], f"{recipe}_over_copy": ratio, f"{recipe}_peak": run["peak"]}
    return result


def merged(folder: Path, layers: int, command: str | None, repeats: int) -> dict[str, float]:
    """mergekit's linear merge of the same pair."""
    if not command:
        print("mergekit: not installed here; see the head of this file")
        return {}
    base, post, _ = pair(folder, layers)
    (folder / "merge.yaml").write_text(MERGE.format(base=base, post=post))
    out = folder / "merged"
    runs = []
    for _ in range(repeats):
        shutil.rmtree(out, ignore_errors=True)
        runs.append(measure([command, str(folder / "merge.yaml"), str(out), "--quiet"], folder))
    run = min(runs, key=lambda found: found["wall"])
    print(f"{'mergekit linear':24}{run['wall']:10.2f}{'':>10}{run['peak'] / 1e6:10.0f}   (whole process with imports)")
    return {"mergekit_wall": run["wall"], "mergekit_peak": run["peak"]}


def edited(folder: Path, layers: int, recipe: str, repeats: int) -> dict[str, float]:
    """One edit with its factors cached; the whole process's wall time is there too."""
    base, post, factors = pair(folder, layers)
    command = [sys.executable, "-c", EDIT, *map(str, (base, post, factors, recipe, folder / "edited"))]
    if not (factors / recipe).exists():
        measure(command, folder)  # decomposes what is not decomposed yet
        (factors / recipe).touch()
    return fastest(command, folder, repeats)


def pair(folder: Path, layers: int) -> tuple[Path, Path, Path]:
    """Base, post and factor store of a model of some depth."""
    place = folder / f"layers-{layers}"
    base, post, _ = made(place, layers)
    (place / "factors").mkdir(exist_ok=True)
    return base, post, place / "factors"


def fastest(command: list[str], folder: Path, repeats: int) -> dict[str, float]:
    """The fastest of several runs: what it printed as JSON, and what the kernel says of its process."""
    runs = []
    for _ in range(repeats):
        usage = measure(command, folder)
        printed = (folder / "output.txt").read_text().strip().splitlines()[-1]
        runs.append({**usage, **json.loads(printed)})
    return min(runs, key=lambda run: run["seconds"])


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    subprocess.run(["sync"], check=False)
    main()
