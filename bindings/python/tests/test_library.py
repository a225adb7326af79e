"""Finding libhonker, and what is said when that fails."""

import os

import honker
from honker import _abi, _library

CODE = """
import honker, sys
try:
    honker.open({path!r}, **{options!r})
    print(honker._library.lib.loaded)
except honker.LibraryError as error:
    print(str(error).replace(chr(10), "|"))
"""


def said(program, monkeypatch, path, **options):
    return program(CODE.format(path=str(path), options=options)).line()


def test_the_first_place_counts(program, monkeypatch, path, tmp_path):
    library = os.path.abspath(os.environ["HONKER_LIBRARY"])
    assert said(program, monkeypatch, path) == library
    copy = tmp_path / "libhonker.so"
    copy.symlink_to(library)
    assert said(program, monkeypatch, path, library_path=str(copy)) == str(copy)
    monkeypatch.setenv("HONKER_LIBRARY", str(copy))
    assert said(program, monkeypatch, path) == str(copy)


def test_what_was_tried_is_listed(program, monkeypatch, path, tmp_path):
    text = said(program, monkeypatch, path, library_path="/no/such/libhonker.so")
    assert "/no/such/libhonker.so (library_path): no such file" in text and "HONKER_LIBRARY" in text
    monkeypatch.setenv("HONKER_LIBRARY", str(tmp_path / "gone.so"))
    assert "gone.so (HONKER_LIBRARY): no such file" in said(program, monkeypatch, path)
    (tmp_path / "gone.so").write_text("no library")
    assert "gone.so (HONKER_LIBRARY): " in said(program, monkeypatch, path)
    monkeypatch.delenv("HONKER_LIBRARY")
    monkeypatch.chdir(tmp_path)
    text = said(program, monkeypatch, path)
    for place in ("in this package", "next to the program", "the system"):
        assert f"({place}): " in text or text.endswith("_lib/libhonker.so")


def test_another_library_in_the_same_process(program, path, tmp_path):
    code = CODE.format(path=str(path), options={}) + CODE.format(
        path=str(path), options={"library_path": str(tmp_path / "other.so")}
    )
    both = program(code)
    both.line()
    assert "this process uses" in both.line()


def test_another_version_of_the_interface(monkeypatch):
    assert _library._misfit(_abi.ABI_VERSION, "1") is None
    assert _library._misfit(_abi.ABI_VERSION + 1, "1") is None
    assert "version 3.0 (libhonker 9.9)" in _library._misfit(3 << 16, "9.9")
    assert "needs 2.2 or a later 2.x" in _library._misfit(2 << 16, "0.1")


def test_layouts():
    import json
    from pathlib import Path

    described = Path(__file__).parents[3] / "honker-ffi" / "abi.json"
    for name, struct in json.loads(described.read_text())["structs"].items():
        layout = getattr(_abi, name.removeprefix("honker_").removesuffix("_t").upper(), None)
        if layout is not None:
            assert layout.size == struct["size"], name


def test_the_schema_is_that_of_the_other_packages():
    from pathlib import Path

    go = Path(__file__).parents[2] / "go" / "schema.sql"
    assert honker.schema_sql() == go.read_text()


def test_every_error_of_the_library_has_a_class():
    names = {name: number for number, name in _abi.STATUS_NAMES.items() if number < 0}
    for name, number in names.items():
        error = honker.errors.error_of(number, "x")
        assert type(error) is not honker.Error and error.name == name and error.status == number
        assert type(error).__name__ in honker.__all__
    assert honker.errors.error_of(-999, "x").name == "HONKER_UNKNOWN"
