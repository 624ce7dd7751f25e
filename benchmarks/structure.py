"""Speed and memory of structure work against the script a researcher would write.

Makes a synthetic Llama-shaped base with two descendants (Gaussian weights, noise of 2 % as the change), then runs,
each in processes of its own and in one go:

  (a) a plain script: both models through transformers, torch.linalg.svd(float32) of each principal matrix, A, B, NF
  (b) rotoscale compare BASE FIRST, with an empty data folder
  (c) rotoscale compare BASE SECOND, whose base is decomposed already

and prints wall seconds, processor seconds and peak memory of the largest process, the ratios, and as its last line
one JSON object. Run it on a quiet machine:

    .venv/bin/python benchmarks/structure.py [--layers 4] [--no-depth]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HIDDEN, MLP, HEADS, KV_HEADS, VOCABULARY = 1536, 8960, 12, 2, 1024
LARGEST = HIDDEN * MLP * 8  # bytes of the largest matrix in float64

PLAIN = """
import sys, torch
from transformers import AutoModelForCausalLM
base, post = (AutoModelForCausalLM.from_pretrained(f, dtype=torch.float32).state_dict() for f in sys.argv[1:3])
for name, W in base.items():
    if W.ndim != 2 or "_proj" not in name:
        continue
    U, s, Vh = torch.linalg.svd(W, full_matrices=False)
    U2, s2, Vh2 = torch.linalg.svd(post[name], full_matrices=False)
    A, B = U.T @ U2, Vh @ Vh2.T
    nf = torch.linalg.norm(A.T @ B - torch.eye(len(s))) / len(s) ** 0.5
    print(name, float((s2 / s).median()), float(nf))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--no-depth", action="store_true", help="leave out the memory comparison of 2 and 12 layers")
    parser.add_argument("--folder", type=Path, help="keep the checkpoints here (default: a temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        for data in folder.glob("data*"):  # of an earlier run with the same folder
            shutil.rmtree(data)
        base, first, second = made(folder / f"layers-{options.layers}", options.layers)
        bare = measure([sys.executable, "-c", "import torch"], folder)["peak"]
        runs = {
            "(a) plain script": measure([sys.executable, "-c", PLAIN, str(base), str(first)], folder),
            "(b) compare, first descendant": compare(base, first, folder / "data"),
            "(c) compare, second descendant": compare(base, second, folder / "data"),
        }
        print(f"{'':32}{'wall s':>10}{'CPU s':>10}{'peak MB':>10}")
        for name, run in runs.items():
            print(f"{name:32}{run['wall']:10.1f}{run['cpu']:10.1f}{run['peak'] / 1e6:10.0f}")
        a, b, c = runs.values()
        result = {
            "speedup_first": a["wall"] / b["wall"],
            "speedup_second": b["wall"] / c["wall"],
            "cpu_ratio_first": a["cpu"] / b["cpu"],
            "cpu_ratio_second": b["cpu"] / c["cpu"],
            "peak_over_largest_matrix": (max(b["peak"], c["peak"]) - bare) / LARGEST,
        }
        if not options.no_depth:
            peaks = []
            for layers in (2, 12):
                base, first, _ = made(folder / f"depth-{layers}", layers)
                peaks.append(compare(base, first, folder / f"data-{layers}")["peak"])
            print(f"peak at 2 layers {peaks[0] / 1e6:.0f} MB, at 12 layers {peaks[1] / 1e6:.0f} MB")
            result["depth_growth"] = peaks[1] / peaks[0] - 1
        print(json.dumps({name: round(value, 3) for name, value in result.items()}))


def made(folder: Path, layers: int) -> tuple[Path, Path, Path]:
    """A base and two descendants, made in a process of its own: the kernel passes a peak on to later children."""
    if not (folder / "second" / "config.json").exists():
        command = f"from pathlib import Path; from structure import family; family(Path({str(folder)!r}), {layers})"
        subprocess.run([sys.executable, "-c", command], cwd=Path(__file__).parent, check=True)
    return folder / "base", folder / "first", folder / "second"


def family(folder: Path, layers: int) -> None:
    """Write a base and two descendants in bfloat16."""
    import torch
    from safetensors.torch import save_file

    shapes = {"model.embed_tokens.weight": (VOCABULARY, HIDDEN), "model.norm.weight": (HIDDEN,)}
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        key_values = HIDDEN // HEADS * KV_HEADS
        attention = {"q": (HIDDEN, HIDDEN), "k": (key_values, HIDDEN), "v": (key_values, HIDDEN), "o": (HIDDEN, HIDDEN)}
        shapes |= {f"{prefix}self_attn.{part}_proj.weight": shape for part, shape in attention.items()}
        shapes |= {f"{prefix}mlp.{part}_proj.weight": (MLP, HIDDEN) for part in ("gate", "up")}
        shapes[f"{prefix}mlp.down_proj.weight"] = (HIDDEN, MLP)
        shapes |= {f"{prefix}{name}.weight": (HIDDEN,) for name in ("input_layernorm", "post_attention_layernorm")}
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": MLP,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "vocab_size": VOCABULARY,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
    }
    for number, name in enumerate(["base", "first", "second"]):
        target = folder / name
        if (target / "model.safetensors").exists():
            continue
        target.mkdir(parents=True, exist_ok=True)
        tensors = {}
        for index, (tensor, shape) in enumerate(shapes.items()):
            W = torch.randn(shape, generator=torch.Generator().manual_seed(index)) * 0.02
            if len(shape) == 1:
                W = W + 1
            if number:
                noise = torch.randn(shape, generator=torch.Generator().manual_seed(10_000 * number + index))
                W = W + 0.02 * noise * (W.norm() / noise.norm())
            tensors[tensor] = W.to(torch.bfloat16)
        save_file(tensors, target / "model.safetensors", {"format": "pt"})
        (target / "config.json").write_text(json.dumps(config))


def compare(base: Path, post: Path, data: Path) -> dict[str, float]:
    """Measure one `rotoscale compare` in its own process, whose children include the workers."""
    return measure([sys.executable, "-m", "command_line", "compare", str(base), str(post), "--data", str(data)], data)


def measure(command: list[str], folder: Path) -> dict[str, float]:
    """Wall seconds, processor seconds of all its processes, and peak bytes of the largest one."""
    folder.mkdir(parents=True, exist_ok=True)
    project = Path(__file__).resolve().parent.parent
    with open(folder / "output.txt", "wb") as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=project, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)[:200]} failed:\n{(folder / 'output.txt').read_text()[-2000:]}")
    # Of a process that waited for its children, the kernel reports the largest peak among all of them.
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss * 1024.0}


if __name__ == "__main__":
    main()
