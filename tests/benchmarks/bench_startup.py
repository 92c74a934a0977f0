"""How long ``worldbench list`` takes beside what it avoids: importing torch.

Run as a script: ``python tests/benchmarks/bench_startup.py [repeats]``. Prints the best of the
repeats, taken in turn so that a busy machine slows all of them alike.
"""

import subprocess
import sys
import time

CASES = {
    "python alone": ["-c", "pass"],
    "worldbench --help": ["-m", "worldbench.cli", "--help"],
    "worldbench list": ["-m", "worldbench.cli", "list"],
    "worldbench show copy_last": ["-m", "worldbench.cli", "show", "copy_last"],
    "import torch": ["-c", "import torch"],
    "import worldbench.run": ["-c", "import worldbench.run"],
}


def seconds(arguments: list[str]) -> float:
    """Returns the wall time of one Python process."""
    before = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - before


def main(repeats: int = 5) -> None:
    """Prints seconds, and each as a share of importing torch."""
    best = dict.fromkeys(CASES, float("inf"))
    for _ in range(repeats):
        for name, arguments in CASES.items():
            best[name] = min(best[name], seconds(arguments))
    for name, value in best.items():
        share = value / best["import torch"]
        print(f"{name:<28} {value:6.3f} s   {share:5.2f} of import torch")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
