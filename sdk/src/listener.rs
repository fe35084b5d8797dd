//! From the handler interface to listener functions: what the macros build on.

use std::marker::PhantomData;

use schemars::JsonSchema;

use crate::bindings::skep::jobs::types;
use crate::payload::FromPayload;
use crate::{Context, Failure, IntoOutput, Job, log};

/// A listener function as the macro [`listener`](crate::listener) describes it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a listener function",
    note = "put #[skep_sdk::listener] on the function"
)]
pub trait Listener {
    /// The function's name.
    const NAME: &'static str;
    /// The first paragraph of its documentation.
    const SUMMARY: &'static str;

    /// The JSON Schema of its messages, if there is one.
    fn message_schema() -> Option<String>;

    /// Reads the message, calls the function and writes its output.
    fn call(context: Context) -> Result<types::Output, Failure>;

    /// All of it, for a table.
    const ENTRY: Entry = Entry {
        name: Self::NAME,
        summary: Self::SUMMARY,
        message_schema: Self::message_schema,
        call: Self::call,
    };
}

/// A [`Listener`] as data.
#[derive(Clone)]
pub struct Entry {
    pub(crate) name: &'static str,
    summary: &'static str,
    message_schema: fn() -> Option<String>,
    call: fn(Context) -> Result<types::Output, Failure>,
}

/// Stops the build of a component in which two functions have one name.
pub const fn distinct(names: &[&str]) {
    let mut later = 1;
    while later < names.len() {
        let mut earlier = 0;
        while earlier < later {
            assert!(
                !same(names[earlier].as_bytes(), names[later].as_bytes()),
                "two listener functions of this component have the same name"
            );
            earlier += 1;
        }
        later += 1;
    }
}

/// `==`, which constants cannot use.
const fn same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

/// The component's `functions`.
pub fn functions(table: &[Entry]) -> Vec<types::FunctionInfo> {
    log::panics();
    table
        .iter()
        .map(|entry| types::FunctionInfo {
            name: entry.name.to_owned(),
            summary: entry.summary.to_owned(),
            message_schema: (entry.message_schema)(),
        })
        .collect()
}

/// The component's `handle`.
pub fn handle(table: &[Entry], job: Job) -> Result<types::Output, types::Failure> {
    log::panics();
    let outcome = match table.iter().find(|entry| entry.name == job.function) {
        Some(entry) => (entry.call)(Context::new(job)),
        None => Err(Failure::invalid(format_args!(
            "this component has no function `{}`",
            job.function
        ))),
    };
    outcome.map_err(Into::into)
}

/// The message, as the type that a handler takes.
pub fn message<T: FromPayload>(context: &mut Context) -> Result<T, Failure> {
    T::from_payload(context.message())
        .map_err(|error| Failure::invalid(format_args!("the message does not fit: {error}")))
}

/// What a handler returned, as the host takes it.
pub fn output<T: IntoOutput, E: Into<Failure>>(
    result: Result<T, E>,
) -> Result<types::Output, Failure> {
    let output = result.map_err(Into::into)?.into_output()?;
    Ok(output.into())
}

/// Finds the schema of a message type that may or may not have one.
///
/// Method resolution prefers [`WithSchema`], which needs one `&` less than
/// [`WithoutSchema`], wherever `T: JsonSchema` holds; see `message_schema` in
/// what [`listener`](crate::listener) expands to.
pub struct SchemaOf<T>(pub PhantomData<T>);

/// The schema of a type that has one.
pub trait WithSchema {
    /// The schema, as JSON.
    fn schema(&self) -> Option<String>;
}

impl<T: JsonSchema> WithSchema for SchemaOf<T> {
    fn schema(&self) -> Option<String> {
        // Bytes and their like implement `JsonSchema` as arrays of numbers, but
        // a handler that takes them takes any message.
        if T::schema_name() == Vec::<u8>::schema_name() {
            return None;
        }
        let schema = schemars::SchemaGenerator::default().into_root_schema_for::<T>();
        Some(schema.to_value().to_string())
    }
}

/// The absence of a schema.
pub trait WithoutSchema {
    /// None.
    fn schema(&self) -> Option<String>;
}

impl<T> WithoutSchema for &SchemaOf<T> {
    fn schema(&self) -> Option<String> {
        None
    }
}
