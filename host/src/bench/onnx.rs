//! Models to measure with, made here: what they compute does not matter, only how much of it.

/// Rows of so many numbers in, and of so many out.
pub(super) const MLP_IN: usize = 784;
/// The widths of the layers of [`mlp`]: small enough that one run costs more than its sums.
const MLP_LAYERS: [usize; 3] = [512, 512, 10];

/// The numbers of ONNX's `onnx.proto`.
mod field {
    pub(super) const MODEL_IR_VERSION: u64 = 1;
    pub(super) const MODEL_GRAPH: u64 = 7;
    pub(super) const MODEL_OPSET: u64 = 8;
    pub(super) const OPSET_VERSION: u64 = 2;
    pub(super) const GRAPH_NODE: u64 = 1;
    pub(super) const GRAPH_NAME: u64 = 2;
    pub(super) const GRAPH_INITIALIZER: u64 = 5;
    pub(super) const GRAPH_INPUT: u64 = 11;
    pub(super) const GRAPH_OUTPUT: u64 = 12;
    pub(super) const NODE_INPUT: u64 = 1;
    pub(super) const NODE_OUTPUT: u64 = 2;
    pub(super) const NODE_OP: u64 = 4;
    pub(super) const TENSOR_DIMS: u64 = 1;
    pub(super) const TENSOR_TYPE: u64 = 2;
    pub(super) const TENSOR_NAME: u64 = 8;
    pub(super) const TENSOR_RAW: u64 = 9;
    pub(super) const VALUE_NAME: u64 = 1;
    pub(super) const VALUE_TYPE: u64 = 2;
    pub(super) const TYPE_TENSOR: u64 = 1;
    pub(super) const TYPE_ELEMENT: u64 = 1;
    pub(super) const TYPE_SHAPE: u64 = 2;
    pub(super) const SHAPE_DIM: u64 = 1;
    pub(super) const DIM_VALUE: u64 = 1;
    pub(super) const DIM_NAME: u64 = 2;
}

/// ONNX's number of `float`.
const FLOAT: u64 = 1;

/// A message of protocol buffers that is being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    fn message(self, field: u64, message: &Self) -> Self {
        self.bytes(field, &message.0)
    }
}

/// The small model whose batches pay: `x` f32 [N, 784] → `y` f32 [N, 10], 2.7 MB.
pub(super) fn mlp() -> Vec<u8> {
    let mut graph = Message::default().text(field::GRAPH_NAME, "mlp");
    let (mut before, mut width) = ("x".to_owned(), MLP_IN);
    let last = MLP_LAYERS.len() - 1;
    for (layer, next) in MLP_LAYERS.into_iter().enumerate() {
        let [weights, bias, sums] = ["w", "b", "s"].map(|kind| format!("{kind}{layer}"));
        let after = if layer == last {
            "y".to_owned()
        } else {
            format!("r{layer}")
        };
        let gemm = if layer == last { &after } else { &sums };
        graph = graph
            .message(field::GRAPH_INITIALIZER, &weight(&weights, &[width, next]))
            .message(field::GRAPH_INITIALIZER, &weight(&bias, &[next]))
            .message(
                field::GRAPH_NODE,
                &node("Gemm", &[&before, &weights, &bias], gemm),
            );
        if layer != last {
            graph = graph.message(field::GRAPH_NODE, &node("Relu", &[&sums], &after));
        }
        (before, width) = (after, next);
    }
    let graph = graph
        .message(field::GRAPH_INPUT, &rows("x", Some(MLP_IN)))
        .message(field::GRAPH_OUTPUT, &rows("y", Some(width)));
    model(&graph)
}

/// A model that does next to nothing: `x` f32 [N, any] → `y`.
pub(super) fn relu() -> Vec<u8> {
    let graph = Message::default()
        .text(field::GRAPH_NAME, "relu")
        .message(field::GRAPH_NODE, &node("Relu", &["x"], "y"))
        .message(field::GRAPH_INPUT, &rows("x", None))
        .message(field::GRAPH_OUTPUT, &rows("y", None));
    model(&graph)
}

fn model(graph: &Message) -> Vec<u8> {
    let opset = Message::default().number(field::OPSET_VERSION, 17);
    Message::default()
        .number(field::MODEL_IR_VERSION, 8)
        .message(field::MODEL_GRAPH, graph)
        .message(field::MODEL_OPSET, &opset)
        .0
}

fn node(op: &str, inputs: &[&str], output: &str) -> Message {
    let node = Message::default().text(field::NODE_OP, op);
    let node = inputs
        .iter()
        .fold(node, |node, input| node.text(field::NODE_INPUT, input));
    node.text(field::NODE_OUTPUT, output)
}

/// Numbers around 0, the same each time, small enough that no layer's output grows.
fn weight(name: &str, dims: &[usize]) -> Message {
    let count = dims.iter().product::<usize>();
    let mut random = fastrand::Rng::with_seed(count as u64);
    let numbers = (0..count).flat_map(|_| ((random.f32() - 0.5) * 0.1).to_le_bytes());
    let raw: Vec<u8> = numbers.collect();
    let tensor = dims.iter().fold(Message::default(), |tensor, dim| {
        tensor.number(field::TENSOR_DIMS, *dim as u64)
    });
    tensor
        .number(field::TENSOR_TYPE, FLOAT)
        .text(field::TENSOR_NAME, name)
        .bytes(field::TENSOR_RAW, &raw)
}

/// An input or output of any number of rows, and of any width unless one is said.
fn rows(name: &str, width: Option<usize>) -> Message {
    let any = |name| Message::default().text(field::DIM_NAME, name);
    let columns = match width {
        Some(width) => Message::default().number(field::DIM_VALUE, width as u64),
        None => any("M"),
    };
    let shape = Message::default()
        .message(field::SHAPE_DIM, &any("N"))
        .message(field::SHAPE_DIM, &columns);
    let tensor = Message::default()
        .number(field::TYPE_ELEMENT, FLOAT)
        .message(field::TYPE_SHAPE, &shape);
    let kind = Message::default().message(field::TYPE_TENSOR, &tensor);
    Message::default()
        .text(field::VALUE_NAME, name)
        .message(field::VALUE_TYPE, &kind)
}
