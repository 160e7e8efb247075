"""What `--compress int4:METHOD+ADDON,key=value` asks for: its parts with their options."""

from dataclasses import dataclass

from egrl.compression.registry import (
    CORRECTIONS,
    DEFAULT_METHOD,
    MODEL_METHODS,
    PREPARATIONS,
    WEIGHT_METHODS,
)
from egrl.compression.sensitivity import Mixed
from egrl.compression.spec import Spec, options_into
from graph_ir.compression.execution_options import WholeGraph
from graph_ir.compression.grid import Grid
from graph_ir.compression.method import Correction, Method, Preparation
from graph_ir.errors import InputError

DEFAULT_BITS = {"int4": 4, "int8": 8}


@dataclass(frozen=True, slots=True)
class Recipe:
    """The parts of one compression.

    Attributes:
        grid: of the weights, unless sensitivities give each its own.
        mixed: whether they do.
        preparations: in the order given.
        method: the one base method.
        corrections: in the order given.
        whole: embeddings, and how the graph is executed.
        options: all of them, resolved, as text.
    """

    grid: Grid
    mixed: Mixed
    preparations: tuple[Preparation, ...]
    method: Method
    corrections: tuple[Correction, ...]
    whole: WholeGraph
    options: dict[str, str]

    @property
    def needs_inputs(self) -> bool:
        """Whether any part looks at what the model computes on inputs."""
        parts = (*self.preparations, self.method, *self.corrections)
        return self.mixed.average_bits > 0 or any(part.needs_inputs for part in parts)


def read_recipe(spec: Spec) -> Recipe:
    """The parts that a flag names; add-ons may stand before or behind the method.

    Raises:
        InputError: an unknown or repeated part, two methods, an option that none has, a grid that
            onnxruntime has no fast product for.
    """
    names = spec.methods or (DEFAULT_METHOD,)
    registries = (WEIGHT_METHODS, MODEL_METHODS, PREPARATIONS, CORRECTIONS)
    for name in names:
        if not any(name in registry for registry in registries):
            known = ", ".join(known for registry in registries for known in registry)
            raise spec.fail(f"{name}: unknown method; expected one of {known}")
        if names.count(name) > 1:
            raise spec.fail(f"{name}: given twice")
    methods = [name for name in names if name in WEIGHT_METHODS or name in MODEL_METHODS]
    if len(methods) > 1:
        raise spec.fail(f"expected one method, got {' and '.join(methods)}")
    base = methods[0] if methods else DEFAULT_METHOD
    defaults: dict[str, object] = {"grid": Grid(bits=DEFAULT_BITS[spec.family])}
    defaults["graph"] = WholeGraph()
    defaults["mixed"] = Mixed()
    for name in (base, *(name for name in names if name != base)):
        defaults[name] = next(registry[name]() for registry in registries if name in registry)
    made, resolved = options_into(spec, defaults)
    method, grid, whole, mixed = made[base], made["grid"], made["graph"], made["mixed"]
    assert isinstance(method, Method)
    assert isinstance(grid, Grid)
    assert isinstance(whole, WholeGraph)
    assert isinstance(mixed, Mixed)
    try:
        whole.check(grid)
    except InputError as error:
        raise spec.fail(str(error)) from error
    parts = [made[name] for name in names if name != base]
    preparations = tuple(part for part in parts if isinstance(part, Preparation))
    corrections = tuple(part for part in parts if isinstance(part, Correction))
    text = "+".join((*(p.name for p in preparations), base, *(c.name for c in corrections)))
    options = {"method": text, **resolved}
    return Recipe(grid, mixed, preparations, method, corrections, whole, options)
