"""Row names of instructions that touch memory, other lanes or control; None where a word is unknown.

A word that no list here has makes the instruction unsupported: an emulator that skipped one would lie.
"""

from __future__ import annotations

from collections.abc import Callable

from ..program import Instr
from .product_words import product, quads_name
from .spelling import bits

Words = tuple[str, ...]

ORDERS = frozenset(("weak", "relaxed", "acquire", "release", "acq_rel", "sc", "volatile", "cta", "gpu", "sys"))
CACHES = frozenset(
    ("nc", "ca", "cg", "cs", "lu", "cv", "wb", "wt", "evict_first", "evict_last", "evict_normal", "no_allocate")
)
SPACES = {
    "global": "global",
    "shared": "shared",
    "shared::cta": "shared",
    "local": "local",
    "const": "const",
    "param": "param",
    "param::entry": "param",
    "param::func": "param",
}
FEWEST = dict.fromkeys(("ld", "ldu", "st", "atom", "red", "cp", "bar", "barrier"), 1) | {
    "ldmatrix": 5, "stmatrix": 5, "shfl": 2, "vote": 2, "match": 3, "redux": 3, "mma": 9, "wmma": 7,
}  # fmt: skip
"""Words that an opcode's rule reads at least."""
VECTORS = ("v2", "v4", "v8")


def warp_name(instr: Instr) -> str | None:
    """Name of the row, whether or not the table has it; None where the instruction has words of unknown effect."""
    rule = _RULES.get(instr.opcode)
    if rule is None or len(instr.modifiers) < FEWEST.get(instr.opcode, 0):
        return None
    return rule(instr.opcode, instr.modifiers)


def member_mask_operand(instr: Instr) -> int | None:
    """Which operand is the member mask; -1 where every lane must take part (`.aligned`); None where there is none."""
    if instr.opcode in ("shfl", "vote", "match", "redux", "elect"):
        return len(instr.operands) - 1
    if instr.opcode == "bar" and instr.modifiers[:2] == ("warp", "sync"):
        return 0
    return -1 if instr.opcode in ("mma", "wmma", "ldmatrix", "stmatrix", "movmatrix") else None


def _ignored(word: str) -> bool:
    return word in ORDERS or word in CACHES or word.startswith(("L1::", "L2::"))


def _access(opcode: str, words: Words) -> str | None:
    *middle, kind = words
    space, vector = "generic", ""
    for word in middle:
        if word in SPACES:
            space = SPACES[word]
        elif word in VECTORS:
            vector = f".{word}"
        elif not _ignored(word):
            return None
    keeps_sign = opcode == "ld" and kind in ("s8", "s16", "s32")
    return f"{opcode}.{space}{vector}.{kind if keeps_sign else bits(kind)}"


def _atomic(opcode: str, words: Words) -> str | None:
    *middle, kind = words
    space, operations, vector = "generic", [], ""
    for word in middle:
        if word in SPACES:
            space = SPACES[word]
        elif word in VECTORS:
            vector = f"{word}."
        elif not _ignored(word) and word != "noftz":
            operations.append(word)
    if len(operations) != 1:
        return None
    operation = operations[0]
    typed = kind[0] == "f" or kind[:2] == "bf" or operation in ("min", "max", "inc", "dec")
    return f"{opcode}.{space}.{operation}.{vector}{kind if typed else bits(kind)}"


def _copy(opcode: str, words: Words) -> str | None:
    if words in (("async", "commit_group"), ("async", "wait_group"), ("async", "wait_all")):
        return f"cp.{'.'.join(words)}"
    if words[:3] == ("async", "mbarrier", "arrive"):
        return _mbarrier("cp.async.mbarrier", words[2:])
    expected = words[:2] in (("async", "ca"), ("async", "cg")) and words[2:4] in (
        ("shared", "global"),
        ("shared::cta", "global"),
    )
    return "cp.async" if expected and all(map(_ignored, words[4:])) else None


def _mbarrier(opcode: str, words: Words) -> str | None:
    """mbarrier.what{.noComplete}{.expect_tx}{.parity}{.sem}{.scope}{.space}.b64."""
    what, *middle, kind = words
    if words == ("pending_count", "b64"):
        return "mbarrier.pending_count"
    kept, space = [], "generic"
    for word in middle:
        if word in SPACES:
            space = SPACES[word]
        elif word in ("noComplete", "expect_tx", "parity", "noinc"):
            kept.append(word)
        elif word not in ORDERS:
            return None
    if kind != "b64" or space not in ("shared", "generic"):
        return None
    return ".".join((opcode, what, *kept, space))


def _matrix_move(opcode: str, words: Words) -> str | None:
    """ldmatrix.sync.aligned.m8n8.num{.trans}{.space}.b16."""
    if words[:3] != ("sync", "aligned", "m8n8") or words[-1] != "b16":
        return None
    count, *rest = words[3:-1]
    trans = ".trans" if "trans" in rest else ""
    spaces = [word for word in rest if word != "trans"]
    if spaces and spaces[0] not in ("shared", "shared::cta"):
        return None
    return f"{opcode}.{count}{trans}.{'shared' if spaces else 'generic'}"


def _matrix_multiply(opcode: str, words: Words) -> str | None:
    quads = quads_name(words)
    if quads is not None:
        return f"mma.{quads}"
    found = product(words)
    return f"mma.{found.name}" if found is not None and words[:1] != ("mma",) else None


def _wmma(opcode: str, words: Words) -> str | None:
    if words[0] in ("load", "store"):
        if words[2:4] != ("sync", "aligned") or words[4] not in ("row", "col"):
            return None
        if any(word not in SPACES for word in words[6:-1]):
            return None
        return f"wmma.{words[0]}.{words[1]}.{words[5]}.{words[-1]}"
    found = product(words)
    return f"wmma.mma.{found.name}" if found is not None and words[0] == "mma" else None


def _shuffle(opcode: str, words: Words) -> str | None:
    return f"{opcode}.{words[1]}" if words[0] == "sync" else None


def _match(opcode: str, words: Words) -> str | None:
    return f"match.{words[0]}.{words[2]}" if len(words) == 3 and words[1] == "sync" else None


def _reduction(opcode: str, words: Words) -> str | None:
    return f"redux.{words[1]}.{words[2]}" if len(words) == 3 and words[0] == "sync" else None


def _barrier(opcode: str, words: Words) -> str | None:
    kept = [word for word in words if word not in ("cta", "aligned", "uni")]
    return ".".join((opcode, *kept))


def _fence(opcode: str, words: Words) -> str | None:
    """Proxies and the initialisation of mbarriers are fenced at once: all accesses here go the same way."""
    if words[0] == "proxy":
        return "fence.proxy" if words[1:2] in (("alias",), ("async",)) else None
    if words[0] == "mbarrier_init":
        return "fence.proxy"
    return opcode if set(words) <= ORDERS | {"cluster"} else None


def _prefetch(opcode: str, words: Words) -> str | None:
    return None if "tensormap" in words else opcode


def _plain(opcode: str, words: Words) -> str | None:
    return opcode


_RULES: dict[str, Callable[[str, Words], str | None]] = {
    "ld": _access,
    "ldu": lambda opcode, words: _access("ld", words),
    "st": _access,
    "atom": _atomic,
    "red": _atomic,
    "cp": _copy,
    "mbarrier": _mbarrier,
    "ldmatrix": _matrix_move,
    "stmatrix": _matrix_move,
    "mma": _matrix_multiply,
    "wmma": _wmma,
    "shfl": _shuffle,
    "vote": _shuffle,
    "match": _match,
    "redux": _reduction,
    "elect": _plain,
    "activemask": _plain,
    "bar": _barrier,
    "barrier": _barrier,
    "membar": _plain,
    "movmatrix": lambda opcode, words: opcode if words == ("sync", "aligned", "m8n8", "trans", "b16") else None,
    "createpolicy": _plain,
    "brkpt": _plain,
    "fence": _fence,
    "bra": _plain,
    "brx": _barrier,
    "ret": _plain,
    "exit": _plain,
    "trap": _plain,
    "call": _plain,
    "nanosleep": _plain,
    "prefetch": _prefetch,
    "prefetchu": _plain,
    "discard": _plain,
    "applypriority": _plain,
    "griddepcontrol": _plain,
    "pmevent": _plain,
}
