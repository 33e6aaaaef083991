"""What `pip install .` and `pip wheel .` call (PEP 517): builds the program and the extension module with CMake and
Ninja in build/release, and puts them into a wheel with the Python sources, the type stubs and the town.

Settings, as in `pip install . --config-settings build-dir=build/dev`:

- ``build-dir``: a folder that is already configured and built as far as it is, instead of build/release
"""

import base64
import hashlib
import io
import os
import pathlib
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TARGETS = ["throng", "throng_python"]
METADATA = """\
Metadata-Version: 2.1
Name: throng
Version: {version}
Summary: Societies of language-model agents: worlds in Python, out of order, on a compressed KV cache
License: Apache-2.0
Requires-Python: >=3.10
Provides-Extra: numpy
Requires-Dist: numpy; extra == "numpy"
Description-Content-Type: text/markdown

{readme}"""


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    build = _build((config_settings or {}).get("build-dir"))
    version = _version()
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    tag = f"{tag}-{tag}-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
    name = f"throng-{version}-{tag}.whl"
    files = {f"throng/{path.name}": path for path in sorted((ROOT / "python/throng").iterdir())
             if path.suffix in {".py", ".pyi"} or path.name == "py.typed"}
    native = f"_native{sysconfig.get_config_var('EXT_SUFFIX')}"
    files[f"throng/{native}"] = build / "python/throng" / native
    files["throng/bin/throng"] = build / "throng"
    files.update((f"throng/share/throng/{path.relative_to(ROOT)}", path) for path in sorted((ROOT / "town").rglob("*"))
                 if path.is_file())
    info = f"throng-{version}.dist-info"
    texts = {
        f"{info}/METADATA": _metadata(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: throng\nRoot-Is-Purelib: false\nTag: {tag}\n",
        f"{info}/entry_points.txt": "[console_scripts]\nthrong = throng._program:main\n",
        f"{info}/LICENSE": (ROOT / "LICENSE").read_text(),
    }
    contents = [(name, path.read_bytes(), path.stat().st_mode) for name, path in files.items()]
    contents += [(name, text.encode(), 0o644) for name, text in texts.items()]
    record = f"{info}/RECORD"
    lines = [f"{name},sha256={_digest(data)},{len(data)}\n" for name, data, _ in contents]
    contents.append((record, "".join([*lines, f"{record},,\n"]).encode(), 0o644))
    with zipfile.ZipFile(pathlib.Path(wheel_directory) / name, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name_inside, data, mode in contents:
            entry = zipfile.ZipInfo(name_inside)  # of a fixed date: equal files make equal wheels
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100755 if mode & 0o111 else 0o100644) << 16
            wheel.writestr(entry, data)
    return name


def build_sdist(sdist_directory, config_settings=None):
    """Packs what git knows of this tree."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    stem = f"throng-{_version()}"
    name = f"{stem}.tar.gz"
    with tarfile.open(pathlib.Path(sdist_directory) / name, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        for path in filter(None, listed.decode().split("\0")):
            archive.add(ROOT / path, f"{stem}/{path}", recursive=False)
        metadata = _metadata().encode()
        entry = tarfile.TarInfo(f"{stem}/PKG-INFO")
        entry.size = len(metadata)
        archive.addfile(entry, io.BytesIO(metadata))
    return name


def _version():
    return re.search(r"^project\(throng VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text(), re.M)[1]


def _metadata():
    return METADATA.format(version=_version(), readme=(ROOT / "README.md").read_text())


def _digest(data):
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _build(folder):
    """Builds the targets for this interpreter; returns the build folder."""
    if folder:
        build = (ROOT / folder).resolve()
    else:
        build = ROOT / "build/release"
        # The interpreter behind a virtual environment: build folders outlive environments.
        python = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
        _run("cmake", "--preset", "release", f"-DPython3_EXECUTABLE={python}")
    _run("cmake", "--build", build, "--target", *TARGETS)
    return build


def _run(*command):
    try:
        subprocess.run(command, cwd=ROOT, check=True)
    except FileNotFoundError:
        sys.exit(f"throng: there is no {command[0]}; scripts/setup lists the Debian packages that a build needs")
    except subprocess.CalledProcessError as error:
        sys.exit(f"throng: `{' '.join(map(str, command))}` failed with exit code {error.returncode}; its output is "
                 "above, and scripts/setup lists the Debian packages that a build needs")
