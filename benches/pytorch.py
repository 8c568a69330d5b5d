#!/usr/bin/env python3
"""Times PyTorch on the shapes and operations of the CPU benchmarks: eager, and by torch.compile.

    python3 benches/pytorch.py --threads 2
    python3 benches/pytorch.py --shapes 1024x32000 --ops loss+gradient --dtype bf16 --json pytorch.json
    python3 benches/pytorch.py --ops linear --shapes 2048x256x32000,512x1024x32000

`linear` is a linear layer with cross-entropy behind it and the gradients of both its inputs, of shapes
rows x hidden x classes: by stored logits, eager and by torch.compile, and by the layer's own chunked
`linear_cross_entropy`.

PyTorch allocates its results. Where the allocator gives large blocks back to the system each time, as
glibc's does, that costs it the first touch of every page; a training that reuses its memory does not
pay for this. So both are timed, each in a process of its own: `plain`, and `warm`, in which glibc
keeps what it was given, and was given much before. `warm` is the one to compare with; the pages that
a round touched for the first time are counted beside the times. Each answer is checked in f64 first.

Needs torch; for torch.compile on a CPU also a C++ compiler.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

SHAPES = "65536x128,16384x1000,1024x32000,256x128256,4194304x2,1048576x10,262144x64"
OPS = "loss,loss+gradient,softmax,log-softmax"
# glibc then neither maps large blocks one by one nor gives the top of its heap back.
WARM = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "MALLOC_TOP_PAD_": str(1 << 28)}
ALLOCATORS = {"warm": WARM, "plain": {}}
# Times a batch's size that is touched and given back before anything is timed.
KEPT = 16
UNCOUNTED = 2


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--shapes", default=SHAPES)
    parser.add_argument("--ops", default=OPS)
    parser.add_argument("--dtype", choices=["f32", "bf16", "f16"], default="f32")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--allocators", default="warm,plain")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--json", metavar="FILE", help="write the medians here too")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def operations(torch):
    """Each operation as a function of logits and targets that returns what is checked."""
    from torch.nn import functional

    def loss_gradient(loss, logits, targets):
        logits.grad = None
        value = loss(logits, targets)
        value.backward()
        return value.detach(), logits.grad

    def without_gradient(run, *inputs):
        with torch.no_grad():
            return run(*inputs)

    def softmax(logits):
        return functional.softmax(logits, 1)

    def log_softmax(logits):
        return functional.log_softmax(logits, 1)

    return {
        "loss": (functional.cross_entropy, lambda run, x, t: (without_gradient(run, x, t),)),
        "loss+gradient": (functional.cross_entropy, loss_gradient),
        "softmax": (softmax, lambda run, x, t: (without_gradient(run, x),)),
        "log-softmax": (log_softmax, lambda run, x, t: (without_gradient(run, x),)),
    }


def batch(torch, rows, classes, dtype):
    generator = torch.Generator().manual_seed(1)
    logits = (torch.rand(rows, classes, generator=generator) * 8 - 4).to(dtype)
    targets = torch.arange(rows) * 7 % classes
    return logits.requires_grad_(), targets


def layer(torch, rows, width, classes, dtype):
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(rows, width, generator=generator).to(dtype).requires_grad_()
    weight = (torch.randn(classes, width, generator=generator) * 2 / width**0.5).to(dtype)
    return (hidden, weight.requires_grad_()), torch.arange(rows) * 7 % classes


def linear(torch, run, inputs, targets):
    for tensor in inputs:
        tensor.grad = None
    value = run(*inputs, targets)
    value.backward()
    return value.detach(), *(tensor.grad for tensor in inputs)


def wanted(torch, op, call, logits, targets):
    """The same in f64, by PyTorch's own eager path."""
    function = operations(torch)[op][0]
    return call(function, logits.detach().double().requires_grad_(), targets)


def check(torch, who, got, want, dtype, rows):
    for have, should in zip(got, want):
        relative = max(1e-4, 2 * torch.finfo(dtype).eps)
        # A mean's gradient is small; f16 cannot hold the least of it.
        absolute = max(1e-5 / rows if have.dim() and len(got) > 1 else 1e-5, torch.finfo(dtype).tiny)
        if not torch.allclose(have.double(), should, rtol=relative, atol=absolute):
            sys.exit(f"{who}: the answer is wrong")


def first_touches():
    """Pages that this process was given so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def timed(runs, call, logits, targets, rounds):
    """For each of the runs its times in ms and the pages first touched meanwhile, run after run and
    round by round."""
    times = {name: [] for name in runs}
    for round_ in range(rounds + UNCOUNTED):
        for name, run in runs.items():
            pages, start = first_touches(), time.perf_counter()
            call(run, logits, targets)
            taken = 1e3 * (time.perf_counter() - start)
            if round_ >= UNCOUNTED:
                times[name].append((taken, first_touches() - pages))
    return times


def tell(op, shape, name, taken):
    ms, pages = (statistics.median(column) for column in zip(*taken))
    print(json.dumps({"op": op, "shape": shape, "run": name, "ms": ms, "new_pages": int(pages)}), flush=True)


def time_linear(torch, args, dtype):
    from torch.nn import functional

    def stored(hidden, weight, targets):
        return functional.cross_entropy(functional.linear(hidden, weight), targets)

    def call(run, inputs, targets):
        return linear(torch, run, inputs, targets)

    for shape in args.shapes.split(","):
        rows, width, classes = map(int, shape.split("x"))
        inputs, targets = layer(torch, rows, width, classes, dtype)
        runs = {"eager": stored, "linear_cross_entropy": functional.linear_cross_entropy}
        if not args.no_compile:
            runs["compile"] = torch.compile(stored, dynamic=False)
        doubles = tuple(tensor.detach().double().requires_grad_() for tensor in inputs)
        want = call(stored, doubles, targets)
        for name, run in runs.items():
            check(torch, f"{name}, linear of {shape}", call(run, inputs, targets), want, dtype, rows)
        del want, doubles
        for name, taken in timed(runs, call, inputs, targets, args.rounds).items():
            tell("linear", shape, name, taken)
        torch.compiler.reset()


def child(args):
    """Times everybody under the allocator that this process was given; prints a line of JSON each."""
    import torch

    torch.set_num_threads(args.threads)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}[args.dtype]
    if args.ops == "linear":
        return time_linear(torch, args, dtype)
    for shape in args.shapes.split(","):
        rows, classes = map(int, shape.split("x"))
        logits, targets = batch(torch, rows, classes, dtype)
        for op in args.ops.split(","):
            function, call = operations(torch)[op]
            runs = {"eager": function}
            if not args.no_compile:
                runs["compile"] = torch.compile(function, dynamic=False)
            want = wanted(torch, op, call, logits, targets)
            for name, run in runs.items():
                got = call(run, logits, targets)
                check(torch, f"{name}, {op} of {shape}", got, want, dtype, rows)
                del got
            del want
            torch.ones(KEPT * rows * classes, dtype=dtype)
            for name, taken in timed(runs, call, logits, targets, args.rounds).items():
                tell(op, shape, name, taken)
            logits.grad = None
            torch.compiler.reset()


def results(args):
    for allocator in args.allocators.split(","):
        environment = os.environ | ALLOCATORS[allocator]
        command = [sys.executable, __file__, "--child", *sys.argv[1:]]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for line in process.stdout:
            yield json.loads(line) | {"allocator": allocator}
        if process.wait():
            sys.exit(process.returncode)


def main():
    args = parse()
    try:
        import torch
    except ImportError:
        sys.exit("torch is not installed: pip install torch")
    if args.child:
        return child(args)
    rows = []
    print(f"PyTorch {torch.__version__}, {args.threads} threads, {args.dtype}; medians in ms\n")
    print("| operation | rows x classes | run | allocator | ms | new pages |\n|---|---|---|---|---|---|")
    for row in results(args):
        rows.append(row)
        print("| {op} | {shape} | {run} | {allocator} | {ms:.2f} | {new_pages} |".format(**row), flush=True)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump({"torch": torch.__version__, "threads": args.threads, "dtype": args.dtype, "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
