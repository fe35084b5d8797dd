//! A graph as it is walked for an estimate: names are places in a table, and nothing refers to the
//! file.

use std::collections::HashMap;

use super::fact::{Fact, Values};
use crate::inference::onnx::{Constant, Graph, Node};
use crate::inference::validate::called;

/// A graph, or one in an `If`.
#[derive(Debug, Default)]
pub(super) struct Steps {
    pub(super) constants: Vec<(usize, Fact)>,
    pub(super) steps: Vec<Step>,
    pub(super) outputs: Vec<usize>,
}

/// A use of an operator.
#[derive(Debug)]
pub(super) struct Step {
    /// Its name, for people.
    pub(super) called: String,
    pub(super) operator: String,
    pub(super) inputs: Vec<Option<usize>>,
    pub(super) outputs: Vec<Option<usize>>,
    pub(super) attributes: HashMap<String, Attribute>,
    /// The tensor that it holds.
    pub(super) constant: Option<Fact>,
    /// The graphs of an `If`: of what it does then, and else.
    pub(super) arms: Vec<Steps>,
}

/// What a node says of itself.
#[derive(Debug, Default)]
pub(super) struct Attribute {
    pub(super) int: Option<i64>,
    pub(super) ints: Vec<i64>,
    pub(super) float: Option<f32>,
    pub(super) floats: Vec<f32>,
    pub(super) text: String,
    /// How many there are, of whatever it has.
    pub(super) count: u64,
}

/// The names that are known at some place of the graph.
#[derive(Debug, Default)]
pub(super) struct Names<'m> {
    places: HashMap<&'m str, usize>,
    /// What names meant before they were added, to be known again where a graph ends.
    before: Vec<(&'m str, Option<usize>)>,
    pub(super) count: usize,
}

impl<'m> Names<'m> {
    pub(super) fn add(&mut self, name: &'m str) -> usize {
        let place = self.count;
        self.count += 1;
        let before = self.places.insert(name, place);
        self.before.push((name, before));
        place
    }

    fn of(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// Reads a graph, which sees what is around it.
    pub(super) fn steps(&mut self, graph: &'m Graph<'m>) -> Steps {
        let around = self.before.len();
        let constants = graph.constants.iter();
        let mut steps = Steps {
            constants: constants
                .map(|one| (self.add(one.name), fact(one)))
                .collect(),
            ..Steps::default()
        };
        for node in &graph.nodes {
            let mut arms: Vec<_> = node.graphs.iter().collect();
            arms.sort_by_key(|arm| arm.role != "then_branch");
            steps.steps.push(Step {
                called: called(node),
                operator: node.operator.to_owned(),
                inputs: node.inputs.iter().map(|name| self.of(name)).collect(),
                arms: arms.into_iter().map(|arm| self.steps(arm)).collect(),
                attributes: attributes(node),
                constant: node.constants.first().map(fact),
                outputs: (node.outputs.iter())
                    .map(|name| (!name.is_empty()).then(|| self.add(name)))
                    .collect(),
            });
        }
        let outputs = graph.outputs.iter();
        steps.outputs = outputs.filter_map(|output| self.of(output.name)).collect();
        for (name, place) in self.before.drain(around..).rev() {
            match place {
                Some(place) => self.places.insert(name, place),
                None => self.places.remove(name),
            };
        }
        steps
    }
}

fn attributes(node: &Node<'_>) -> HashMap<String, Attribute> {
    (node.attributes.iter())
        .map(|one| {
            let counts = [one.ints.len(), one.floats.len(), one.texts];
            let attribute = Attribute {
                int: one.int,
                ints: one.ints.clone(),
                float: one.float,
                floats: one.floats.clone(),
                text: String::from_utf8_lossy(one.text).into_owned(),
                count: counts.into_iter().max().unwrap_or(0) as u64,
            };
            (one.name.to_owned(), attribute)
        })
        .collect()
}

fn fact(constant: &Constant<'_>) -> Fact {
    let dims = constant.dims.iter();
    let dims = dims.map(|size| u64::try_from(*size).unwrap_or(0)).collect();
    let values = constant.few();
    Fact {
        values: values.and_then(|values| known(values, constant.dtype == 1)),
        ..Fact::of(dims, true, width(constant.dtype))
    }
}

/// As they are in the file: the ends of slices are often the largest number there is.
fn known(elements: Vec<f64>, is_real: bool) -> Option<Values> {
    Some(Values {
        elements: elements.into(),
        is_real,
    })
}

/// The bytes of an element of ONNX's type, in the engine that takes more: rten has no type of
/// fewer than 32 bits for most, and ONNX Runtime computes with halves as with floats.
pub(super) fn width(dtype: u64) -> u64 {
    match dtype {
        7 | 11 | 13 | 14 => 8,
        15 => 16,
        // A `string` is an object.
        8 => 64,
        _ => 4,
    }
}
