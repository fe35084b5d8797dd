//! What is said of one route: its parameters, bodies, answers and problems.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::header::Header;
use utoipa::openapi::link::LinkBuilder;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::response::Response;
use utoipa::openapi::{Content, ContentBuilder, HeaderBuilder, Ref, RefOr, Required, Schema};

use super::super::code::Code;
use super::schemas::text;

/// What plain text is called in answers.
pub(in crate::http) const TEXT: &str = "text/plain; charset=utf-8";
/// What JSON is called.
pub(in crate::http) const JSON: &str = "application/json";

/// What routes are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::http) enum Tag {
    Jobs,
    Dead,
    Functions,
    Models,
    Queue,
    Tokens,
    Host,
}

impl Tag {
    pub(super) const ALL: [Self; 7] = [
        Self::Jobs,
        Self::Dead,
        Self::Functions,
        Self::Models,
        Self::Queue,
        Self::Tokens,
        Self::Host,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Jobs => "Jobs",
            Self::Dead => "Dead letter",
            Self::Functions => "Functions",
            Self::Models => "Models",
            Self::Queue => "Queue",
            Self::Tokens => "Access tokens",
            Self::Host => "The host",
        }
    }

    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::Jobs => "Posted, followed, stopped, and what they gave back.",
            Self::Dead => "The jobs that failed, which are run again only if a person says so.",
            Self::Functions => "Components, and the functions that they serve.",
            Self::Models => "ONNX models, which functions run through their host.",
            Self::Queue => "The jobs of a namespace as a whole.",
            Self::Tokens => "Who may do what.",
            Self::Host => "Whether it lives, and what it can do.",
        }
    }
}

/// What is said of one route.
pub(in crate::http) struct Operation {
    pub(super) tag: Tag,
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
    /// The path, where it has a pattern that the router cannot express.
    pub(super) shown_as: Option<&'static str>,
    pub(in crate::http) parameters: Vec<Parameter>,
    pub(super) body: Option<RequestBody>,
    pub(super) answers: BTreeMap<u16, Response>,
    pub(super) problems: Vec<Code>,
    pub(super) schemas: Vec<(String, RefOr<Schema>)>,
}

impl Operation {
    /// What a route does, in a line and in some.
    pub(in crate::http) fn new(
        tag: Tag,
        id: &'static str,
        summary: &'static str,
        description: &'static str,
    ) -> Self {
        Self {
            tag,
            id,
            summary,
            description,
            shown_as: None,
            parameters: Vec::new(),
            body: None,
            answers: BTreeMap::new(),
            problems: Vec::new(),
            schemas: Vec::new(),
        }
    }

    /// Shows the path so.
    pub(in crate::http) fn shown_as(mut self, path: &'static str) -> Self {
        self.shown_as = Some(path);
        self
    }

    /// An optional parameter of the query.
    pub(in crate::http) fn query(
        self,
        name: &str,
        schema: impl Into<RefOr<Schema>>,
        description: &str,
    ) -> Self {
        self.parameter(ParameterIn::Query, name, schema, description, false)
    }

    /// A parameter that the query must have.
    pub(in crate::http) fn needs_query(
        self,
        name: &str,
        schema: impl Into<RefOr<Schema>>,
        description: &str,
    ) -> Self {
        self.parameter(ParameterIn::Query, name, schema, description, true)
    }

    /// An optional header.
    pub(in crate::http) fn header(
        self,
        name: &str,
        schema: impl Into<RefOr<Schema>>,
        description: &str,
    ) -> Self {
        self.parameter(ParameterIn::Header, name, schema, description, false)
    }

    fn parameter(
        mut self,
        place: ParameterIn,
        name: &str,
        schema: impl Into<RefOr<Schema>>,
        description: &str,
        required: bool,
    ) -> Self {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(place)
            .schema(Some(schema))
            .required(if required {
                Required::True
            } else {
                Required::False
            })
            .description(Some(description))
            .build();
        self.parameters.push(parameter);
        self
    }

    /// A body that must be there, in one of several types. A second call adds types.
    pub(in crate::http) fn takes(
        mut self,
        content_type: &str,
        schema: impl Into<RefOr<Schema>>,
        example: Option<Value>,
    ) -> Self {
        let body = self.body.get_or_insert_with(RequestBody::new);
        body.required = Some(Required::True);
        let content = content(schema, example);
        body.content.insert(content_type.to_owned(), content.into());
        self
    }

    /// The body may be left out, which is as if it were empty.
    pub(in crate::http) fn or_nothing(mut self) -> Self {
        if let Some(body) = &mut self.body {
            body.required = Some(Required::False);
        }
        self
    }

    /// An answer in text, or JSON for who accepts that.
    pub(in crate::http) fn told<T: ToSchema>(
        self,
        status: u16,
        description: &str,
        in_text: &str,
        in_json: Value,
    ) -> Self {
        self.answer(status, description, TEXT, text(), Some(in_text.into()))
            .json::<T>(status, description, in_json)
    }

    /// An answer in JSON.
    pub(in crate::http) fn json<T: ToSchema>(
        mut self,
        status: u16,
        description: &str,
        example: Value,
    ) -> Self {
        let schema = self.named::<T>();
        self.answer(status, description, JSON, schema, Some(example))
    }

    /// A type, among the schemas of the document.
    pub(in crate::http) fn named<T: ToSchema>(&mut self) -> RefOr<Schema> {
        self.schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(&mut self.schemas);
        Ref::from_schema_name(T::name()).into()
    }

    /// A schema that no type has, among those of the document.
    pub(in crate::http) fn defined(&mut self, name: &str, schema: Schema) -> Ref {
        self.schemas.push((name.to_owned(), schema.into()));
        Ref::from_schema_name(name)
    }

    /// An answer, or another type of one.
    pub(in crate::http) fn answer(
        mut self,
        status: u16,
        description: &str,
        content_type: &str,
        schema: impl Into<RefOr<Schema>>,
        example: Option<Value>,
    ) -> Self {
        let content = content(schema, example);
        let response = self.response(status, description);
        response
            .content
            .insert(content_type.to_owned(), content.into());
        self
    }

    /// An answer that has no body.
    pub(in crate::http) fn done(mut self, status: u16, description: &str) -> Self {
        self.response(status, description);
        self
    }

    fn response(&mut self, status: u16, description: &str) -> &mut Response {
        let new = || Response::new(description);
        self.answers.entry(status).or_insert_with(new)
    }

    /// A header of an answer.
    pub(in crate::http) fn says(mut self, status: u16, name: &str, description: &str) -> Self {
        if let Some(response) = self.answers.get_mut(&status) {
            response
                .headers
                .insert(name.to_owned(), header(description).into());
        }
        self
    }

    /// Another operation that the id in a JSON answer leads to.
    pub(in crate::http) fn leads_to(mut self, status: u16, operation: &str) -> Self {
        if let Some(response) = self.answers.get_mut(&status) {
            let link = LinkBuilder::new()
                .operation_id(operation)
                .parameter("id", "$response.body#/id")
                .build();
            response.links.insert(operation.to_owned(), link.into());
        }
        self
    }

    /// The answer may be had in part, or not at all by who has it already.
    pub(in crate::http) fn tagged(mut self) -> Self {
        let mut part = self.answers.get(&200).cloned().unwrap_or_default();
        let tag = "Tells this answer from others: a strong tag.";
        self = self.says(200, "ETag", tag);
        self = self.says(200, "Accept-Ranges", "`bytes`");
        part.description = "The part that `Range` asks for.".to_owned();
        part.headers.insert("ETag".to_owned(), header(tag).into());
        let range = header("Which bytes these are, and how many there are.");
        part.headers
            .insert("Content-Range".to_owned(), range.into());
        self.answers.insert(206, part);
        self.done(304, "It is what `If-None-Match` names.")
            .says(304, "ETag", tag)
            .header(
                "If-None-Match",
                text(),
                "Answer 304 if the result still has one of these tags.",
            )
            .header(
                "If-Match",
                text(),
                "Answer 412 unless the result has one of these tags.",
            )
            .header(
                "Range",
                text(),
                "One range of bytes, such as `bytes=0-99`; of several ranges the whole is sent.",
            )
            .header(
                "If-Range",
                text(),
                "Send the part only if the result still has this tag, and the whole otherwise.",
            )
            .fails(&[Code::PreconditionFailed, Code::RangeNotSatisfiable])
    }

    /// Problems that it may answer, beside those of every route.
    pub(in crate::http) fn fails(mut self, codes: &[Code]) -> Self {
        self.problems.extend(codes);
        self
    }
}

pub(super) fn header(description: &str) -> Header {
    HeaderBuilder::new()
        .schema(Some(text()))
        .description(Some(description))
        .build()
}

pub(super) fn content(schema: impl Into<RefOr<Schema>>, example: Option<Value>) -> Content {
    ContentBuilder::new()
        .schema(Some(schema))
        .example(example)
        .build()
}
