"""The C ABI as honker-ffi/abi.json describes it, with what a template asks of it."""

import json
import re
from dataclasses import dataclass

NUMBERS = ("int32_t", "uint32_t", "int64_t", "uint64_t", "size_t", "honker_status_t", "double")


@dataclass(frozen=True)
class Constant:
    name: str
    value: int
    group: str
    documentation: str
    transient: bool = False

    @property
    def short(self):
        """Without "HONKER_"."""
        return self.name.removeprefix("HONKER_")


@dataclass(frozen=True)
class Field:
    name: str
    type: str
    offset: int
    size: int


@dataclass(frozen=True)
class Struct:
    name: str
    size: int
    fields: tuple
    init: dict | None

    @property
    def short(self):
        """Without "honker_" and "_t"."""
        return self.name.removeprefix("honker_").removesuffix("_t")

    @property
    def is_sized(self):
        return self.fields[0].name == "struct_size"


@dataclass(frozen=True)
class Parameter:
    """One parameter. `role` says what it is to a caller:

    handle    of the type `of`, NULL (0) for none
    number    by value, of the C type `type`
    text      bytes that go in, of which the parameter `length` says how many
    array     of `of`, as long as `length` says; `direction` tells who writes it
    struct    a single one of type `of`; `direction` tells who writes it
    output    where a number or a handle, of the C type `of`, goes
    memory    where the address of the library's bytes goes; their length goes to `length`
    length    the length of another parameter
    error     where the error goes
    """

    name: str
    type: str
    direction: str
    role: str
    of: str
    length: str | None


@dataclass(frozen=True)
class Function:
    name: str
    returns: str
    since: str
    parameters: tuple

    @property
    def short(self):
        """Without "honker_"."""
        return self.name.removeprefix("honker_")

    @property
    def can_fail(self):
        return any(parameter.role == "error" for parameter in self.parameters)

    @property
    def without_error(self):
        return [parameter for parameter in self.parameters if parameter.role != "error"]


class Abi:
    def __init__(self, path):
        described = json.loads(path.read_text())
        self.version = described["abi_version"]
        self.constants = [Constant(**constant) for constant in described["constants"]]
        self.handles = described["handles"]
        self.structs = [
            Struct(name, struct["size"], tuple(Field(**field) for field in struct["fields"]), struct.get("init"))
            for name, struct in described["structs"].items()
        ]
        self._struct_names = {struct.name for struct in self.structs}
        self.functions = [self._function(name, function) for name, function in described["functions"].items()]

    def group(self, name):
        return [constant for constant in self.constants if constant.group == name]

    @property
    def transient(self):
        """The errors of the moment, after which a worker waits and tries again (honker_status_is_transient)."""
        return [status for status in self.group("status") if status.transient]

    def _function(self, name, described):
        lengths = {parameter.get("length") for parameter in described["parameters"]}
        parameters = tuple(self._parameter(name, one, lengths) for one in described["parameters"])
        return Function(name, described["returns"], described["since"], parameters)

    def _parameter(self, function, described, lengths):
        name, type_ = described["name"], described["type"]
        of = re.sub(r"^const | ?\*$", "", type_)
        length = described.get("length")
        if name == "err":
            role = "error"
        elif name in lengths:
            role = "length"
        elif "*" not in type_:
            role = "number"
        elif of in self.handles:
            role = "handle"
        elif length and of.endswith("*"):
            role = "memory"
        elif length:
            role = "text" if type_ == "const uint8_t *" else "array"
        elif of in self._struct_names:
            role = "struct"
        elif described["direction"] == "out" and (of in NUMBERS or of.removesuffix(" *") in self.handles):
            role = "output"
        else:
            raise ValueError(f"{function}: nobody knows what {type_}{name} is")
        return Parameter(name, type_, described["direction"], role, of, length)
