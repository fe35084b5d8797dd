"""Makes the model of the comparison: an MLP 784-512-512-10, as `skep bench` has it. `model.py FILE`"""

import sys

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

SIZES = [784, 512, 512, 10]


def main(path):
    random = np.random.default_rng(7)
    nodes, weights, before = [], [], "x"
    for layer, (width, following) in enumerate(zip(SIZES, SIZES[1:])):
        last = layer == len(SIZES) - 2
        for name, shape in [(f"w{layer}", (width, following)), (f"b{layer}", (following,))]:
            weights.append(numpy_helper.from_array((random.standard_normal(shape) * 0.05).astype(np.float32), name))
        sums = "y" if last else f"s{layer}"
        nodes.append(helper.make_node("Gemm", [before, f"w{layer}", f"b{layer}"], [sums]))
        if not last:
            before = f"r{layer}"
            nodes.append(helper.make_node("Relu", [sums], [before]))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width])
        for name, width in [("x", SIZES[0]), ("y", SIZES[-1])]
    ]
    graph = helper.make_graph(nodes, "mlp", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model, full_check=True)
    with open(path, "wb") as file:
        file.write(model.SerializeToString())


if __name__ == "__main__":
    main(sys.argv[1])
