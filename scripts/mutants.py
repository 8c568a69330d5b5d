#!/usr/bin/env python3
"""Mutants of the code that all devices share, all of them in one build.

    scripts/mutants.py [part of a mutant's name ...]

cargo-mutants lists them, by .cargo/mutants.toml; but it builds each by itself, which takes a minute where
running the tests takes a second. Here every function becomes a choice between itself and its mutants, by
an environment variable, in a copy under target/mutation. What does not compile is left out, build by build.
A function whose type is `impl Trait` cannot be a choice, nor can a constant: their mutants are left to
cargo-mutants, and named.

The tests do without a GPU. Survivors and what runs out of time are listed at the end, and fail.
"""

import collections
import concurrent.futures
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WORK = os.path.join(ROOT, "target", "mutation")
TREE = os.path.join(WORK, "tree")
SECONDS = 120
MEMORY = 6 << 30

# Which tests are to notice, the crate's own and the quick ones first; and those that are about a GPU.
OF_PLANS = ["plan", "traffic"]
OF_REST = [
    "surprisal", "told", "by_hand", "reference", "probabilities", "pos_weight", "js_beta", "family", "linear",
    "linear_probs", "masks", "errors", "options", "hostile", "golden", "stream",
]
ABOUT_GPUS = [
    "gpu",
    "a_batch_that_is_too_large",
    "a_call_that_wgpu_refuses",
    "a_device_lost_at_any_call",
    "a_device_with_too_few_bindings",
    "a_fault_at_any_call",
    "a_gradient_without_a_place_and_a_place_without_a_gradient",
    "a_lost_device",
    "a_new_device_after_one_was_lost",
    "a_shader_that_does_not_compile",
    "buffers_that_cannot_be_used",
    "no_such_adapter",
    "out_of_memory_at_any_allocation",
]

CHOICE = """//! Which mutant runs.

pub(crate) fn chosen() -> u32 {
    static CHOSEN: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    let number = || std::env::var("MUTANT").ok().and_then(|number| number.parse().ok());
    *CHOSEN.get_or_init(|| number().unwrap_or(0))
}
"""

FUNCTION = re.compile(r"^[ \t]*(?:pub(?:\([^)]*\))? )?(?:const )?fn ", re.MULTILINE)


def listed():
    command = ["cargo", "mutants", "--list", "--json"]
    mutants = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    return dict(enumerate(mutants, 1))


def body(text, start, end):
    """The signature of a function, and where its body starts and ends."""
    first = FUNCTION.search(text, text.rindex("\n", 0, start) + 1, end).start()
    depth = 0
    for at in range(first, end):
        if text[at] == "{" and depth == 0:
            return text[first:at], at + 1, text.rindex("}", at, end)
        depth += (text[at] in "([") - (text[at] in ")]")
    raise ValueError(text[first:end])


class File:
    """A source file, and its functions as choices."""

    def __init__(self, path, mutants):
        self.path = path
        with open(os.path.join(ROOT, path)) as file:
            self.text = file.read()
        lines = self.text.splitlines(keepends=True)
        self.line_starts = [0]
        for line in lines:
            self.line_starts.append(self.line_starts[-1] + len(line))
        functions = collections.defaultdict(dict)
        for number, mutant in mutants.items():
            functions[self.range(mutant["function"]["span"])][number] = mutant
        self.functions = self.outermost(functions)

    def range(self, span):
        return tuple(self.line_starts[p["line"] - 1] + p["column"] - 1 for p in (span["start"], span["end"]))

    @staticmethod
    def outermost(functions):
        merged = []
        for (start, end), mutants in sorted(functions.items()):
            if merged and start < merged[-1][1]:
                merged[-1][2].update(mutants)
            else:
                merged.append((start, end, dict(mutants)))
        return merged

    def write(self, left_out):
        """Writes the choices; returns the lines of each mutant, and the mutants that can be none."""
        parts, lines, unable, last = [], {}, [], 0
        line = 1

        def add(text):
            nonlocal line
            parts.append(text)
            line += text.count("\n")

        for start, end, mutants in self.functions:
            signature, first, behind = body(self.text, start, end)
            if "-> impl" in signature or "const fn" in signature:
                unable.extend(mutants)
                continue
            add(self.text[last:first] + "\nmatch crate::mutant::chosen() {\n")
            for number, mutant in mutants.items():
                if number in left_out:
                    continue
                from_, to = self.range(mutant["span"])
                begin = line
                inside = self.text[first:from_] + mutant["replacement"] + self.text[to:behind]
                add(f"{number} => {{ {inside}\n}}\n")
                lines[number] = range(begin, line)
            add("_ => { " + self.text[first:behind] + "\n}}\n")
            last = behind
        add(self.text[last:])
        store(os.path.join(TREE, self.path), "".join(parts).encode())
        return lines, unable


def store(path, data):
    """Writes a file unless it is so already, so that Cargo sees what has changed."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.exists(path):
        with open(path, "rb") as file:
            if file.read() == data:
                return
    with open(path, "wb") as file:
        file.write(data)


def copy(mutated):
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for name in names.splitlines():
        path = os.path.join(ROOT, name)
        if name in mutated or not os.path.isfile(path):
            continue
        with open(path, "rb") as file:
            data = file.read()
        if name == "src/lib.rs":
            data += b"\nmod mutant;\n"
        store(os.path.join(TREE, name), data)
    store(os.path.join(TREE, "src/mutant.rs"), CHOICE.encode())


def cargo(*arguments):
    command = ["cargo", *arguments, "-p", "surprisal", "--profile", "mutants", "--message-format=json"]
    # A folder of its own: Cargo takes a copy's crate for the original.
    environment = dict(os.environ, CARGO_TARGET_DIR=os.path.join(WORK, "target"))
    done = subprocess.run(command, cwd=TREE, env=environment, stdout=subprocess.PIPE, text=True)
    return done.returncode == 0, [json.loads(line) for line in done.stdout.splitlines()]


def build(mutants):
    """The test binaries by name, and the mutants that are in them."""
    by_file = collections.defaultdict(dict)
    constants = [number for number, mutant in mutants.items() if not mutant["function"]]
    for number, mutant in mutants.items():
        if number not in constants:
            by_file[mutant["file"]][number] = mutant
    copy(by_file.keys())
    files = [File(path, of_file) for path, of_file in by_file.items()]
    left_out = set()
    while True:
        lines, unable = {}, constants[:]
        for file in files:
            of_file, others = file.write(left_out)
            lines[file.path] = of_file
            unable.extend(others)
        fine, messages = cargo("test", "--no-run", "--test", "told")
        if fine:
            break
        wrong = set()
        for message in messages:
            if message["reason"] == "compiler-message" and message["message"]["level"] == "error":
                wrong |= numbers_at(message["message"]["spans"], lines)
        if not wrong:
            sys.exit("it does not build, and no mutant is why")
        left_out |= wrong
        print(f"{len(left_out)} do not compile", flush=True)
    tests = ["--lib"]
    for name in OF_PLANS + OF_REST:
        tests += ["--test", name] if name != "surprisal" else []
    fine, messages = cargo("test", "--no-run", *tests)
    if not fine:
        sys.exit("the tests do not build")
    built = [m for m in messages if m["reason"] == "compiler-artifact" and m["executable"]]
    binaries = {message["target"]["name"]: message["executable"] for message in built}
    for number in unable:
        print("for cargo-mutants:", mutants[number]["name"])
    left_out |= set(unable)
    return binaries, {n: m for n, m in mutants.items() if n not in left_out}


def numbers_at(spans, lines):
    at = [(span["file_name"], span["line_start"]) for span in spans if span["is_primary"]]
    return {n for path, line in at for n, of_mutant in lines.get(path, {}).items() if line in of_mutant}


def limit():
    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def passes(binary, number):
    """Whether a test binary passes with a mutant; stops it at the first test that fails."""
    skip = [part for name in ABOUT_GPUS for part in ("--skip", name)]
    environment = dict(
        os.environ,
        MUTANT=str(number),
        SURPRISAL_TEST_ADAPTER="none",
        PROPTEST_MAX_SHRINK_ITERS="0",
        PROPTEST_CASES=os.environ.get("PROPTEST_CASES", "100"),
    )
    process = subprocess.Popen(
        [binary, "--test-threads=1", *skip],
        cwd=TREE,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=limit,
    )
    late = threading.Event()

    def stop():
        late.set()
        os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(SECONDS, stop)
    timer.start()
    failed = any(line.rstrip().endswith(b"FAILED") for line in process.stdout)
    if process.poll() is None and failed:
        os.killpg(process.pid, signal.SIGKILL)
    status = process.wait()
    timer.cancel()
    if late.is_set() and not failed:
        raise TimeoutError
    return status == 0 and not failed


def outcome(binaries, number, mutant):
    tests = OF_PLANS if mutant["file"].startswith("src/gpu/plan") else OF_REST
    try:
        return "missed" if all(passes(binaries[test], number) for test in tests) else "caught"
    except TimeoutError:
        return "timeout"


def main():
    mutants = listed()
    binaries, built = build(mutants)
    for test, binary in binaries.items():
        if not passes(binary, 0):
            sys.exit(f"{test} fails without any mutant")
    chosen = {
        number: mutant
        for number, mutant in built.items()
        if not sys.argv[1:] or any(part in mutant["name"] for part in sys.argv[1:])
    }
    counts = collections.Counter()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = {pool.submit(outcome, binaries, *item): item for item in chosen.items()}
        for run in concurrent.futures.as_completed(runs):
            counts[run.result()] += 1
            if run.result() != "caught":
                print(f"{run.result()}: {runs[run][1]['name']}", flush=True)
    print(f"{len(mutants)} listed, {len(built)} built, {len(chosen)} run: {dict(counts)}")
    sys.exit(counts["missed"] + counts["timeout"] > 0)


if __name__ == "__main__":
    main()
