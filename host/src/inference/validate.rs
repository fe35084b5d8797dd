//! What a model must not have, looked at before any engine meets it: the checks of a file that a
//! stranger made.
//!
//! What holds after them: the file is whole, refers to nothing outside itself, has no operators of
//! its own, no loops, and no tensor whose size is a number that a caller gives. What they do not
//! bound is what grows with the sizes of the inputs, or by constants inside an `If`: the limits of
//! a call (`job::Limits`) and the memory of the process are what stands there.

mod sizes;

use std::collections::HashSet;

use super::onnx::{self, Constant, Graph, Model, Node};
use crate::job::printable;
use crate::model::{ModelConfig, Signature};

/// The most bytes of a model. A value of Redis ends at 512 MiB, and a host that loads a model
/// holds it twice for a moment; half a GiB of weights is what its CPU can run in a second or so.
pub const MAX_MODEL_BYTES: usize = 512 << 20;

/// The longest chain of nodes, each of which needs the one before. Libraries descend along it:
/// chains of 100,000 end in a stack that is full; the deepest real models have some thousands.
const MAX_CHAIN: usize = 10_000;

/// The domains whose operators engines have: ONNX's own.
const DOMAINS: [&str; 3] = ["", "ai.onnx", "ai.onnx.ml"];

/// The start of files that are taken for models, and how to make one of them.
const OTHERS: [(&[u8], usize, &str); 7] = [
    (
        b"\0asm",
        0,
        "WebAssembly; deploy it as a function (`skep deploy`)",
    ),
    (
        b"PK\x03\x04",
        0,
        "a zip archive (PyTorch's models are such); export it to ONNX",
    ),
    (b"\x1f\x8b", 0, "compressed by gzip; unpack it"),
    (
        b"\x89HDF",
        0,
        "HDF5 (a Keras model?); convert it with tf2onnx",
    ),
    (
        b"TFL3",
        4,
        "a TensorFlow Lite model; convert it with tf2onnx",
    ),
    (b"GGUF", 0, "a GGUF model; only ONNX is run"),
    (
        b"version https://git-lfs",
        0,
        "a pointer of Git LFS; fetch the file itself (`git lfs pull`)",
    ),
];

/// Looks at a model; why it is refused is said to whoever uploaded it.
pub(super) fn validate(file: &[u8], config: &ModelConfig) -> Result<Signature, String> {
    if file.is_empty() {
        return Err("the model is empty; send the bytes of an ONNX file".to_owned());
    }
    if file.len() > MAX_MODEL_BYTES {
        return Err(format!(
            "the model has {} bytes, and {MAX_MODEL_BYTES} are allowed; quantise it, or split it",
            file.len()
        ));
    }
    for (start, at, what) in OTHERS {
        if file.get(at..).is_some_and(|rest| rest.starts_with(start)) {
            return Err(format!("this is no ONNX file but {what}"));
        }
    }
    if matches!(file.trim_ascii_start().first(), Some(b'<' | b'{')) {
        return Err("this is a text (a page of errors?), no ONNX file; look into it".to_owned());
    }
    let model = onnx::read(file).map_err(|error| error.to_string())?;
    whole(&model)?;
    let signature = onnx::signature(&model)?;
    if let Some(graph) = &model.graph {
        let fed = signature.inputs.iter().map(|input| input.name.as_str());
        nodes(graph, config, &HashSet::new())?;
        if !config.allow_loops {
            sizes::check(graph, fed)?;
        }
    }
    Ok(signature)
}

fn whole(model: &Model<'_>) -> Result<(), String> {
    if model.ir_version == 0 || model.graph.is_none() || model.opsets.is_empty() {
        return Err("this is no ONNX file, or only a part of one; export it again".to_owned());
    }
    if model.functions > 0 {
        return Err(
            "the model defines functions of its own; inline them (`onnx.inliner.inline_local_functions`)"
                .to_owned(),
        );
    }
    if model.training {
        return Err("the model has training information; export it for inference".to_owned());
    }
    match model.opsets.iter().find(|domain| !DOMAINS.contains(domain)) {
        None => Ok(()),
        Some(domain) => Err(foreign(domain)),
    }
}

fn foreign(domain: &str) -> String {
    format!(
        "the model uses operators of {}, which not every engine has; export it with those of ONNX \
         alone (`ai.onnx`, `ai.onnx.ml`)",
        show(domain)
    )
}

/// Checks a graph, which sees what is around it.
fn nodes<'m>(
    graph: &'m Graph<'m>,
    config: &ModelConfig,
    around: &HashSet<&'m str>,
) -> Result<(), String> {
    let mut known = around.clone();
    let constants = graph.constants.iter();
    for constant in constants.clone() {
        tensor(constant)?;
    }
    known.extend(constants.map(|constant| constant.name));
    known.extend(graph.inputs.iter().map(|input| input.name));
    let mut chains = std::collections::HashMap::new();
    for node in &graph.nodes {
        if !DOMAINS.contains(&node.domain) {
            return Err(foreign(node.domain));
        }
        if matches!(node.operator, "Loop" | "Scan") && !config.allow_loops {
            return Err(format!(
                "{} loops ({}), for as long as it likes; an admin may allow it (`allow_loops`)",
                called(node),
                node.operator
            ));
        }
        for constant in &node.constants {
            tensor(constant)?;
        }
        for input in node.inputs.iter().filter(|name| !name.is_empty()) {
            if !known.contains(input) {
                return Err(format!(
                    "{} takes {}, which nothing before it gives; sort the graph (exporters do), or \
                     name its inputs right",
                    called(node),
                    show(input)
                ));
            }
        }
        for inner in &node.graphs {
            nodes(inner, config, &known)?;
        }
        let chain = 1
            + (node.inputs.iter())
                .filter_map(|input| chains.get(input).copied())
                .max()
                .unwrap_or(0);
        if chain > MAX_CHAIN {
            return Err(format!(
                "more than {MAX_CHAIN} nodes follow each other; simplify the model"
            ));
        }
        for output in node.outputs.iter().filter(|name| !name.is_empty()) {
            if !known.insert(output) {
                return Err(format!(
                    "{} gives {} anew; each name may be given once",
                    called(node),
                    show(output)
                ));
            }
            chains.insert(*output, chain);
        }
    }
    match graph
        .outputs
        .iter()
        .find(|output| !known.contains(output.name))
    {
        None => Ok(()),
        Some(output) => Err(format!("nothing gives the output {}", show(output.name))),
    }
}

/// Checks that a tensor in the file has the elements that it says it has.
fn tensor(constant: &Constant<'_>) -> Result<(), String> {
    let shown = show(constant.name);
    if constant.external {
        return Err(format!(
            "the tensor {shown} is in another file; save the model as one file \
             (`onnx.save(model, path, save_as_external_data=False)`)"
        ));
    }
    if constant.sparse {
        return Err("the model has sparse tensors; export it with dense ones".to_owned());
    }
    let elements = (constant.dims.iter()).try_fold(1_u64, |product, size| {
        product.checked_mul(u64::try_from(*size).ok()?)
    });
    // Types of less than a byte are packed; what they hold at least is their eighth.
    let bits = match constant.dtype {
        2 | 3 | 9 | 17..=20 | 24 => 8,
        4 | 5 | 10 | 16 => 16,
        1 | 6 | 12 => 32,
        7 | 11 | 13 | 14 => 64,
        15 => 128,
        21..=23 => 4,
        25 | 26 => 2,
        8 => 0,
        other => return Err(format!("the tensor {shown} is of the unknown type {other}")),
    };
    let fits = elements.is_some_and(|elements| match constant.raw {
        Some(bytes) => {
            bits > 0
                && elements.checked_mul(bits).map(|bits| bits.div_ceil(8)) == Some(bytes as u64)
        }
        // Complex numbers are two each, and small types may be packed.
        None if bits < 8 && bits > 0 => {
            constant.elements == elements || constant.elements <= elements
        }
        None if matches!(constant.dtype, 14 | 15) => {
            elements.checked_mul(2) == Some(constant.elements)
        }
        None => constant.elements == elements,
    });
    if fits {
        Ok(())
    } else {
        Err(format!(
            "the tensor {shown} says that its shape is {:?}, and holds another number of elements; \
             the file is damaged: export or download it again",
            constant.dims
        ))
    }
}

/// A node, for people.
pub(super) fn called(node: &Node<'_>) -> String {
    let name = if node.name.is_empty() {
        node.outputs.first().copied().unwrap_or_default()
    } else {
        node.name
    };
    format!("the node {} ({})", show(name), show(node.operator))
}

/// A name of a stranger's, for people.
fn show(name: &str) -> String {
    let cut = name.floor_char_boundary(64);
    format!(
        "`{}`",
        printable(name.get(..cut).unwrap_or_default(), |_| false)
    )
}

#[cfg(test)]
mod tests;
