"""The rule of every family."""

from collections.abc import Callable

from graph_ir.fusion.groups import Group
from graph_ir.op_rules.attention import attention_facts
from graph_ir.op_rules.axiswise import axiswise_facts, elementwise_facts
from graph_ir.op_rules.conv import conv_facts
from graph_ir.op_rules.facts import OpFacts, TypeOf
from graph_ir.op_rules.gather import gather_facts
from graph_ir.op_rules.matmul import matmul_facts
from graph_ir.op_rules.movement import movement_facts
from graph_ir.op_rules.pooling import pooling_facts
from graph_ir.op_rules.quantization import quantization_facts
from graph_ir.op_rules.recurrent import recurrent_facts
from graph_ir.op_rules.resize import resize_facts
from graph_ir.workload import OpFamily

RULES: dict[OpFamily, Callable[[Group, TypeOf], OpFacts]] = {
    OpFamily.CONV: conv_facts,
    OpFamily.MATMUL: matmul_facts,
    OpFamily.ATTENTION: attention_facts,
    OpFamily.ELEMENTWISE: elementwise_facts,
    OpFamily.NORMALIZATION: axiswise_facts,
    OpFamily.SOFTMAX: axiswise_facts,
    OpFamily.POOLING: pooling_facts,
    OpFamily.REDUCTION: axiswise_facts,
    OpFamily.RESIZE: resize_facts,
    OpFamily.GATHER: gather_facts,
    OpFamily.MOVEMENT: movement_facts,
    OpFamily.RECURRENT: recurrent_facts,
    OpFamily.QUANTIZATION: quantization_facts,
}
