"""Speed and memory of structure work, in both depths, against the script a researcher would write.

Makes a synthetic Llama-shaped base with two descendants (Gaussian weights, noise of 2 % as the change), then runs,
each in processes of its own and in one go:

  plain script      both models through transformers, torch.linalg.svd(float32) of each principal matrix, A, B, NF
  standard, first   rotoscale compare BASE FIRST --depth standard, with an empty data folder
  standard, second  rotoscale compare BASE SECOND --depth standard, whose base is decomposed already
  full, first       the same two at full depth, with a data folder of their own
  full, second

and prints wall seconds, processor seconds and peak memory of the largest process, what 32 layers would take, and as its
last line one JSON object: ratios against the plain script, in wall time, beside the memory figures. On a quiet machine:

    .venv/bin/python benchmarks/structure.py [--layers 4] [--no-depth]
    .venv/bin/python benchmarks/structure.py --device cuda --layers 4 --shapes 4096x4096,4096x11008 --dtype bf16
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VOCABULARY, HEAD = 1024, 128
MANY_LAYERS = 32

PLAIN = """
import sys, torch
from transformers import AutoModelForCausalLM
base, post = (AutoModelForCausalLM.from_pretrained(f, dtype=torch.float32).state_dict() for f in sys.argv[1:3])
device = sys.argv[3]
for name, W in base.items():
    if W.ndim != 2 or "_proj" not in name:
        continue
    U, s, Vh = torch.linalg.svd(W.to(device), full_matrices=False)
    U2, s2, Vh2 = torch.linalg.svd(post[name].to(device), full_matrices=False)
    A, B = U.T @ U2, Vh @ Vh2.T
    nf = torch.linalg.norm(A.T @ B - torch.eye(len(s), device=device)) / len(s) ** 0.5
    print(name, float((s2 / s).median()), float(nf))
"""


@dataclass(frozen=True)
class Shape:
    """Sizes of the synthetic model, and the dtype it is stored in."""

    hidden: int
    mlp: int
    kv_heads: int
    dtype: str

    @property
    def heads(self) -> int:
        return self.hidden // HEAD


DEFAULT = Shape(1536, 8960, 2, "bf16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--shapes", default="1536x1536,1536x8960", help="of attention and MLP matrices")
    parser.add_argument("--kv-heads", type=int, help="default: 2 for the default shapes, else one per head")
    parser.add_argument("--dtype", choices=["bf16", "fp16", "fp32"], default="bf16")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--no-depth", action="store_true", help="leave out the memory comparison of 2 and 12 layers")
    parser.add_argument("--folder", type=Path, help="keep the checkpoints here (default: a temporary folder)")
    options = parser.parse_args()
    adopt_orphans()
    sizes = [sorted(map(int, part.split("x"))) for part in options.shapes.split(",")]
    hidden, mlp = sizes[0][0], sizes[-1][1]
    kv_heads = options.kv_heads or (DEFAULT.kv_heads if hidden == DEFAULT.hidden else hidden // HEAD)
    shape = Shape(hidden, mlp, kv_heads, options.dtype)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        for data in folder.glob("data*"):  # of an earlier run with the same folder
            shutil.rmtree(data)
        base, first, second = made(folder / f"layers-{options.layers}", options.layers, shape)
        bare = measure([sys.executable, "-c", "import torch"], folder)["peak"]
        plain = [sys.executable, "-c", PLAIN, str(base), str(first), options.device]
        runs = {"plain script": measure(plain, folder)}
        for depth in ("standard", "full"):
            for name, post in (("first", first), ("second", second)):
                runs[f"{depth}, {name}"] = compare(base, post, folder / f"data-{depth}", depth, options.device)
        print(f"{'':20}{'wall s':>10}{'CPU s':>10}{'peak MB':>10}{f'{MANY_LAYERS} layers, min':>16}")
        for name, run in runs.items():
            many = run["wall"] * MANY_LAYERS / options.layers / 60  # at most: starting is in it 32 / layers times
            print(f"{name:20}{run['wall']:10.1f}{run['cpu']:10.1f}{run['peak'] / 1e6:10.0f}{many:16.1f}")
        result = ratios(runs)
        largest = shape.hidden * shape.mlp * 8  # bytes of the largest matrix in float64
        peak = max(run["peak"] for name, run in runs.items() if name != "plain script")
        result["peak_over_largest_matrix"] = (peak - bare) / largest
        if not options.no_depth:
            peaks = []
            for layers in (2, 12):
                base, first, _ = made(folder / f"depth-{layers}", layers, shape)
                peaks.append(compare(base, first, folder / f"data-{layers}", "full", options.device)["peak"])
            print(f"peak at 2 layers {peaks[0] / 1e6:.0f} MB, at 12 layers {peaks[1] / 1e6:.0f} MB")
            result["depth_growth"] = peaks[1] / peaks[0] - 1
        print(json.dumps({name: round(value, 3) for name, value in result.items()}))


def ratios(runs: dict[str, dict[str, float]]) -> dict[str, float]:
    """Wall and processor time of the plain script over each run, and of a first descendant over the next."""
    plain = runs["plain script"]
    found: dict[str, float] = {}
    for name, run in runs.items():
        if run is not plain:
            key = name.replace(", ", "_")
            found[key] = plain["wall"] / run["wall"]
            found[f"{key}_cpu"] = plain["cpu"] / run["cpu"]
    for depth in ("standard", "full"):
        found[f"{depth}_next"] = runs[f"{depth}, first"]["wall"] / runs[f"{depth}, second"]["wall"]
    return found


def made(folder: Path, layers: int, shape: Shape = DEFAULT) -> tuple[Path, Path, Path]:
    """A base and two descendants, made in a process of its own: the kernel passes a peak on to later children."""
    if not (folder / "second" / "config.json").exists():
        command = (
            f"from pathlib import Path; from structure import *; family(Path({str(folder)!r}), {layers}, {shape!r})"
        )
        subprocess.run([sys.executable, "-c", command], cwd=Path(__file__).parent, check=True)
    return folder / "base", folder / "first", folder / "second"


def family(folder: Path, layers: int, shape: Shape) -> None:
    """Write a base and two descendants."""
    import torch
    from safetensors.torch import save_file

    hidden, mlp = shape.hidden, shape.mlp
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[shape.dtype]
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (VOCABULARY, hidden),
        "model.norm.weight": (hidden,),
    }
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        key_values = HEAD * shape.kv_heads
        attention = {"q": (hidden, hidden), "k": (key_values, hidden), "v": (key_values, hidden), "o": (hidden, hidden)}
        shapes |= {f"{prefix}self_attn.{part}_proj.weight": shape for part, shape in attention.items()}
        shapes |= {f"{prefix}mlp.{part}_proj.weight": (mlp, hidden) for part in ("gate", "up")}
        shapes[f"{prefix}mlp.down_proj.weight"] = (hidden, mlp)
        shapes |= {f"{prefix}{name}.weight": (hidden,) for name in ("input_layernorm", "post_attention_layernorm")}
    config: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": hidden,
        "intermediate_size": mlp,
        "num_hidden_layers": layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "vocab_size": VOCABULARY,
        "tie_word_embeddings": True,
        "torch_dtype": str(dtype).removeprefix("torch."),
    }
    for number, name in enumerate(["base", "first", "second"]):
        target = folder / name
        if (target / "model.safetensors").exists():
            continue
        target.mkdir(parents=True, exist_ok=True)
        tensors = {}
        for index, (tensor, size) in enumerate(shapes.items()):
            W = torch.randn(size, generator=torch.Generator().manual_seed(index)) * 0.02
            if len(size) == 1:
                W = W + 1
            if number:
                noise = torch.randn(size, generator=torch.Generator().manual_seed(10_000 * number + index))
                W = W + 0.02 * noise * (W.norm() / noise.norm())
            tensors[tensor] = W.to(dtype)
        save_file(tensors, target / "model.safetensors", {"format": "pt"})
        (target / "config.json").write_text(json.dumps(config))


def compare(base: Path, post: Path, data: Path, depth: str, device: str) -> dict[str, float]:
    """Measure one `rotoscale compare` in its own process, whose children include the workers."""
    command = [sys.executable, "-m", "command_line", "compare", str(base), str(post)]
    return measure([*command, "--data", str(data), "--depth", depth, "--device", device], data)


def measure(command: list[str], folder: Path) -> dict[str, float]:
    """Wall seconds, processor seconds of all its processes, and peak bytes of the largest one.

    Processes that outlive the one that started them (workers are forked by a process of their own) come here at its
    end, so that their time counts as well.
    """
    folder.mkdir(parents=True, exist_ok=True)
    project = Path(__file__).resolve().parent.parent
    with open(folder / "output.txt", "wb") as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=project, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        used, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss
        for left in orphans():
            used, peak = used + left.ru_utime + left.ru_stime, max(peak, left.ru_maxrss)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)[:200]} failed:\n{(folder / 'output.txt').read_text()[-2000:]}")
    # Of a process that waited for its children, the kernel reports the largest peak among all of them.
    return {"wall": wall, "cpu": used, "peak": peak * 1024.0}


def orphans() -> Iterator[resource.struct_rusage]:
    """What the processes used that were left to this one, which must be their adopter, once they have ended."""
    while True:
        try:
            yield os.wait4(-1, 0)[2]
        except ChildProcessError:
            return


def adopt_orphans() -> None:
    """Make this process the parent of those that its children leave behind (Linux)."""
    if sys.platform == "linux":
        set_child_subreaper = 36
        ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)


if __name__ == "__main__":
    main()
