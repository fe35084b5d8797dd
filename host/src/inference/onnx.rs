//! ONNX files, as far as a host looks into them before an engine does: the graph and its names,
//! not the weights.
//!
//! Own code, since it meets files of strangers first: it copies nothing, its depth is bounded, and
//! it sees the fields that engines skip (functions, training, external data). A message that
//! stands where ONNX has one, and comes twice, is refused: readers differ in what they make of it.

mod elements;
mod signature;
mod wire;

pub(super) use elements::MAX_ELEMENTS;
pub(super) use signature::signature;

use wire::{Field, Fields, Malformed};

/// How deep graphs may lie in graphs: three `If` in each other are rare; each level is a few
/// frames of stack in any reader.
const MAX_NESTING: usize = 8;

/// The most nodes, tensors, names and dimensions. The largest models that people export have some
/// hundred thousand; each takes up to 200 bytes of memory here, for the two that it takes in a file.
const MAX_ITEMS: usize = 1 << 20;

/// The file, as it is said what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OnnxError {
    /// Not ONNX, or not whole.
    #[error("the ONNX file is damaged: {0}; export or download it again")]
    Damaged(String),
    /// Too deep.
    #[error("graphs lie in graphs more than {MAX_NESTING} deep (`If`, `Loop`); simplify the model")]
    Nesting,
    /// Too much of it.
    #[error("the model has more than {MAX_ITEMS} nodes, tensors and names; simplify it")]
    Items,
}

/// How many items may still come.
struct Room(usize);

impl Room {
    fn take(&mut self, items: usize) -> Result<(), OnnxError> {
        self.0 = self.0.checked_sub(items).ok_or(OnnxError::Items)?;
        Ok(())
    }
}

impl From<Malformed> for OnnxError {
    fn from(error: Malformed) -> Self {
        Self::Damaged(match error {
            Malformed::Truncated => "it ends too early".to_owned(),
            Malformed::Varint => "a number has more than 64 bits".to_owned(),
            Malformed::Kind(kind) => format!("it has a field of the unknown kind {kind}"),
            Malformed::Unexpected(number) => format!("field {number} is not what ONNX has there"),
        })
    }
}

/// A model.
#[derive(Debug, Default)]
pub(super) struct Model<'m> {
    /// The version of the format; 0 where none is said.
    pub(super) ir_version: u64,
    /// The sets of operators that it uses, by their domains.
    pub(super) opsets: Vec<&'m str>,
    /// What it computes.
    pub(super) graph: Option<Graph<'m>>,
    /// How many functions it defines for itself.
    pub(super) functions: usize,
    /// Whether it says how to train it.
    pub(super) training: bool,
}

/// A graph, or one that a node holds.
#[derive(Debug, Default)]
pub(super) struct Graph<'m> {
    /// The attribute of the node that holds it.
    pub(super) role: &'m str,
    pub(super) nodes: Vec<Node<'m>>,
    pub(super) constants: Vec<Constant<'m>>,
    pub(super) inputs: Vec<Variable<'m>>,
    pub(super) outputs: Vec<Variable<'m>>,
}

/// A use of an operator.
#[derive(Debug, Default)]
pub(super) struct Node<'m> {
    pub(super) name: &'m str,
    pub(super) operator: &'m str,
    pub(super) domain: &'m str,
    /// The names of what it takes; empty where it leaves one out.
    pub(super) inputs: Vec<&'m str>,
    pub(super) outputs: Vec<&'m str>,
    /// The graphs that it holds.
    pub(super) graphs: Vec<Graph<'m>>,
    /// The tensors among its attributes.
    pub(super) constants: Vec<Constant<'m>>,
    /// Its other attributes.
    pub(super) attributes: Vec<Attribute<'m>>,
}

/// What a node says of itself, besides tensors and graphs.
#[derive(Debug, Default)]
pub(super) struct Attribute<'m> {
    pub(super) name: &'m str,
    pub(super) int: Option<i64>,
    pub(super) ints: Vec<i64>,
    pub(super) float: Option<f32>,
    pub(super) floats: Vec<f32>,
    pub(super) text: &'m [u8],
    /// How many texts there are, where there are many.
    pub(super) texts: usize,
}

/// A tensor in the file.
#[derive(Debug, Default)]
pub(super) struct Constant<'m> {
    pub(super) name: &'m str,
    pub(super) dims: Vec<i64>,
    pub(super) dtype: u64,
    /// Its bytes, where it has them as such.
    pub(super) raw: Option<usize>,
    /// How many elements it has otherwise.
    pub(super) elements: u64,
    /// Whether it is, or may be, in another file.
    pub(super) external: bool,
    /// Whether only its elements that are not 0 are there.
    pub(super) sparse: bool,
    /// The bytes of `raw`.
    bytes: &'m [u8],
    /// The first of its elements otherwise, as fields of the file.
    fields: Vec<Field<'m>>,
}

/// An input or output.
#[derive(Debug, Default)]
pub(super) struct Variable<'m> {
    pub(super) name: &'m str,
    /// Its type; none if it is no tensor.
    pub(super) tensor: Option<TensorType<'m>>,
}

/// The type of a tensor.
#[derive(Debug, Default)]
pub(super) struct TensorType<'m> {
    pub(super) dtype: u64,
    /// None where not even the number of dimensions is said.
    pub(super) shape: Option<Vec<Dimension<'m>>>,
}

/// One dimension.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dimension<'m> {
    pub(super) size: Option<i64>,
    /// The name that dimensions of one size share.
    pub(super) name: Option<&'m str>,
}

/// Reads a model.
pub(super) fn read(file: &[u8]) -> Result<Model<'_>, OnnxError> {
    let mut model = Model::default();
    let mut room = Room(MAX_ITEMS);
    for field in Fields::of(file) {
        let field = field?;
        match field.number {
            1 => model.ir_version = field.number()?,
            7 => {
                let graph = graph(field.message()?, MAX_NESTING, &mut room)?;
                once(&mut model.graph, graph, "the graph")?;
            }
            8 => {
                room.take(1)?;
                model.opsets.push(domain(field.message()?)?);
            }
            20 => model.training = true,
            25 => model.functions += 1,
            _ => {}
        }
    }
    Ok(model)
}

fn once<T>(place: &mut Option<T>, value: T, what: &str) -> Result<(), OnnxError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(OnnxError::Damaged(format!("{what} is there twice"))),
    }
}

fn domain(message: Fields<'_>) -> Result<&str, OnnxError> {
    let mut domain = "";
    for field in message {
        let field = field?;
        if field.number == 1 {
            domain = field.text()?;
        }
    }
    Ok(domain)
}

fn graph<'m>(message: Fields<'m>, deeper: usize, room: &mut Room) -> Result<Graph<'m>, OnnxError> {
    let deeper = deeper.checked_sub(1).ok_or(OnnxError::Nesting)?;
    let mut graph = Graph::default();
    for field in message {
        let field = field?;
        match field.number {
            1 => graph.nodes.push(node(field.message()?, deeper, room)?),
            5 => graph.constants.push(constant(field.message()?, room)?),
            11 => graph.inputs.push(variable(field.message()?, room)?),
            12 => graph.outputs.push(variable(field.message()?, room)?),
            15 => graph.constants.push(sparse(room)?),
            _ => {}
        }
    }
    Ok(graph)
}

fn node<'m>(message: Fields<'m>, deeper: usize, room: &mut Room) -> Result<Node<'m>, OnnxError> {
    room.take(1)?;
    let mut node = Node::default();
    for field in message {
        let field = field?;
        match field.number {
            1 | 2 => {
                room.take(1)?;
                let names = if field.number == 1 {
                    &mut node.inputs
                } else {
                    &mut node.outputs
                };
                names.push(field.text()?);
            }
            3 => node.name = field.text()?,
            4 => node.operator = field.text()?,
            5 => attribute(field.message()?, &mut node, deeper, room)?,
            7 => node.domain = field.text()?,
            _ => {}
        }
    }
    Ok(node)
}

fn attribute<'m>(
    message: Fields<'m>,
    node: &mut Node<'m>,
    deeper: usize,
    room: &mut Room,
) -> Result<(), OnnxError> {
    let (mut tensor, mut held) = (None, None);
    let mut said = Attribute::default();
    let first = node.graphs.len();
    for field in message {
        let field = field?;
        match field.number {
            1 => said.name = field.text()?,
            2 => said.float = reals(&field)?.first().copied(),
            3 => said.int = Some(field.number()?.cast_signed()),
            4 => said.text = field.bytes()?,
            5 => once(&mut tensor, constant(field.message()?, room)?, "a tensor")?,
            7 => {
                room.take(usize::try_from(fixed(&field, 4)?).unwrap_or(usize::MAX))?;
                said.floats.extend(reals(&field)?);
            }
            8 => {
                room.take(usize::try_from(field.count()?).unwrap_or(usize::MAX))?;
                let numbers = field.numbers()?.into_iter();
                said.ints.extend(numbers.map(u64::cast_signed));
            }
            9 => said.texts += 1,
            6 => once(&mut held, graph(field.message()?, deeper, room)?, "a graph")?,
            10 => node.constants.push(constant(field.message()?, room)?),
            11 => node.graphs.push(graph(field.message()?, deeper, room)?),
            22 | 23 => node.constants.push(sparse(room)?),
            _ => {}
        }
    }
    node.constants.extend(tensor);
    node.graphs.extend(held);
    for graph in node.graphs.iter_mut().skip(first) {
        graph.role = said.name;
    }
    room.take(1)?;
    node.attributes.push(said);
    Ok(())
}

/// Real numbers, packed or one of many.
fn reals(field: &Field<'_>) -> Result<Vec<f32>, OnnxError> {
    match field.value {
        wire::Value::Bytes(bytes) | wire::Value::Four(bytes) => {
            let (reals, _) = bytes.as_chunks();
            Ok(reals.iter().map(|real| f32::from_le_bytes(*real)).collect())
        }
        _ => Err(Malformed::Unexpected(field.number).into()),
    }
}

fn constant<'m>(message: Fields<'m>, room: &mut Room) -> Result<Constant<'m>, OnnxError> {
    room.take(1)?;
    let mut constant = Constant::default();
    for field in message {
        let field = field?;
        match field.number {
            1 => {
                room.take(usize::try_from(field.count()?).unwrap_or(usize::MAX))?;
                let dims = field.numbers()?.into_iter();
                constant.dims.extend(dims.map(u64::cast_signed));
            }
            2 => constant.dtype = field.number()?,
            4 => {
                constant.elements += fixed(&field, 4)?;
                constant.keep(field);
            }
            5 | 7 | 11 => {
                constant.elements += field.count()?;
                constant.keep(field);
            }
            6 => constant.elements += 1,
            8 => constant.name = field.text()?,
            9 => {
                constant.bytes = field.bytes()?;
                once(&mut constant.raw, constant.bytes.len(), "a tensor's data")?;
            }
            10 => {
                constant.elements += fixed(&field, 8)?;
                constant.keep(field);
            }
            13 => constant.external = true,
            14 => constant.external |= field.number()? != 0,
            _ => {}
        }
    }
    Ok(constant)
}

fn sparse<'m>(room: &mut Room) -> Result<Constant<'m>, OnnxError> {
    room.take(1)?;
    Ok(Constant {
        sparse: true,
        ..Constant::default()
    })
}

/// How many elements of so many bytes are in a field, packed or one of many.
fn fixed(field: &Field<'_>, size: usize) -> Result<u64, OnnxError> {
    Ok(match field.value {
        wire::Value::Bytes(packed) => (packed.len() / size) as u64,
        wire::Value::Four(_) | wire::Value::Eight(_) => 1,
        wire::Value::Number(_) => return Err(Malformed::Unexpected(field.number).into()),
    })
}

fn variable<'m>(message: Fields<'m>, room: &mut Room) -> Result<Variable<'m>, OnnxError> {
    room.take(1)?;
    let mut variable = Variable::default();
    for field in message {
        let field = field?;
        match field.number {
            1 => variable.name = field.text()?,
            2 => {
                for field in field.message()? {
                    let field = field?;
                    if field.number == 1 {
                        let tensor = tensor_type(field.message()?, room)?;
                        once(&mut variable.tensor, tensor, "a type")?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(variable)
}

fn tensor_type<'m>(message: Fields<'m>, room: &mut Room) -> Result<TensorType<'m>, OnnxError> {
    let mut tensor = TensorType::default();
    for field in message {
        let field = field?;
        match field.number {
            1 => tensor.dtype = field.number()?,
            2 => {
                let mut shape = Vec::new();
                for field in field.message()? {
                    let field = field?;
                    if field.number == 1 {
                        room.take(1)?;
                        shape.push(dimension(&field)?);
                    }
                }
                once(&mut tensor.shape, shape, "a shape")?;
            }
            _ => {}
        }
    }
    Ok(tensor)
}

fn dimension<'m>(field: &Field<'m>) -> Result<Dimension<'m>, OnnxError> {
    let mut dimension = Dimension::default();
    for field in field.message()? {
        let field = field?;
        match field.number {
            1 => dimension.size = Some(field.number()?.cast_signed()),
            2 => dimension.name = Some(field.text()?),
            _ => {}
        }
    }
    Ok(dimension)
}
