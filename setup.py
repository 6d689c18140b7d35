"""Maps the folders at the repository root under the `warpsmith` namespace and builds the emulator's VM."""

from setuptools import find_packages, setup

FOLDERS = ["agents", "kernels_generated", "profiler", "sandbox", "seeds", "tasks"]

package_dir = {"": "src"}
packages = find_packages("src")
for folder in FOLDERS:
    package_dir[f"warpsmith.{folder}"] = folder
    packages += [f"warpsmith.{folder}", *(f"warpsmith.{folder}.{name}" for name in find_packages(folder))]

setup(package_dir=package_dir, packages=packages)
