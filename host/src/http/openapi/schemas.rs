//! Schemas: small ones for parameters, and those of what is a text or a map on the wire
//! and something narrower inside. Their bounds are those of the code.

use std::borrow::Cow;

use serde_json::json;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, SchemaType, Type};
use utoipa::openapi::{Object, ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::access::{Label, MAX_LABEL_CHARS, Reach, Scope, Scopes, TokenId};
use crate::job::{Digest, FunctionName, JobId, LIMITS, ModelName, Namespace, Priority, SomeLimits};

/// Any text.
pub(in crate::http) fn text() -> Object {
    Object::with_type(Type::String)
}

/// A text of so many characters.
pub(in crate::http) fn text_of(least: usize, most: usize) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(least))
        .max_length(Some(most))
        .build()
}

/// A text of this form.
pub(in crate::http) fn text_like(pattern: &str, example: &str) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(pattern))
        .examples([json!(example)])
        .build()
}

/// Bytes.
pub(in crate::http) fn bytes() -> Schema {
    utoipa::openapi::schema::empty()
}

/// A whole number within bounds.
pub(in crate::http) fn integer(least: u64, most: u64) -> Object {
    let bound = |bound: u64| usize::try_from(bound).unwrap_or(usize::MAX);
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(bound(least)))
        .maximum(Some(bound(most)))
        .build()
}

/// Yes or no.
pub(in crate::http) fn boolean(default: bool) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Boolean)
        .default(Some(json!(default)))
        .build()
}

/// A schema that also takes `null`, as an option that is left out.
pub(in crate::http) fn or_null(mut schema: Object) -> Object {
    if let SchemaType::Type(one) = schema.schema_type {
        schema.schema_type = SchemaType::Array(vec![one, Type::Null]);
    }
    schema
}

/// Each limit, within its bounds.
pub(in crate::http) fn limits() -> impl Iterator<Item = (&'static str, Object)> {
    LIMITS
        .iter()
        .map(|limit| (limit.name, integer(limit.least, limit.most)))
}

macro_rules! schema {
    ($type:ident, $description:literal, $schema:expr) => {
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                let mut schema: Object = $schema;
                schema.description = Some($description.to_owned());
                Schema::Object(schema).into()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                stringify!($type).into()
            }
        }
    };
}

/// The form of function names and namespaces.
const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$";

schema!(
    JobId,
    "A job's id within its namespace: a whole number, as text. They count from 1.",
    text_like("^(0|[1-9][0-9]{0,18})$", "53")
);
schema!(
    FunctionName,
    "A function's name within its namespace.",
    text_like(NAME, "multiply")
);
schema!(
    ModelName,
    "A model's name within its namespace.",
    text_like(NAME, "iris")
);
schema!(
    Namespace,
    "A tenant: jobs and functions of one never meet another's.",
    text_like(NAME, "default")
);
schema!(
    Digest,
    "The SHA-256 of a component's bytes, or of a model's.",
    text_like(
        "^[0-9a-f]{64}$",
        "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
    )
);
schema!(
    TokenId,
    "Names an access token; no secret.",
    text_like("^[0-9a-f]{12}$", "bb9c6a4eaeca")
);
schema!(
    Reach,
    "The namespace in which a token counts, or `*` for all.",
    text_like("^([*]|[A-Za-z0-9][A-Za-z0-9_.-]{0,63})$", "default")
);
schema!(
    Label,
    "What people call a token: a line.",
    ObjectBuilder::new()
        .schema_type(Type::String)
        .max_length(Some(MAX_LABEL_CHARS))
        .pattern(Some(r"^[^\u0000-\u001f\u007f-\u009f]*$"))
        .build()
);
schema!(
    Priority,
    "The order in which waiting jobs are taken: 0 first, 3 last.",
    integer(0, Priority::COUNT as u64 - 1)
);
schema!(
    SomeLimits,
    "Some of the limits. What a job asks for beyond its function's limits is not given.",
    limits()
        .fold(ObjectBuilder::new(), |object, (name, schema)| {
            object.property(name, schema)
        })
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        .build()
);

impl PartialSchema for Scopes {
    fn schema() -> RefOr<Schema> {
        let names = Scope::ALL.map(Scope::as_str);
        let scope = ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(names))
            .build();
        let scopes = ArrayBuilder::new()
            .items(scope)
            .min_items(Some(1))
            .description(Some(
                "What a token lets its holder do; `admin` is all of it.",
            ));
        Schema::Array(scopes.build()).into()
    }
}

impl ToSchema for Scopes {
    fn name() -> Cow<'static, str> {
        "Scopes".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_what_they_are_examples_of() {
        fn example<T: ToSchema + std::str::FromStr>() {
            let RefOr::T(Schema::Object(schema)) = T::schema() else {
                panic!("{} is no object", T::name());
            };
            let text = schema
                .examples
                .first()
                .and_then(|one| one.as_str())
                .unwrap();
            assert!(text.parse::<T>().is_ok(), "{}", T::name());
        }
        example::<JobId>();
        example::<FunctionName>();
        example::<ModelName>();
        example::<Namespace>();
        example::<Digest>();
        example::<TokenId>();
        example::<Reach>();
    }
}
