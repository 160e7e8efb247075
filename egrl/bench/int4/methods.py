"""What is compared: a literal list of ours and of others', each on the same file."""

from dataclasses import dataclass

REFERENCE = "fp32"


@dataclass(frozen=True, slots=True)
class Method:
    """One way to compress a model.

    Attributes:
        name: in rows and tables.
        spec: of `--compress`; empty for a peer's.
        calibrated: whether it is given samples.
        peer: name of the other tool's method; empty for ours.
        group: input channels a scale, for peers.
    """

    name: str
    spec: str = ""
    calibrated: bool = False
    peer: str = ""
    group: int = 32


def _ours(name: str, spec: str, calibrated: bool = False) -> Method:
    return Method(name, spec, calibrated)


def _peer(name: str, calibrated: bool = False) -> Method:
    return Method(name, "", calibrated, name)


_ALL = (
    _ours("rtn", "int4:rtn,group=32"),
    _ours("rtn, group 64", "int4:rtn,group=64"),
    _ours("rtn, asymmetric", "int4:rtn,group=32,symmetric=false"),
    _ours("easyquant", "int4:easyquant,group=32"),
    _ours("easyquant, group 64", "int4:easyquant,group=64"),
    _ours("easyquant+norm-tweak", "int4:easyquant+norm-tweak,group=32"),
    _ours("rotate+easyquant", "int4:rotate+easyquant,group=32"),
    _ours("easyquant+lorc", "int4:easyquant+lorc,group=32"),
    _ours("gptq, no data", "int4:gptq,group=32"),
    _ours("gptq", "int4:gptq,group=32", True),
    _ours("gptq, group 64", "int4:gptq,group=64", True),
    _ours("awq+gptq", "int4:awq+gptq,group=32", True),
    _ours("rotate+gptq", "int4:rotate+gptq,group=32", True),
    _ours("gptq+lorc", "int4:gptq+lorc,group=32", True),
    _ours("gptq+lorc, rank 4", "int4:gptq+lorc,group=32,rank=4", True),
    _ours("gptq, 4.6 bits", "int4:gptq,group=32,average-bits=4.6", True),
    _ours("gptq+lorc, 4.6 bits", "int4:gptq+lorc,group=32,average-bits=4.47,rank=6", True),
    _ours("gptq+norm-tweak", "int4:gptq+norm-tweak,group=32", True),
    _ours("signround", "int4:signround,group=32", True),
    _ours("mkq", "int4:mkq,group=32", True),
    _ours("int8:rtn", "int8:rtn,group=32"),
    _ours("int8:dynamic", "int8:dynamic"),
    _ours("int8:static", "int8:static", True),
    _ours("int4, int8 activations", "int4:gptq,group=32,activations=int8", True),
    _peer("ort-default"),
    _peer("ort-default-asymmetric"),
    _peer("ort-rtn"),
    _peer("ort-k-quant"),
    _peer("ort-hqq"),
    _peer("ort-gptq", True),
    _peer("ort-int8-dynamic"),
    _peer("nncf"),
    _peer("nncf-data", True),
    _peer("autoround", True),
)

METHODS: dict[str, Method] = {method.name: method for method in _ALL}

SLOW = (
    "rtn, group 64", "easyquant, group 64", "easyquant+lorc", "rotate+easyquant", "gptq, group 64",
    "rotate+gptq", "gptq+lorc", "gptq, 4.6 bits", "gptq+lorc, 4.6 bits", "ort-rtn", "ort-gptq",
    "autoround",
)  # fmt: skip
"""Measured only where `--method` names them, so that the default selection takes no hour."""

_SHIPPED = (
    "rtn", "rtn, group 64", "rtn, asymmetric", "easyquant", "gptq", "gptq, group 64", "ort-default",
    "ort-default-asymmetric", "ort-k-quant",
)  # fmt: skip
_LANGUAGE = (
    "rtn", "rtn, group 64", "easyquant", "easyquant, group 64", "easyquant+norm-tweak",
    "easyquant+lorc", "rotate+easyquant", "gptq, no data", "gptq", "gptq, group 64", "awq+gptq",
    "rotate+gptq", "gptq+lorc", "gptq+lorc, rank 4", "gptq, 4.6 bits", "gptq+lorc, 4.6 bits",
    "gptq+norm-tweak", "signround", "ort-default", "ort-default-asymmetric", "ort-rtn",
    "ort-k-quant", "ort-hqq", "ort-gptq", "nncf", "nncf-data", "autoround",
)  # fmt: skip
_ENCODER = (
    "rtn", "easyquant", "gptq, no data", "gptq", "awq+gptq", "gptq+norm-tweak", "signround", "mkq",
    "int8:dynamic", "int4, int8 activations", "ort-default", "ort-default-asymmetric", "ort-rtn",
    "ort-k-quant", "ort-hqq", "ort-gptq", "ort-int8-dynamic", "nncf", "nncf-data",
)  # fmt: skip
_OTHER = (
    "rtn", "easyquant", "gptq", "int8:dynamic", "int8:static", "ort-default", "ort-k-quant",
    "ort-hqq", "ort-int8-dynamic", "nncf",
)  # fmt: skip

OF_SUBJECT: dict[str, tuple[str, ...]] = {
    "smollm2": _SHIPPED,
    "smollm2-rotated": _LANGUAGE,
    "minilm": _ENCODER,
    "efficientnet-lite0": _OTHER,
    "ppocr-rec": _OTHER,
    "magika": _OTHER,
}
"""Methods that each subject is measured with, in the order of the tables."""
