//! Calling models: inputs from Rust's slices, arrays and numbers, and outputs as such.

mod element;
mod to_tensor;

use std::ops::Deref;

pub use element::Element;
pub use to_tensor::ToTensor;

pub use crate::bindings::skep::jobs::inference::{
    DataType, ModelInfo, NamedTensor, Tensor, TensorSpec,
};
use crate::{Error, host};

/// A call of a model that is being put together: see [`Context::infer`](crate::Context::infer).
#[derive(Clone, Debug)]
#[must_use = "nothing is called before `run`"]
pub struct Infer {
    model: String,
    inputs: Vec<NamedTensor>,
}

impl Infer {
    pub(crate) fn new(model: &str) -> Self {
        Infer {
            model: model.to_owned(),
            inputs: Vec::new(),
        }
    }

    /// Gives an input: a number, or slices, arrays and `Vec`s of numbers, nested as deeply
    /// as the input has dimensions; with the feature `ndarray` an array of that crate's.
    ///
    /// It has the type that the numbers have: `1.0` is an `f64`, where most models take `f32`.
    ///
    /// # Errors
    ///
    /// When inner lists differ in length.
    pub fn input(self, name: &str, value: &(impl ToTensor + ?Sized)) -> Result<Self, Error> {
        let value = value
            .to_tensor()
            .map_err(|error| error.within_input(name))?;
        Ok(self.tensor(name, value))
    }

    /// Lets the input that was given last have this shape, of as many elements.
    ///
    /// ```
    /// # use skep_sdk::{Context, Error};
    /// # fn f(ctx: &Context, pixels: &[f32]) -> Result<(), Error> {
    /// let out = ctx.infer("digits").input("image", pixels)?.shape(&[1, 1, 28, 28]).run()?;
    /// # Ok(()) }
    /// ```
    pub fn shape(mut self, shape: &[u64]) -> Self {
        if let Some(last) = self.inputs.last_mut() {
            last.value.shape = shape.to_vec();
        }
        self
    }

    /// Gives an input as a tensor.
    pub fn tensor(mut self, name: &str, value: Tensor) -> Self {
        self.inputs.push(NamedTensor::new(name, value));
        self
    }

    /// Calls the model, and waits for its answer.
    pub fn run(self) -> Result<Outputs, Error> {
        let outputs = host::inference::infer(&self.model, &self.inputs)?;
        Ok(Outputs { outputs })
    }
}

/// What a model answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Outputs {
    outputs: Vec<NamedTensor>,
}

impl Outputs {
    /// An output by its name.
    ///
    /// # Errors
    ///
    /// When there is none of this name, or its elements are not `T`.
    pub fn get<T: Element>(&self, name: &str) -> Result<Values<T>, Error> {
        let found = self.outputs.iter().find(|output| output.name == name);
        let found = found.ok_or_else(|| {
            let names: Vec<_> = self.outputs.iter().map(|output| &*output.name).collect();
            Error::NotFound(format!(
                "the model has no output {name:?}; it has: {}",
                names.join(", ")
            ))
        })?;
        Values::of(found)
    }

    /// The first output: of most models the only one.
    ///
    /// # Errors
    ///
    /// When there is none, or its elements are not `T`.
    pub fn first<T: Element>(&self) -> Result<Values<T>, Error> {
        match self.outputs.first() {
            Some(first) => Values::of(first),
            None => Err(Error::NotFound("the model has no output".to_owned())),
        }
    }

    /// All outputs as they came, in the model's order.
    pub fn into_tensors(self) -> Vec<NamedTensor> {
        self.outputs
    }
}

/// The elements of a tensor, in row-major order; a slice, that knows its shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Values<T> {
    shape: Vec<u64>,
    elements: Vec<T>,
}

impl<T: Element> Values<T> {
    fn of(output: &NamedTensor) -> Result<Self, Error> {
        let elements = output.value.elements().ok_or_else(|| {
            Error::InvalidArgument(format!(
                "the output {:?} has elements of {}, not {}",
                output.name,
                said(output.value.dtype),
                said(T::DTYPE)
            ))
        })?;
        Ok(Values {
            shape: output.value.shape.clone(),
            elements,
        })
    }

    /// The shape, outermost dimension first.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// The parts along the outermost dimension, such as the rows of a matrix.
    pub fn rows(&self) -> impl Iterator<Item = &[T]> {
        let rows = self.shape.first().map_or(1, |rows| *rows as usize);
        let length = self.elements.len() / rows.max(1);
        self.elements.chunks_exact(length.max(1))
    }

    /// The elements.
    pub fn into_vec(self) -> Vec<T> {
        self.elements
    }

    /// The elements as an array of the crate `ndarray`.
    #[cfg(feature = "ndarray")]
    pub fn into_ndarray(self) -> ndarray::ArrayD<T> {
        let shape: Vec<_> = self.shape.iter().map(|size| *size as usize).collect();
        let made = ndarray::ArrayD::from_shape_vec(shape, self.elements);
        made.expect("a host gives as many elements as the shape has")
    }
}

/// The type as a model declares it: the bindings say `DataType::F32`.
fn said(dtype: DataType) -> String {
    let name = format!("{dtype:?}");
    let name = name.rsplit("::").next().unwrap_or_default();
    name.to_ascii_lowercase()
}

impl<T> Deref for Values<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.elements
    }
}

impl NamedTensor {
    /// A tensor under an input's name.
    pub fn new(name: impl Into<String>, value: Tensor) -> Self {
        NamedTensor {
            name: name.into(),
            value,
        }
    }
}

impl Tensor {
    /// A tensor of these elements in row-major order.
    pub fn of<T: Element>(shape: &[u64], elements: &[T]) -> Self {
        let mut data = Vec::with_capacity(size_of_val(elements));
        T::put(elements, &mut data);
        Tensor {
            dtype: T::DTYPE,
            shape: shape.to_vec(),
            data,
        }
    }

    /// A tensor of `f32`, its elements in row-major order.
    pub fn f32(shape: &[u64], elements: &[f32]) -> Self {
        Tensor::of(shape, elements)
    }

    /// A tensor of `i64`, its elements in row-major order.
    pub fn i64(shape: &[u64], elements: &[i64]) -> Self {
        Tensor::of(shape, elements)
    }

    /// The elements, if they are `T`.
    pub fn elements<T: Element>(&self) -> Option<Vec<T>> {
        (self.dtype == T::DTYPE).then(|| T::take(&self.data))
    }

    /// The elements, if they are `f32`.
    pub fn to_f32(&self) -> Option<Vec<f32>> {
        self.elements()
    }

    /// The elements, if they are `i64`.
    pub fn to_i64(&self) -> Option<Vec<i64>> {
        self.elements()
    }
}
