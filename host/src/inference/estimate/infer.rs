//! The rules of the operators that give what they get, or are broadcast; the others are in
//! `layout` (which move elements), `arrays` (which make and pick them) and `nets` (which compute
//! sums of products).

use super::fact::{Fact, broadcast, product};
use super::plan::{Attribute, Step, width};
use super::{arrays, layout, nets};

/// What an operator gives.
pub(super) struct Made {
    pub(super) facts: Vec<Fact>,
    /// What it needs besides, in bytes.
    pub(super) working_bytes: u64,
}

impl From<Vec<Fact>> for Made {
    fn from(facts: Vec<Fact>) -> Self {
        Self {
            facts,
            working_bytes: 0,
        }
    }
}

impl From<Fact> for Made {
    fn from(fact: Fact) -> Self {
        vec![fact].into()
    }
}

/// Why nothing is known of what an operator gives.
pub(super) enum Why {
    /// It may be of any size.
    Unbounded(String),
    /// Engines fail there, and give nothing.
    Fails,
}

impl From<String> for Why {
    fn from(text: String) -> Self {
        Self::Unbounded(text)
    }
}

impl From<&str> for Why {
    fn from(text: &str) -> Self {
        Self::Unbounded(text.to_owned())
    }
}

/// A use of an operator, with what is known of its inputs.
pub(super) struct Use<'a> {
    pub(super) step: &'a Step,
    pub(super) inputs: Vec<Option<&'a Fact>>,
}

impl<'a> Use<'a> {
    pub(super) fn get(&self, at: usize) -> Option<&'a Fact> {
        self.inputs.get(at).copied().flatten()
    }

    pub(super) fn input(&self, at: usize) -> Result<&'a Fact, Why> {
        self.get(at)
            .ok_or_else(|| format!("its input {at} is missing").into())
    }

    /// The shape of an input.
    pub(super) fn dims(&self, at: usize) -> Result<&'a [u64], Why> {
        let dims = self.input(at)?.dims.as_deref();
        dims.ok_or_else(|| {
            format!("how many dimensions its input {at} has depends on values").into()
        })
    }

    /// The elements of an input, as whole numbers.
    pub(super) fn whole(&self, at: usize) -> Option<Vec<i64>> {
        Some(self.get(at)?.values.as_ref()?.whole())
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&'a Attribute> {
        self.step.attributes.get(name)
    }

    pub(super) fn int(&self, name: &str) -> Option<i64> {
        self.attribute(name)?.int
    }

    pub(super) fn ints(&self, name: &str) -> Option<&'a [i64]> {
        Some(self.attribute(name)?.ints.as_slice())
    }

    pub(super) fn text(&self, name: &str) -> &'a str {
        self.attribute(name).map_or("", |one| one.text.as_str())
    }

    /// What was an attribute in old sets of operators, and is an input now.
    pub(super) fn ints_or_input(&self, name: &str, at: usize) -> Result<Option<Vec<i64>>, ()> {
        if let Some(ints) = self.ints(name) {
            return Ok(Some(ints.to_vec()));
        }
        match self.get(at) {
            None => Ok(None),
            Some(_) => self.whole(at).map(Some).ok_or(()),
        }
    }
}

/// Which dimension is meant; engines fail where there is none.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, Why> {
    let rank_i = i64::try_from(rank).unwrap_or(i64::MAX);
    let from_start = if axis < 0 {
        axis.saturating_add(rank_i)
    } else {
        axis
    };
    (usize::try_from(from_start).ok().filter(|axis| *axis < rank)).ok_or(Why::Fails)
}

/// What an operator gives.
pub(super) fn infer(used: &Use<'_>) -> Result<Made, Why> {
    let operator = used.step.operator.as_str();
    match operator {
        "Abs"
        | "Acos"
        | "Acosh"
        | "Asin"
        | "Asinh"
        | "Atan"
        | "Atanh"
        | "BatchNormalization"
        | "Bernoulli"
        | "Binarizer"
        | "BitwiseNot"
        | "CastLike"
        | "Ceil"
        | "Celu"
        | "Clip"
        | "Cos"
        | "Cosh"
        | "CumProd"
        | "CumSum"
        | "DequantizeLinear"
        | "Dropout"
        | "Elu"
        | "Erf"
        | "Exp"
        | "EyeLike"
        | "Floor"
        | "Gelu"
        | "GroupNormalization"
        | "HardSigmoid"
        | "HardSwish"
        | "Hardmax"
        | "Identity"
        | "Imputer"
        | "InstanceNormalization"
        | "IsInf"
        | "IsNaN"
        | "LRN"
        | "LayerNormalization"
        | "LeakyRelu"
        | "Log"
        | "LogSoftmax"
        | "LpNormalization"
        | "MeanVarianceNormalization"
        | "Mish"
        | "Neg"
        | "Normalizer"
        | "Not"
        | "QuantizeLinear"
        | "RMSNormalization"
        | "RandomNormalLike"
        | "RandomUniformLike"
        | "Reciprocal"
        | "Relu"
        | "ReverseSequence"
        | "Round"
        | "Scaler"
        | "Scatter"
        | "ScatterElements"
        | "ScatterND"
        | "Selu"
        | "Shrink"
        | "Sigmoid"
        | "Sign"
        | "Sin"
        | "Sinh"
        | "Softmax"
        | "Softplus"
        | "Softsign"
        | "Sqrt"
        | "Swish"
        | "Tan"
        | "Tanh"
        | "ThresholdedRelu"
        | "Trilu" => same(used, None),
        "Cast" => {
            let to = used.int("to").and_then(|to| u64::try_from(to).ok());
            same(used, to.map(width))
        }
        "DynamicQuantizeLinear" => {
            let scalar = || Fact::of(Vec::new(), true, 4);
            let first = plain(used.input(0)?, 4);
            Ok(vec![first, scalar(), scalar()].into())
        }
        "Add" | "And" | "BitShift" | "BitwiseAnd" | "BitwiseOr" | "BitwiseXor" | "Div"
        | "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "Max" | "Mean"
        | "Min" | "Mod" | "Mul" | "Or" | "PRelu" | "Pow" | "Sub" | "Sum" | "Where" | "Xor" => {
            spread(used)
        }
        _ => match layout::infer(used)? {
            Some(made) => Ok(made),
            None => match arrays::infer(used)? {
                Some(made) => Ok(made),
                None => nets::infer(used)?.ok_or("what it gives is not known".into()),
            },
        },
    }
}

/// As much as it gets.
fn plain(input: &Fact, width: u64) -> Fact {
    Fact {
        values: None,
        width,
        ..input.clone()
    }
}

/// Gives a tensor of its first input's shape, and others that are not larger.
fn same(used: &Use<'_>, to: Option<u64>) -> Result<Made, Why> {
    let input = used.input(0)?;
    let widths = used.inputs.iter().flatten().map(|input| input.width);
    let width = to.unwrap_or(widths.max().unwrap_or(8));
    let mut facts = vec![plain(input, width)];
    for _ in 1..used.step.outputs.len() {
        let mut other = plain(input, width.max(input.width));
        other.is_exact = false;
        facts.push(other);
    }
    // What it is divided by, or looked up, may be there once for each element.
    Ok(facts.into())
}

fn spread(used: &Use<'_>) -> Result<Made, Why> {
    let mut inputs = used.inputs.iter().flatten();
    let first = inputs.next().ok_or("it has no inputs")?;
    let mut made = plain(first, first.width);
    for input in inputs {
        let width = made.width.max(input.width);
        made = match (&made.dims, &input.dims) {
            (Some(one), Some(two)) => {
                let (dims, fits) = broadcast(one, two);
                Fact::of(dims, fits && made.is_exact && input.is_exact, width)
            }
            _ => {
                let (one, two) = (made.elements.max(1), input.elements.max(1));
                Fact::opaque(product(&[one, two]), width)
            }
        };
    }
    Ok(made.into())
}
