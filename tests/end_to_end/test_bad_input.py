"""Bad specs and decks: exit status 2, and one message that names the file, the line, the value and what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.end_to_end.command_line import AMPLIFIER, SPEC, replaced, sizewise, write

NEVER = '  t: {in: ac, take: "when vdb(out)=200"}\n'

BAD_SPECS = {
    "unknown key": ("scale: log}\n  rl", "scal: log}\n  rl", "spec.yaml:3", "'scal'", "'scale'"),
    "unknown key at the top": ("measures:", "measure:", "spec.yaml:8", "'measure'", "did you mean 'measures'"),
    "a misspelt section": ("specs:", "spces:", "spec.yaml:12", "unknown key 'spces'", "did you mean 'specs'"),
    "unknown unit": ("unit: Hz", "unit: furlong", "spec.yaml:14", "'furlong'", "known units"),
    "unit of another quantity": ("unit: Hz", "unit: V", "spec.yaml:14", "'V' does not fit", "unit: Hz"),
    "min > max": ("min: 1k, max: 100k", "min: 100k, max: 1k", "spec.yaml:4", "100000 and high is 1000", "swap"),
    "no number": ("min: 1k", "min: many", "spec.yaml:4", "'many'", ""),
    "a variable that no deck defines": ("  rl: {", "  rload: {", "spec.yaml:4", "'rload'", "rl, w1"),
    "unknown net": ("dc_gain, node: out", "dc_gain, node: outt", "spec.yaml:9", "'outt'", "did you mean 'out'"),
    "unknown net in ngspice's words": (
        "kind: dc_gain, node: out",
        'take: "max vdb(vout)"',
        "spec.yaml:9",
        "'vout'",
        "did you mean 'out'",
    ),
    "unknown source": ("source: vdd", "source: vcc", "spec.yaml:11", "'vcc'", "vdd, vin"),
    "unknown measure": ("kind: dc_gain", "kind: dcgain", "spec.yaml:9", "'dcgain'", "'dc_gain'"),
    "a sweep backwards": ("ac dec 10 1k 10g", "ac dec 10 10g 1k", "spec.yaml:7", "from 10g to 1k", "lower"),
    "no analysis": ("ac dec 10 1k 10g", "shell touch x", "spec.yaml:7", "'shell touch x'", "known are op"),
    "not YAML": ("min: 1k,", "min: 1k: [", "spec.yaml:4", "not YAML", "indentation"),
    "a missing deck": ("netlist: amp.cir", "netlist: apm.cir", "spec.yaml:1", "apm.cir does not exist", "path"),
}
"""What is replaced in the spec, by what, and the place, the problem and the remedy that the message must hold."""

BAD_DECKS = {
    "a missing include": ("vdd vdd", ".include models/n.lib\nvdd vdd", "amp.cir:3", "'models/n.lib'", "check the path"),
    "an unknown model": ("0 0 nch", "0 0 nhc", "amp.cir:5", "'nhc'", "did you mean 'nch'"),
    "an unknown subcircuit": ("cl out", "x1 out 0 filter\ncl out", "amp.cir:7", "'filter'", ""),
    "an undefined parameter": ("l=0.5u", "l={l1}", "amp.cir:5", "'l1'", ".param l1="),
    "an unclosed brace": ("out {rl}", "out {rl", "amp.cir:6", "unclosed brace", "close every {"),
    "a floating net": ("cl out", "c2 out mid 1p\nc3 mid 0 1p\ncl out", "amp.cir:7", "'mid' at c2 floats", "rshunt"),
    "a floating gate": ("out g 0 0", "out gg 0 0", "amp.cir:5", "'gg' at m1 floats", "path to ground"),
    "a variable that nothing uses": ("out {rl}", "out 3k", "spec.yaml:4", "'rl'", "{rl}"),
    "what ngspice refuses": ("0 1p", "0 1p\nc9 out 0 1p foo=3", "amp.cir:8", "unknown parameter (foo)", "this line"),
    "a parameter named as a function": (
        "l=0.5u",
        "l=ln\n.param ln=0.5u",
        "amp.cir:5",
        "'ln', which is a function of ngspice",
        "another name",
    ),
    "a model level that there is not": ("level=1", "level=99", "amp.cir:5", "could not find a valid modelname", ""),
    "two devices of one name": ("0 1p", "0 1p\ncl out 0 2p", "amp.cir:8", "'cl'", "another name"),
    "a loop of sources": ("cl out", "v2 vdd 0 1.7\ncl out", "amp.cir", "singular matrix", "loop of voltage sources"),
}


def refused(folder: Path, place: str, problem: str, remedy: str, *arguments: str) -> None:
    run = sizewise(folder, *arguments)
    assert run.status == 2, run
    first, _, rest = run.err.partition("\n")
    assert re.match(rf"error: (\S*/)?{re.escape(place)}[: ]", first), run.err
    assert problem in first, run.err
    assert rest.strip() and remedy in rest, run.err
    assert len(run.err) < 1000
    assert not (folder / "runs").exists()  # nothing is left of a run that could not begin


@pytest.mark.parametrize("name", BAD_SPECS)
def test_a_bad_spec_is_refused(tmp_path: Path, name: str) -> None:
    old, new, place, problem, remedy = BAD_SPECS[name]
    write(tmp_path, {"spec.yaml": replaced(SPEC, old, new), "amp.cir": AMPLIFIER})
    refused(tmp_path, place, problem, remedy, "size", "spec.yaml")


@pytest.mark.parametrize("name", BAD_DECKS)
def test_a_bad_deck_is_refused(tmp_path: Path, name: str) -> None:
    old, new, place, problem, remedy = BAD_DECKS[name]
    write(tmp_path, {"spec.yaml": SPEC, "amp.cir": replaced(AMPLIFIER, old, new)})
    refused(tmp_path, place, problem, remedy, "size", "spec.yaml")


def test_floating_is_allowed_where_it_is_meant(tmp_path: Path) -> None:
    deck = replaced(AMPLIFIER, "cl out", "c2 out mid 1p\nc3 mid 0 1p\ncl out")
    spec = replaced(SPEC, "variables:", "simulator: {options: {rshunt: 1e12}}\nvariables:")
    write(tmp_path, {"spec.yaml": spec, "amp.cir": deck})
    assert sizewise(tmp_path, "check", "spec.yaml").status == 0


@pytest.mark.parametrize("words", [("check", "gone.yaml"), ("size", "gone.yaml"), ("init", "gone.cir")])
def test_a_missing_file_is_named(tmp_path: Path, words: tuple[str, str]) -> None:
    run = sizewise(tmp_path, *words)
    assert run.status == 2
    assert words[1] in run.err
    assert "check the path" in run.err


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--optimizer", "cmaess", "'cmaess'"),
        ("--budget", "0", "'0'"),
        ("--jobs", -1, "--jobs"),
        ("--seed", -1, "--seed"),
        ("--policy", "gone", "gone: there is no policy"),
        ("--from", "gone", "gone"),
        ("-o", "taken", "taken: the folder is not empty"),
    ],
)
def test_a_bad_option_is_refused_before_the_deck_is_tried(
    tmp_path: Path, option: str, value: object, said: str
) -> None:
    write(tmp_path, {"spec.yaml": SPEC, "amp.cir": AMPLIFIER, "taken/notes.txt": "mine"})
    run = sizewise(tmp_path, "size", "spec.yaml", option, value)
    assert run.status == 2 and said in run.err, run
    assert "trying the deck" not in run.out
    assert not (tmp_path / "runs").exists() and [path.name for path in (tmp_path / "taken").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("command", ["resume", "apply"])
def test_a_run_that_is_not_there_is_named(tmp_path: Path, command: str) -> None:
    run = sizewise(tmp_path, command, "runs/gone")
    assert run.status == 2
    assert "runs/gone" in run.err


@pytest.mark.parametrize("content", [b"", b"a title and no more\n.end\n"])
def test_an_empty_deck_is_refused(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, {"spec.yaml": SPEC})
    (tmp_path / "amp.cir").write_bytes(content)
    refused(tmp_path, "amp.cir", "the deck ", "title", "size", "spec.yaml")
    run = sizewise(tmp_path, "init", "amp.cir")
    assert run.status == 2 and "title" in run.err


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"spec.yaml": SPEC})
    (tmp_path / "amp.cir").write_bytes(bytes(range(256)) * 64)
    for words in (("size", "spec.yaml"), ("init", "amp.cir")):
        run = sizewise(tmp_path, *words)
        assert run.status == 2
        assert "amp.cir" in run.err and "binary" in run.err and "plain text" in run.err
    run = sizewise(tmp_path, "size", "amp.cir")
    assert run.status == 2 and "amp.cir" in run.err


def test_a_deck_of_50_megabytes_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"spec.yaml": SPEC})
    with (tmp_path / "amp.cir").open("w") as file:
        file.write(AMPLIFIER.removesuffix(".end\n"))
        file.write("* a line of no use, many times over\n" * (50 * 2**20 // 36))
    run = sizewise(tmp_path, "size", "spec.yaml")
    assert run.status == 2
    assert "amp.cir" in run.err and "50 MiB" in run.err and "at most 32 MiB" in run.err


def test_a_spec_that_is_a_deck_points_to_init(tmp_path: Path) -> None:
    write(tmp_path, {"amp.cir": AMPLIFIER})
    run = sizewise(tmp_path, "size", "amp.cir")
    assert run.status == 2
    assert "sizewise init" in run.err


def test_an_include_outside_the_folder_says_the_line_to_add(tmp_path: Path) -> None:
    deck = "\n".join(line for line in AMPLIFIER.splitlines() if not line.startswith(".model")) + "\n"
    model = next(line for line in AMPLIFIER.splitlines() if line.startswith(".model"))
    deck = replaced(deck, "vdd vdd", ".include ../models/n.lib\nvdd vdd")
    write(tmp_path, {"work/spec.yaml": SPEC, "work/amp.cir": deck, "models/n.lib": f"* a model\n{model}\n"})
    run = sizewise(tmp_path / "work", "size", "spec.yaml")
    assert run.status == 2
    assert "amp.cir:3" in run.err and "n.lib" in run.err
    line = re.search(r"include_paths: \[\.\./models\]", run.err)
    assert line, run.err
    write(tmp_path, {"work/spec.yaml": f"{SPEC}{line[0]}\n"})
    assert sizewise(tmp_path / "work", "check", "spec.yaml").status == 0  # the line does what the message says


def test_an_include_link_does_not_lead_outside(tmp_path: Path) -> None:
    write(tmp_path, {"work/spec.yaml": SPEC, "secret/n.lib": "* secret\n"})
    (tmp_path / "work/inside.lib").symlink_to(tmp_path / "secret/n.lib")
    write(tmp_path, {"work/amp.cir": replaced(AMPLIFIER, "vdd vdd", ".include inside.lib\nvdd vdd")})
    run = sizewise(tmp_path / "work", "size", "spec.yaml")
    assert run.status == 2
    assert "amp.cir:3" in run.err and "secret" in run.err


def test_a_measure_that_never_triggers_is_explained(tmp_path: Path) -> None:
    only = SPEC.partition("specs:")[0] + NEVER + "specs:\n  t: {min: 1}\n"
    write(tmp_path, {"spec.yaml": only, "amp.cir": AMPLIFIER})
    run = sizewise(tmp_path, "size", "spec.yaml")
    assert run.status == 2
    assert "spec.yaml:12: t: " in run.err and "when vdb(out)=200" in run.err


def test_a_measure_among_others_that_never_triggers_is_a_spec_not_met(tmp_path: Path) -> None:
    spec = replaced(SPEC, "specs:\n", f"{NEVER}specs:\n  t: {{min: 1}}\n")
    write(tmp_path, {"spec.yaml": spec, "amp.cir": AMPLIFIER})
    checked = sizewise(tmp_path, "check", "spec.yaml")
    assert checked.status == 0
    assert re.search(r"^t: .*when vdb\(out\)=200", checked.out, re.MULTILINE)
    run = sizewise(tmp_path, "size", "spec.yaml", "--budget", "20")
    assert run.status == 1
    assert re.search(r"^warning: spec.yaml:12: t: .*when vdb\(out\)=200", run.out, re.MULTILINE)


@pytest.mark.parametrize(
    ("option", "value", "remedy"),
    [("--optimizer", "cma", "cmaes"), ("--budget", "ten", "2000"), ("--seed", "x", "integer"), ("--stop", "x", "met")],
)
def test_a_bad_option_is_refused(tmp_path: Path, option: str, value: str, remedy: str) -> None:
    write(tmp_path, {"spec.yaml": SPEC, "amp.cir": AMPLIFIER})
    run = sizewise(tmp_path, "size", "spec.yaml", option, value)
    assert run.status == 2
    assert remedy in run.err
    assert not (tmp_path / "runs").exists()
