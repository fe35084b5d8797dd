//! Whether the values of inputs decide how large a tensor becomes: a caller's number would then be
//! the host's memory, and an engine that asks for too much of that ends the process.
//!
//! A value is *free* if a caller decides it. What is computed of free values is free; the shape of
//! a tensor is not, since a call's inputs are bounded, unless it is the operand of an operator that
//! makes a tensor as large as it says.

use std::collections::HashSet;

use super::called;
use crate::inference::onnx::{Graph, Node};

/// The operands that say how large the output becomes, by operator. `Reshape`, `Slice`, `TopK` and
/// the like are not here: they cannot give more than they got.
fn sizing(operator: &str) -> &'static [usize] {
    match operator {
        "BlackmanWindow" | "ConstantOfShape" | "HammingWindow" | "HannWindow" => &[0],
        "AffineGrid" | "CenterCropPad" | "DFT" | "Expand" | "OneHot" | "Pad" | "Tile"
        | "Upsample" => &[1],
        "Col2Im" => &[1, 2],
        "MaxUnpool" => &[2],
        "MelWeightMatrix" | "Range" => &[0, 1, 2],
        "Resize" => &[1, 2, 3],
        _ => &[],
    }
}

/// Refuses a graph in which a free value is a size.
pub(super) fn check<'m>(
    graph: &'m Graph<'m>,
    inputs: impl Iterator<Item = &'m str>,
) -> Result<(), String> {
    let mut free = inputs.collect();
    walk(graph, &mut free)
}

fn walk<'m>(graph: &'m Graph<'m>, free: &mut HashSet<&'m str>) -> Result<(), String> {
    for node in &graph.nodes {
        if node.operator == "If" {
            // Which of two it is, is free where the condition is; what each gives, by itself.
            let mut any = takes_free(node, free);
            for inner in &node.graphs {
                let mut inside = free.clone();
                walk(inner, &mut inside)?;
                any |= inner
                    .outputs
                    .iter()
                    .any(|output| inside.contains(output.name));
            }
            if any {
                free.extend(&node.outputs);
            }
            continue;
        }
        for operand in sizing(node.operator) {
            if let Some(size) = node.inputs.get(*operand)
                && free.contains(size)
            {
                return Err(format!(
                    "{} makes a tensor as large as its input says at run time, which could be all \
                     the memory of the host; use the shapes of inputs instead of their values, or \
                     have an admin allow it (`allow_loops`)",
                    called(node)
                ));
            }
        }
        if !matches!(node.operator, "Shape" | "Size") && takes_free(node, free) {
            free.extend(&node.outputs);
        }
    }
    Ok(())
}

fn takes_free(node: &Node<'_>, free: &HashSet<&str>) -> bool {
    node.inputs.iter().any(|input| free.contains(input))
}
