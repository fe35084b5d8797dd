#!/usr/bin/env python3
"""Makes the models of the tests, each small enough to commit: `pip install onnx numpy`, then `tests/models/make.py`.

They are made anew only when one changes: what is committed is what the tests read.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

HERE = Path(__file__).parent
RANDOM = np.random.default_rng(7)
# What a committed model may take, in bytes.
MOST = 100_000


def info(name, dtype, shape):
    return h.make_tensor_value_info(name, dtype, shape)


def weight(name, *shape):
    """Scaled so that what goes through many layers neither grows nor vanishes."""
    fan_in = shape[0] if len(shape) == 2 else max(1, int(np.prod(shape[1:])))
    return nh.from_array((RANDOM.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32), name)


def const(name, values, dtype=np.int64):
    return nh.from_array(np.array(values, dtype=dtype), name)


def save(name, nodes, inputs, outputs, weights=(), opsets=(("", 17),), functions=(), check=True):
    graph = h.make_graph(list(nodes), name, list(inputs), list(outputs), list(weights))
    model = h.make_model(
        graph,
        opset_imports=[h.make_opsetid(*opset) for opset in opsets],
        functions=list(functions),
        ir_version=8,
        producer_name="skep-tests",
    )
    if check:
        onnx.checker.check_model(model, full_check=True)
    data = model.SerializeToString(deterministic=True)
    assert len(data) <= MOST, f"{name}: {len(data)} bytes"
    (HERE / f"{name}.onnx").write_bytes(data)


def mlp():
    """Small and bound by overhead: batches pay."""
    sizes = [784, 24, 32, 10]
    nodes, weights, x = [], [], "x"
    for n, (a, b) in enumerate(zip(sizes, sizes[1:])):
        weights += [weight(f"w{n}", a, b), weight(f"b{n}", b)]
        last = n == len(sizes) - 2
        nodes.append(h.make_node("Gemm", [x, f"w{n}", f"b{n}"], ["y" if last else f"h{n}"]))
        x = f"h{n}"
        if not last:
            nodes.append(h.make_node("Relu", [x], [f"r{n}"]))
            x = f"r{n}"
    save("mlp", nodes, [info("x", T.FLOAT, ["N", 784])], [info("y", T.FLOAT, ["N", 10])], weights)


def wide():
    """Bound by computation: batches do not pay on a CPU."""
    nodes, weights, x = [], [], "x"
    for n, (a, b) in enumerate([(3, 16), (16, 32), (32, 32)]):
        weights += [weight(f"w{n}", b, a, 3, 3), weight(f"b{n}", b)]
        nodes.append(h.make_node("Conv", [x, f"w{n}", f"b{n}"], [f"c{n}"], kernel_shape=[3, 3], pads=[1] * 4, strides=[1, 1]))
        nodes.append(h.make_node("Relu", [f"c{n}"], [f"r{n}"]))
        x = f"r{n}"
    weights += [weight("w", 32, 10), weight("b", 10)]
    nodes += [
        h.make_node("GlobalAveragePool", [x], ["pooled"]),
        h.make_node("Flatten", ["pooled"], ["flat"]),
        h.make_node("Gemm", ["flat", "w", "b"], ["y"]),
    ]
    save("wide", nodes, [info("x", T.FLOAT, ["N", 3, 64, 64])], [info("y", T.FLOAT, ["N", 10])], weights)


def add():
    shape = ["N", 3]
    save(
        "add",
        [h.make_node("Add", ["a", "b"], ["sum"])],
        [info("a", T.FLOAT, shape), info("b", T.FLOAT, shape)],
        [info("sum", T.FLOAT, shape)],
    )


def state():
    """As silero's: a state whose batch axis is 1, and a scalar that all rows share."""
    nodes = [
        h.make_node("Cast", ["sr"], ["rate"], to=T.FLOAT),
        h.make_node("Div", ["rate", "kilo"], ["scale"]),
        h.make_node("MatMul", ["input", "w"], ["seen"]),
        h.make_node("Mul", ["seen", "scale"], ["scaled"]),
        h.make_node("Mul", ["state", "half"], ["kept"]),
        h.make_node("Add", ["kept", "scaled"], ["raw"]),
        h.make_node("Tanh", ["raw"], ["stateN"]),
        h.make_node("ReduceSum", ["stateN", "first"], ["sums"], keepdims=0),
        h.make_node("ReduceMean", ["sums"], ["mean"], axes=[1], keepdims=1),
        h.make_node("Sigmoid", ["mean"], ["out"]),
    ]
    save(
        "state",
        nodes,
        [info("input", T.FLOAT, ["N", 4]), info("state", T.FLOAT, [2, "N", 3]), info("sr", T.INT64, [])],
        [info("out", T.FLOAT, ["N", 1]), info("stateN", T.FLOAT, [2, "N", 3])],
        [weight("w", 4, 3), const("half", 0.5, np.float32), const("kilo", 16000, np.float32), const("first", [0])],
    )


def mean():
    """Its rows are not independent: each is less by what all of them have in the mean."""
    nodes = [
        h.make_node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1),
        h.make_node("Sub", ["x", "m"], ["y"]),
    ]
    save("mean", nodes, [info("x", T.FLOAT, ["N", 3])], [info("y", T.FLOAT, ["N", 3])])


def time():
    """Its first axis is time."""
    save(
        "time",
        [h.make_node("CumSum", ["x", "axis"], ["y"])],
        [info("x", T.FLOAT, ["T", 3])],
        [info("y", T.FLOAT, ["T", 3])],
        [const("axis", 0)],
    )


def tokens():
    """The masked mean of an embedding, and a layer: padding with a mask of 0 changes nothing."""
    nodes = [
        h.make_node("Gather", ["table", "ids"], ["embedded"]),
        h.make_node("Cast", ["mask"], ["weights"], to=T.FLOAT),
        h.make_node("Unsqueeze", ["weights", "two"], ["wide"]),
        h.make_node("Mul", ["embedded", "wide"], ["masked"]),
        h.make_node("ReduceSum", ["masked", "one"], ["total"], keepdims=0),
        h.make_node("ReduceSum", ["wide", "one"], ["count"], keepdims=0),
        h.make_node("Max", ["count", "least"], ["some"]),
        h.make_node("Div", ["total", "some"], ["mean"]),
        h.make_node("MatMul", ["mean", "w"], ["y"]),
    ]
    save(
        "tokens",
        nodes,
        [info("ids", T.INT64, ["N", "S"]), info("mask", T.INT64, ["N", "S"])],
        [info("y", T.FLOAT, ["N", 4])],
        [
            weight("table", 100, 8),
            weight("w", 8, 4),
            const("one", [1]),
            const("two", [2]),
            const("least", 1e-9, np.float32),
        ],
    )


def types():
    """Gives back what it got, of each type that guests have."""
    all_types = {
        "u8": T.UINT8,
        "i8": T.INT8,
        "i32": T.INT32,
        "i64": T.INT64,
        "bool": T.BOOL,
        "f32": T.FLOAT,
    }
    identity("types", all_types)
    identity("halves", {"f16": T.FLOAT16, "bf16": T.BFLOAT16})
    identity("doubles", {"f64": T.DOUBLE})


def identity(name, dtypes):
    nodes = [h.make_node("Identity", [name], [f"{name}_out"]) for name in dtypes]
    inputs = [info(name, dtype, ["N", 2]) for name, dtype in dtypes.items()]
    outputs = [info(f"{name}_out", dtype, ["N", 2]) for name, dtype in dtypes.items()]
    save(name, nodes, inputs, outputs)


def divide():
    """Whole numbers: a division by 0 is the row's own fault."""
    shape = ["N"]
    save(
        "divide",
        [h.make_node("Div", ["a", "b"], ["quotient"])],
        [info("a", T.INT32, shape), info("b", T.INT32, shape)],
        [info("quotient", T.INT32, shape)],
    )


def lookup():
    """Fails on a row whose index is out of range, in both engines."""
    save(
        "lookup",
        [h.make_node("Gather", ["table", "index"], ["y"])],
        [info("index", T.INT64, ["N"])],
        [info("y", T.FLOAT, ["N", 2])],
        [nh.from_array(np.arange(20, dtype=np.float32).reshape(10, 2), "table")],
    )


def loop():
    """Runs as often as its input says."""
    body = h.make_graph(
        [h.make_node("Identity", ["go"], ["go_on"]), h.make_node("Add", ["so_far", "one"], ["next"])],
        "body",
        [info("n", T.INT64, []), info("go", T.BOOL, []), info("so_far", T.FLOAT, [1])],
        [info("go_on", T.BOOL, []), info("next", T.FLOAT, [1])],
    )
    save(
        "loop",
        [h.make_node("Loop", ["times", "yes", "x"], ["y"], body=body)],
        [info("times", T.INT64, []), info("x", T.FLOAT, [1])],
        [info("y", T.FLOAT, [1])],
        [const("yes", True, np.bool_), const("one", [1], np.float32)],
    )


def branch():
    """`If`, as silero has it: a subgraph that is no loop."""

    def arm(op, name):
        return h.make_graph([h.make_node(op, ["x"], [name])], name, [], [info(name, T.FLOAT, ["N", 3])])

    nodes = [
        h.make_node("Greater", ["rate", "limit"], ["fast"]),
        h.make_node("If", ["fast"], ["y"], then_branch=arm("Neg", "less"), else_branch=arm("Relu", "more")),
    ]
    save(
        "branch",
        nodes,
        [info("x", T.FLOAT, ["N", 3]), info("rate", T.INT64, [])],
        [info("y", T.FLOAT, ["N", 3])],
        [const("limit", 8000)],
    )


def external():
    """Its weights are said to be in a file of the host."""
    tensor = T(name="w", data_type=T.FLOAT, dims=[3], data_location=T.EXTERNAL)
    tensor.external_data.add(key="location", value="../../../../etc/passwd")
    save(
        "external",
        [h.make_node("Add", ["x", "w"], ["y"])],
        [info("x", T.FLOAT, ["N", 3])],
        [info("y", T.FLOAT, ["N", 3])],
        [tensor],
        check=False,
    )


def custom():
    """Has an operator that nobody defined."""
    save(
        "custom",
        [h.make_node("Frobnicate", ["x"], ["y"], domain="com.example")],
        [info("x", T.FLOAT, ["N", 3])],
        [info("y", T.FLOAT, ["N", 3])],
        opsets=(("", 17), ("com.example", 1)),
        check=False,
    )


def local():
    """Has a function of its own."""
    opsets = [h.make_opsetid("", 17)]
    double = h.make_function("here", "Double", ["x"], ["y"], [h.make_node("Add", ["x", "x"], ["y"])], opsets)
    save(
        "local",
        [h.make_node("Double", ["x"], ["y"], domain="here")],
        [info("x", T.FLOAT, ["N", 3])],
        [info("y", T.FLOAT, ["N", 3])],
        opsets=(("", 17), ("here", 1)),
        functions=[double],
        check=False,
    )


def big():
    """Gives as much as it is asked for: a bomb."""
    save(
        "big",
        [h.make_node("ConstantOfShape", ["shape"], ["y"])],
        [info("shape", T.INT64, [1])],
        [info("y", T.FLOAT, ["M"])],
    )


def grow():
    """Doubles its constants again and again: a bomb that nobody needs to light."""
    nodes = [h.make_node("ConstantOfShape", ["shape"], ["g0"])]
    nodes += [h.make_node("Concat", [f"g{n}", f"g{n}"], [f"g{n + 1}"], axis=0) for n in range(40)]
    nodes += [h.make_node("ReduceSum", ["g40"], ["s"], keepdims=0), h.make_node("Add", ["x", "s"], ["y"])]
    shape = [info("x", T.FLOAT, ["N", 1]), info("y", T.FLOAT, ["N", 1])]
    save("grow", nodes, shape[:1], shape[1:], [const("shape", [1])])


def outer():
    """All rows against all others: what it takes grows with the square of what it is given."""
    nodes = [
        h.make_node("Transpose", ["x"], ["t"], perm=[1, 0]),
        h.make_node("MatMul", ["x", "t"], ["y"]),
    ]
    save("outer", nodes, [info("x", T.FLOAT, ["N", 1])], [info("y", T.FLOAT, ["N", "N"])])


def attention():
    """Each token against each other: what it takes grows with the square of the text's length, and what it gives does not."""
    nodes = [
        h.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        h.make_node("MatMul", ["x", "t"], ["scores"]),
        h.make_node("Softmax", ["scores"], ["weights"], axis=-1),
        h.make_node("MatMul", ["weights", "x"], ["y"]),
    ]
    save("attention", nodes, [info("x", T.FLOAT, ["N", "S", 4])], [info("y", T.FLOAT, ["N", "S", 4])])


def lurking():
    """A branch that hardly anyone takes makes 4 TB of what only the model says."""
    shape = [info("big", T.FLOAT, [1])]
    bomb = [
        h.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        h.make_node("Add", ["zeros", "x"], ["large"]),
        h.make_node("ReduceSum", ["large"], ["sum"], keepdims=0),
        h.make_node("Unsqueeze", ["sum", "first"], ["big"]),
    ]
    large = h.make_graph(bomb, "large", [], shape, [const("shape", [1_000_000, 1_000_000]), const("first", [0])])
    small = h.make_graph([h.make_node("Relu", ["x"], ["small"])], "small", [], [info("small", T.FLOAT, [1])])
    nodes = [
        h.make_node("Greater", ["x", "most"], ["over"]),
        h.make_node("If", ["over"], ["y"], then_branch=large, else_branch=small),
    ]
    save("lurking", nodes, [info("x", T.FLOAT, [1])], [info("y", T.FLOAT, [1])], [const("most", [1e30], np.float32)])


def arms():
    """One of two arms fails on what the other takes, as in models for sound of two rates."""
    fails = h.make_graph(
        [h.make_node("Squeeze", ["x"], ["flat"]), h.make_node("ReduceSum", ["flat", "axis"], ["small"])],
        "fails", [], [info("small", T.FLOAT, ["A", "B"])], [const("axis", [1])],
    )  # fmt: skip
    goes = h.make_graph([h.make_node("Flatten", ["x"], ["large"])], "goes", [], [info("large", T.FLOAT, ["N", "M"])])
    nodes = [
        h.make_node("ReduceMax", ["x"], ["top"], keepdims=0),
        h.make_node("Greater", ["top", "most"], ["over"]),
        h.make_node("If", ["over"], ["y"], then_branch=fails, else_branch=goes),
    ]
    y = info("y", T.FLOAT, ["N", "M"])
    save("arms", nodes, [info("x", T.FLOAT, ["N", "S", 1])], [y], [const("most", 1e30, np.float32)])


def nested():
    """`If` in `If` in `If`, deeper than any model that people make."""

    def arm(name):
        return h.make_graph([h.make_node("Identity", ["x"], [name])], name, [], [info(name, T.FLOAT, [1])])

    graph = arm("d0")
    for n in range(1, 20):
        node = h.make_node("If", ["c"], [f"d{n}"], then_branch=graph, else_branch=arm(f"e{n}"))
        graph = h.make_graph([node], f"d{n}", [], [info(f"d{n}", T.FLOAT, [1])])
    save(
        "nested",
        [h.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=arm("e"))],
        [info("c", T.BOOL, []), info("x", T.FLOAT, [1])],
        [info("y", T.FLOAT, [1])],
    )


for make in [
    mlp, wide, add, state, mean, time, tokens, types, divide, lookup,
    loop, branch, external, custom, local, big, grow, outer, nested, attention, lurking, arms,
]:  # fmt: skip
    make()
