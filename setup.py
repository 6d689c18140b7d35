"""Maps the folders at the repository root under the `warpsmith` namespace and builds the emulator's VM."""

import importlib.util
import os
import platform
import shlex
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

FOLDERS = ["agents", "kernels_generated", "profiler", "sandbox", "seeds", "tasks"]
VM = Path("sandbox/emulator/vm")

COMPILERS = 2
"""Compiler processes at a time."""

OPTIMIZED = ["-O3", "-g0"]
"""Unless CXXFLAGS, which come behind, say otherwise."""
COMMON_FLAGS = [
    "-std=c++17",
    "-fvisibility=hidden",
    "-fno-strict-aliasing",
    # One rounding an instruction, on every machine, whatever CXXFLAGS ask for.
    "-fno-fast-math",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
]
MACHINE_FLAGS = ["-fno-exceptions", "-fno-rtti"]
AVX2_FLAGS = ["-mavx2", "-mfma", "-mf16c", "-mbmi", "-mbmi2", "-mlzcnt", "-mpopcnt"]
AVX512_FLAGS = [*AVX2_FLAGS, "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mprefer-vector-width=512"]
FLAGS = {
    "host.cpp": [],
    "machine_portable.cpp": MACHINE_FLAGS,
    "machine_avx2.cpp": [*MACHINE_FLAGS, *AVX2_FLAGS],
    "machine_avx512.cpp": [*MACHINE_FLAGS, *AVX512_FLAGS],
}
"""Each build of the VM is one file with its own instruction-set flags."""


def source_digest() -> str:
    spec = importlib.util.spec_from_file_location("digest", VM / "digest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.source_digest(VM)


class BuildVm(build_ext):
    """Compiles every source with its own flags, which setuptools' extensions cannot say."""

    def build_extension(self, ext: Extension) -> None:
        digest = source_digest()
        chosen = [*OPTIMIZED, *shlex.split(os.environ.get("CXXFLAGS", ""))]

        def compiled(source: str) -> list[str]:
            return self.compiler.compile(
                [source],
                output_dir=self.build_temp,
                macros=[*ext.define_macros, ("WS_SOURCE_DIGEST", f'"{digest}"')],
                include_dirs=ext.include_dirs,
                extra_postargs=[*chosen, *COMMON_FLAGS, *FLAGS[Path(source).name]],
                depends=ext.depends,
            )

        # Each of the machines takes half a minute and a gigabyte.
        with ThreadPoolExecutor(max_workers=min(COMPILERS, os.cpu_count() or 1)) as pool:
            objects = [item for found in pool.map(compiled, ext.sources) for item in found]
        if source_digest() != digest:
            raise RuntimeError(f"the sources in {VM} changed while they were being compiled; build again")
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        self.compiler.link_shared_object(objects, str(target), extra_postargs=["-pthread"], target_lang="c++")


def vm_extension() -> Extension:
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    files = [name for name in FLAGS if x86 or "avx" not in name]
    return Extension(
        "warpsmith.sandbox.emulator.vm._vm",
        [str(VM / name) for name in files],
        depends=[str(path) for path in sorted(VM.iterdir()) if path.suffix in (".h", ".inc")],
        py_limited_api=True,
    )


def main() -> None:
    package_dir = {"": "src"}
    packages = find_packages("src")
    for folder in FOLDERS:
        package_dir[f"warpsmith.{folder}"] = folder
        packages += [f"warpsmith.{folder}", *(f"warpsmith.{folder}.{name}" for name in find_packages(folder))]
    setup(
        package_dir=package_dir,
        packages=packages,
        ext_modules=[vm_extension()],
        cmdclass={"build_ext": BuildVm},
        options={"bdist_wheel": {"py_limited_api": "cp311"}},
    )


if __name__ == "__main__":
    main()
