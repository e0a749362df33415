"""``scripts/setup.sh`` on machines made of stand-ins: a PATH that holds nothing but what each test puts there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the library is looked for in fixed folders")

ROOT = Path(__file__).resolve().parents[2]
BASH = shutil.which("bash") or "/bin/bash"

# Every stand-in writes its name and arguments to a log, so that a test sees what was called and what was not.
PYTHON = """#!{bash}
case "$1 $2" in
    "-c import sys; sys.exit"*) exit {too_old} ;;
    "-c import venv, ensurepip") [ -e "$STATE/venv" ] ; exit ;;
esac
echo "python3 $*" >> "$STATE/log"
for folder; do :; done
mkdir -p "$folder/bin"; cp "$STATE/venv_python" "$folder/bin/python"; chmod +x "$folder/bin/python"
"""
VENV_PYTHON = """#!{bash}
[ "$3" = --version ] || echo "pip $*" >> "$STATE/log"
exit ${{PIP_STATUS:-0}}
"""
MANAGER = """#!{bash}
if [ "$1" = --prefix ]; then echo "$STATE"; exit 0; fi
echo "{name} $*" >> "$STATE/log"
if [ "$1" = update ]; then rm -f "$STATE/old_lists"; exit 0; fi
[ ! -e "$STATE/old_lists" ] || exit 100
[ ! -e "$STATE/broken_packages" ] || exit 0
touch "$STATE/library" "$STATE/venv"; cp "$STATE/noop" "$BIN/ngspice"
"""
SUDO = """#!{bash}
echo "sudo $*" >> "$STATE/log"
[ "$1" = -n ] && shift
exec "$@"
"""
LDCONFIG = """#!{bash}
echo "libc.so.6 (libc6,x86-64) => /lib/libc.so.6"
if [ -e "$STATE/library" ]; then echo "libngspice.so.0 (libc6,x86-64) => /lib/libngspice.so.0"; fi
"""


class Machine:
    """A checkout, and a PATH with only the programs that were added to it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin, self.state = folder, folder / "bin", folder / "state"
        self.checkout = folder / "checkout"
        self.environment: dict[str, str] = {}
        for path in (self.bin, self.state, self.checkout / "scripts"):
            path.mkdir(parents=True)
        for name in ("scripts/setup.sh", "constraints.txt", "pyproject.toml"):
            shutil.copy(ROOT / name, self.checkout / name)
        for name in ("cat", "chmod", "cmp", "cp", "dirname", "env", "head", "mkdir", "rm", "touch"):
            found = shutil.which(name)
            assert found
            (self.bin / name).symlink_to(found)
        self.write(self.state / "noop", "#!{bash}\n")
        self.write(self.state / "venv_python", VENV_PYTHON)
        self.add("ldconfig", LDCONFIG)
        self.add_user(0)
        self.add("python3", PYTHON, too_old=0)

    def write(self, path: Path, text: str, **values: object) -> None:
        path.write_text(text.format(bash=BASH, **values))
        path.chmod(0o755)

    def add(self, name: str, text: str, **values: object) -> None:
        self.write(self.bin / name, text, name=name, **values)

    def add_user(self, number: int) -> None:
        self.add("id", "#!{bash}\necho {number}\n", number=number)

    def provide(self, *parts: str) -> None:
        """Makes parts present from the start: ``ngspice``, ``library``, ``venv``."""
        for part in parts:
            (self.state / part).touch()
            if part == "ngspice":
                self.add("ngspice", "#!{bash}\n")

    def set_up(self, *options: str) -> subprocess.CompletedProcess[str]:
        (self.state / "log").write_text("")
        environment = {"PATH": str(self.bin), "BIN": str(self.bin), "STATE": str(self.state), **self.environment}
        return subprocess.run(
            [BASH, str(self.checkout / "scripts/setup.sh"), *options],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            cwd=self.folder,
        )

    @property
    def calls(self) -> list[str]:
        return (self.state / "log").read_text().splitlines()

    @property
    def system_calls(self) -> list[str]:
        return [call for call in self.calls if not call.startswith(("pip", "python3"))]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_machine_with_everything_gets_only_the_python_packages(machine: Machine) -> None:
    machine.provide("ngspice", "library", "venv")
    done = machine.set_up()
    assert done.returncode == 0, done.stderr
    assert machine.calls[0] == "python3 -m venv .venv"
    installs = machine.calls[1:]
    assert len(installs) == 2 and all(call.startswith("pip -m pip install") for call in installs)
    assert all("-c constraints.txt" in call for call in installs)
    assert "-e .[dev]" in installs[-1]


def test_a_second_call_does_nothing(machine: Machine) -> None:
    machine.provide("ngspice", "library", "venv")
    machine.set_up()
    done = machine.set_up()
    assert (done.returncode, done.stdout, machine.calls) == (0, "", [])


@pytest.mark.parametrize("name", ["constraints.txt", "pyproject.toml"])
def test_a_changed_requirement_installs_into_the_same_environment(machine: Machine, name: str) -> None:
    machine.provide("ngspice", "library", "venv")
    machine.set_up()
    with (machine.checkout / name).open("a") as file:
        file.write("# changed\n")
    machine.set_up()
    assert [call.split()[0] for call in machine.calls] == ["pip", "pip"]


def test_a_failed_installation_is_tried_again(machine: Machine) -> None:
    machine.provide("ngspice", "library", "venv")
    machine.environment["PIP_STATUS"] = "1"
    assert machine.set_up().returncode != 0
    machine.environment.clear()
    assert machine.set_up().returncode == 0
    assert any("-e .[dev]" in call for call in machine.calls)


def test_a_moved_checkout_gets_a_fresh_environment(machine: Machine) -> None:
    machine.provide("ngspice", "library", "venv")
    machine.set_up()
    machine.checkout = machine.checkout.rename(machine.folder / "elsewhere")
    assert machine.set_up().returncode == 0
    assert machine.calls[0] == "python3 -m venv --clear .venv"


@pytest.mark.parametrize(
    ("manager", "packages"),
    [
        ("apt-get", "install -y -q --no-install-recommends ngspice libngspice0 python3-venv"),
        ("dnf", "install -y ngspice libngspice python3"),
        ("brew", "install ngspice libngspice python3"),
    ],
)
def test_what_is_missing_is_installed(machine: Machine, manager: str, packages: str) -> None:
    machine.add(manager, MANAGER)
    if manager == "brew":
        machine.add_user(501)  # Homebrew refuses root
    done = machine.set_up()
    assert done.returncode == 0, done.stderr
    assert machine.system_calls == [f"{manager} {packages}"]


def test_only_what_is_missing_is_installed(machine: Machine) -> None:
    machine.provide("ngspice", "venv")
    machine.add("apt-get", MANAGER)
    assert machine.set_up().returncode == 0
    assert machine.system_calls == ["apt-get install -y -q --no-install-recommends libngspice0"]


def test_package_lists_are_fetched_only_when_an_installation_fails(machine: Machine) -> None:
    machine.add("apt-get", MANAGER)
    (machine.state / "old_lists").touch()
    assert machine.set_up().returncode == 0
    assert [call.split()[1] for call in machine.system_calls] == ["install", "update", "install"]


def test_a_user_with_sudo_installs_through_it(machine: Machine) -> None:
    machine.provide("venv", "ngspice")
    machine.add_user(1000)
    machine.add("sudo", SUDO)
    machine.add("true", "#!{bash}\n")
    machine.add("apt-get", MANAGER)
    assert machine.set_up().returncode == 0
    assert "apt-get install -y -q --no-install-recommends libngspice0" in machine.calls
    assert any(call.startswith("sudo -n env DEBIAN_FRONTEND=noninteractive apt-get install") for call in machine.calls)


@pytest.mark.parametrize("sudo", [None, "#!{bash}\nexit 1\n"])
def test_a_user_without_the_right_is_told_what_to_install(machine: Machine, sudo: str | None) -> None:
    machine.add_user(1000)
    if sudo:
        machine.add("sudo", sudo)
    machine.add("apt-get", MANAGER)
    done = machine.set_up()
    assert done.returncode == 3
    assert "apt-get install ngspice libngspice0 python3-venv" in done.stderr
    assert machine.calls == []


def test_a_user_without_the_right_goes_on_where_nothing_is_missing(machine: Machine) -> None:
    machine.provide("ngspice", "library", "venv")
    machine.add_user(1000)
    assert machine.set_up().returncode == 0


def test_an_unknown_system_is_told_what_to_install(machine: Machine) -> None:
    machine.provide("venv")
    done = machine.set_up()
    assert done.returncode == 3
    assert "lacks: ngspice libngspice\n" in done.stderr
    assert machine.calls == []


def test_an_installation_that_did_not_help_is_not_taken_for_one_that_did(machine: Machine) -> None:
    machine.provide("ngspice", "venv")
    machine.add("apt-get", MANAGER)
    (machine.state / "broken_packages").touch()
    done = machine.set_up()
    assert done.returncode == 3
    assert "still not found: libngspice" in done.stderr
    assert not (machine.checkout / ".venv").exists()


def test_a_library_named_by_the_user_counts(machine: Machine) -> None:
    machine.provide("ngspice", "venv")
    library = machine.folder / "libngspice.so"
    library.touch()
    machine.environment["NGSPICE_LIBRARY_PATH"] = str(library)
    assert machine.set_up().returncode == 0


def test_an_old_python_is_refused_with_what_to_do(machine: Machine) -> None:
    machine.provide("ngspice", "library", "venv")
    machine.add("python3", PYTHON, too_old=1)
    done = machine.set_up()
    assert done.returncode == 3
    assert "no Python 3.11 or newer" in done.stderr and "python3.11" in done.stderr


def test_a_newer_python_is_found_under_its_own_name(machine: Machine) -> None:
    machine.provide("ngspice", "library", "venv")
    machine.add("python3", PYTHON, too_old=1)
    machine.add("python3.12", PYTHON, too_old=0)
    assert machine.set_up().returncode == 0


def test_check_says_what_is_missing_and_changes_nothing(machine: Machine) -> None:
    machine.provide("ngspice", "venv")
    machine.add("apt-get", MANAGER)
    done = machine.set_up("--check")
    assert done.returncode == 3
    assert "missing: libngspice .venv" in done.stderr
    assert machine.calls == []


def test_check_passes_after_set_up(machine: Machine) -> None:
    machine.provide("ngspice", "library", "venv")
    machine.set_up()
    assert machine.set_up("--check").returncode == 0


def test_an_unknown_option_is_refused(machine: Machine) -> None:
    done = machine.set_up("--chek")
    assert done.returncode == 2
    assert "--chek" in done.stderr


def test_the_script_is_executable() -> None:
    assert os.access(ROOT / "scripts/setup.sh", os.X_OK)
