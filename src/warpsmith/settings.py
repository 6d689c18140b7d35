"""Where things are kept and how much of the machine is used: the only reader of the environment."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from warpsmith.core.errors import SettingsError

VARIABLES: Mapping[str, str] = {
    "WARPSMITH_STORE": "SQLite file that runs are recorded in",
    "WARPSMITH_LIBRARY": "folder that accepted kernels go to",
    "WARPSMITH_CACHE": "folder of compiled artifacts",
    "WARPSMITH_THREADS": "host threads that compilation and emulation may use",
    "WARPSMITH_GPU_WORKER": "command that starts a GPU worker, in place of our own",
    "OPENAI_API_KEY": "key for openai: models",
    "OPENAI_BASE_URL": "another server for openai: models",
    "WARPSMITH_OPENAI_API": "responses or chat; default: chat where another server is set, else responses",
    "ANTHROPIC_API_KEY": "key for anthropic: models",
    "ANTHROPIC_BASE_URL": "another server for anthropic: models",
}
"""Environment variable -> what it sets."""

API_KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY")
"""Variables in which the model providers' own clients look for a key."""


WORKER_VARIABLES = frozenset(
    (
        *("PATH", "HOME", "TMPDIR", "LANG", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH"),
        *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_CACHE_PATH", "CUDA_HOME", "CUDA_PATH"),
        *("NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES"),
    )
)
"""All that a GPU worker gets to see of the environment: where a kernel can reach host memory, it holds no secret."""


def let_threads_sleep(environment: MutableMapping[str, str] = os.environ) -> None:
    """Have torch's threads sleep while they wait; read when torch is first loaded.

    They spin otherwise, which costs a reference of many small steps several times its own work where other processes
    share the cores.
    """
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def ask_for_large_pages(environment: MutableMapping[str, str] = os.environ) -> None:
    """Have torch ask for pages of 2 MiB for its large tensors, as NumPy does; read when torch is first loaded.

    References at real sizes make and drop gigabytes, and the kernel hands them out page by page.
    """
    environment.setdefault("THP_MEM_ALLOC_ENABLE", "1")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a command works with where no option says otherwise."""

    store: Path
    library: Path
    cache: Path
    threads: int
    gpu_worker: tuple[str, ...] = ()
    """Command that starts a GPU worker; empty: our own."""
    worker_environment: Mapping[str, str] | None = None
    """What it gets to see of the environment; None: everything."""


def read_settings(environment: Mapping[str, str] = os.environ, folder: Path | None = None) -> Settings:
    """Settings from the environment, else their defaults; `folder` (default: the working one) may lie in a checkout.

    Raises:
        SettingsError: a variable holds something that does not fit.
    """
    import platformdirs

    data = platformdirs.user_data_path("warpsmith", appauthor=False)
    return Settings(
        store=_path(environment, "WARPSMITH_STORE") or data / "warpsmith.sqlite",
        library=_path(environment, "WARPSMITH_LIBRARY") or _of_checkout(folder or Path.cwd()) or data / "library",
        cache=_path(environment, "WARPSMITH_CACHE") or platformdirs.user_cache_path("warpsmith", appauthor=False),
        threads=_threads(environment),
        gpu_worker=tuple(shlex.split(environment.get("WARPSMITH_GPU_WORKER", ""))),
        worker_environment={name: value for name, value in environment.items() if name in WORKER_VARIABLES},
    )


@dataclass(frozen=True, slots=True)
class Provider:
    """How the environment says a provider of models is reached."""

    key: str = field(repr=False)
    variable: str
    base_url: str
    """Empty: the provider's own."""
    api: str = ""
    """`responses` or `chat`, for OpenAI; empty: not said."""


def read_provider(name: str, environment: Mapping[str, str] = os.environ) -> Provider:
    """Key and address of `openai` or `anthropic`.

    Raises:
        SettingsError: WARPSMITH_OPENAI_API names no API.
    """
    stem = name.upper()
    api = environment.get("WARPSMITH_OPENAI_API", "") if name == "openai" else ""
    if api not in ("", "responses", "chat"):
        raise SettingsError(f"WARPSMITH_OPENAI_API is {api!r}.", remedy="Set it to responses or chat, or unset it.")
    variable = f"{stem}_API_KEY"
    key = environment.get(variable) or _hidden.get(variable, "")
    return Provider(key.strip(), variable, environment.get(f"{stem}_BASE_URL", ""), api)


_hidden: dict[str, str] = {}


@contextmanager
def hidden_keys(environment: MutableMapping[str, str] = os.environ) -> Iterator[None]:
    """Take the keys out of the environment for as long as children are started; `read_provider` knows them still."""
    _hidden.update({name: environment.pop(name) for name in API_KEYS if name in environment})
    try:
        yield
    finally:
        environment.update(_hidden)
        _hidden.clear()


def api_keys(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Names, never values, of the API keys that are set."""
    return tuple(name for name in API_KEYS if environment.get(name))


def _path(environment: Mapping[str, str], name: str) -> Path | None:
    text = environment.get(name, "")
    return Path(text).expanduser().absolute() if text else None


def _threads(environment: Mapping[str, str]) -> int:
    text = environment.get("WARPSMITH_THREADS", "")
    if not text:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not text.isdecimal() or int(text) < 1:
        raise SettingsError(f"WARPSMITH_THREADS is {text!r}.", remedy="Give a whole number from 1, or unset it.")
    return int(text)


def _of_checkout(folder: Path) -> Path | None:
    """`kernels_generated/` of the warpsmith checkout that `folder` lies in, where it lies in one."""
    for root in (folder, *folder.parents):
        library = root / "kernels_generated"
        if (library / "__init__.py").is_file() and (root / "src" / "warpsmith").is_dir():
            return library
    return None
