"""Plans that ask for more than a plan may, or promise less."""

from __future__ import annotations

from .case import GRID, at_store, prepared, split, tile

PLAN = (
    tile("an input that is not const", ("const x_t* x", "x_t* x"), gets="CompileFailed", says="read-only.*const"),
    tile("an element type of its own", ("const w_t* w", "const float* w"), gets="CompileFailed", says="w"),
    tile(
        "operands exchanged",
        ("const x_t* x, const w_t* w", "const w_t* w, const x_t* x"),
        ("block = 64", 'block = 64\n// args = ["x", "w", "b", "y", "M", "N", "K"]'),
        gets="OutOfBounds|Wrong",
        says="of x|one row",
    ),
    tile(
        "a domain without the bench shapes",
        ('task = "linear"', 'task = "linear"\n// requires = "N <= 128"'),
        gets="Rejected",
        says="requires",
    ),
    tile(
        "a domain without anything that is checked",
        ('task = "linear"', 'task = "linear"\n// requires = "N >= 512"'),
        gets="Inconclusive",
        says="no verify workload is inside",
    ),
    tile(
        "a domain of the visible sizes alone",
        (
            'task = "linear"',
            'task = "linear"\n// requires = "(M == 1 and N == 96 and K == 256) or (M == 16 and N == 1024 '
            'and K == 1024) or (M == 64 and N == 512 and K == 2048)"',
        ),
        gets="Inconclusive",
        says="no size but those",
    ),
    tile(
        "no launch at one size",
        (GRID, GRID + '\n// when = "M != 7"'),
        gets="Unwritten",
        says="no launch runs at this size",
    ),
    tile(
        "a million knobs",
        (
            "//\n// [[launch]]",
            "//\n// [tune]\n// AA = ["
            + ", ".join(map(str, range(1000)))
            + "]\n// BB = ["
            + ", ".join(map(str, range(1000)))
            + "]\n//\n// [[launch]]",
        ),
        gets="KernelFileError",
        says="combinations",
    ),
    split(
        "a terabyte of scratch",
        ('shape = [4, "M", "N"]', 'shape = [4, "M * 1000000", "N * 1000"]'),
        gets="KernelFileError",
        says="bytes",
    ),
    tile(
        "a grid without end",
        (GRID, 'grid = ["cdiv(N, 64)", "M * 100000"]'),
        gets="KernelFileError",
        says="grid y",
    ),
    tile("too many threads", ("block = 64", "block = 2048"), gets="KernelFileError", says="1024"),
    tile(
        "more shared memory than there is",
        ("block = 64", "block = 64\n// shared = 400000"),
        gets="KernelFileError",
        says="shared memory; the target",
    ),
    tile("a thousand launches", ("block = 64", "block = 64\n// repeat = 1000"), gets="KernelFileError", says="256"),
    tile("another task's name", ('task = "linear"', 'task = "softmax"'), gets="KernelFileError", says="softmax"),
    prepared(
        "prepare reads what changes",
        ("const w_t* w, w_t* columns", "const w_t* w, const x_t* x, w_t* columns"),
        ("= w[i];", "= ws::from_float<w_t>(ws::to_float(w[i]) + 0.f * ws::to_float(x[0]));"),
        gets="KernelFileError",
        says="`x` is not a static input",
    ),
    prepared(
        "prepare writes the output",
        ("const w_t* w, w_t* columns", "const w_t* w, y_t* y, w_t* columns"),
        ("= w[i];", "= w[i], y[0] = ws::from_float<y_t>(0.f);"),
        gets="KernelFileError",
        says="`y` is not a static input",
    ),
    prepared(
        "a call changes what was prepared",
        ("const x_t* x, const w_t* columns", "const x_t* x, w_t* columns"),
        ("    y[(size_t)m", "    columns[(size_t)n * K] = ws::from_float<w_t>(0.f);\n    y[(size_t)m"),
        gets="CompileFailed",
        says="columns.*read-only",
    ),
    prepared(
        "prepared values that are half written",
        ("if (i < N * K)", "if (i < N * K && i % 2)"),
        gets="Uninitialised",
        says="columns",
    ),
    prepared(
        "a prepared copy four times the weights",
        ('shape = ["N", "K"]', 'shape = [4, "N", "K"]'),
        gets="OverBudget",
        says="prepared buffers hold",
    ),
    tile(
        "as many blocks as fit, and no loop",
        (GRID, 'grid = ["min(cdiv(N, 64), SMS)", "M"]'),
        gets="Unwritten",
        says=r"y\[0, \d+\]",
    ),
    tile(
        "right on the target's multiprocessors alone",
        (GRID, 'grid = ["cdiv(N, 64)", "M * (SMS > 100)"]'),
        gets="Unwritten",
        says="3 multiprocessors",
    ),
    tile(
        "right where the device is large",
        at_store('unsigned s; asm("mov.u32 %0, %%nsmid;" : "=r"(s)); if (s < 100) sum = 0;'),
        gets="Wrong",
        says="elements of y",
    ),
)
