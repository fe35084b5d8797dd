//! What the HTTP API is, as an OpenAPI 3.1 document for programs (`GET /openapi.json`) and
//! as a page for people (`GET /docs`, `docs/http.md`). Both are made from the route table,
//! which takes no route without its [`Operation`], so that neither can forget one.
//!
//! What is said of each route is in [`operations`](super::operations); the schemas of what
//! goes over the wire are derived from the types that do.

mod operation;
mod page;
mod problems;
mod reference;
mod schemas;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::http::HeaderValue;
use axum::response::Response;
use bytes::Bytes;
use serde_json::Value;
use utoipa::openapi::path::{
    Operation as Described, OperationBuilder, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::server::Server;
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, HttpMethod, InfoBuilder, License, OpenApi, OpenApiBuilder, PathItem,
    PathsBuilder, RefOr, Required, Schema, SecurityRequirement,
};
use utoipa::{PartialSchema as _, openapi};

pub(super) use operation::{JSON, Operation, TEXT, Tag};
pub(super) use page::docs;
pub(super) use schemas::{boolean, bytes, integer, limits, or_null, text, text_like, text_of};

use super::problem::Problem;
use super::representation::Wanted;
use super::routes::{Method, Route};
use crate::job::{FunctionName, JobId, Namespace};

/// The name of the security scheme.
const TOKEN: &str = "token";

/// The document as it is sent.
static DOCUMENT: LazyLock<Result<Bytes, String>> = LazyLock::new(|| {
    let document = walked().map(|document| document.to_string().into());
    document.map_err(|error| error.to_string())
});

/// `GET /openapi.json`.
pub(super) async fn json(wanted: Wanted) -> Result<Response, Problem> {
    let document = DOCUMENT
        .as_ref()
        .map_err(|error| Problem::internal(error))?;
    let mut head = Response::default();
    let headers = head.headers_mut();
    headers.insert(
        axum::http::header::CONTENT_TYPE,
        HeaderValue::from_static(JSON),
    );
    wanted.of(head, document.clone()).await
}

/// The whole API.
fn document() -> OpenApi {
    let table = super::table::table();
    let mut paths = PathsBuilder::new();
    let mut schemas = BTreeMap::new();
    for (route, operation) in table.table.iter().zip(&table.operations) {
        let operation = operation();
        let path = operation.shown_as.unwrap_or(route.path);
        schemas.extend(operation.schemas.iter().cloned());
        let method = match route.method {
            Method::Get => HttpMethod::Get,
            Method::Post => HttpMethod::Post,
            Method::Put => HttpMethod::Put,
            Method::Delete => HttpMethod::Delete,
        };
        paths = paths.path(
            path,
            PathItem::new(method, described(route, path, operation)),
        );
    }
    schemas.insert("Problem".to_owned(), problems::schema());
    let token = Http::new(HttpAuthScheme::Bearer);
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .security_scheme(TOKEN, SecurityScheme::Http(token))
        .build();
    let tags = Tag::ALL.map(|tag| {
        let (name, meaning) = (tag.name(), tag.meaning());
        TagBuilder::new()
            .name(name)
            .description(Some(meaning))
            .build()
    });
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("skep")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(include_str!("openapi/about.md")))
                .license(Some(License::new(env!("CARGO_PKG_LICENSE"))))
                .build(),
        )
        .servers(Some([Server::new("/")]))
        .tags(Some(tags))
        .components(Some(components))
        .paths(paths)
        .build()
}

/// An operation, with what goes for all of its kind.
fn described(route: &Route, path: &str, operation: Operation) -> Described {
    let problems = problems::of(route, &operation);
    let needs = route.needs.map_or_else(
        || "\n\nOpen to everybody.".to_owned(),
        |scope| format!("\n\nNeeds the scope `{scope}`."),
    );
    let mut described = OperationBuilder::new()
        .operation_id(Some(operation.id))
        .tag(operation.tag.name())
        .summary(Some(operation.summary))
        .description(Some(
            format!("{}{needs}", operation.description).trim_start(),
        ))
        .request_body(operation.body)
        .security(match route.needs {
            Some(scope) => SecurityRequirement::new(TOKEN, [scope.as_str()]),
            None => SecurityRequirement::default(),
        });
    for parameter in path_parameters(path).chain(operation.parameters) {
        described = described.parameter(parameter);
    }
    if route.needs.is_some() {
        let namespace = ParameterBuilder::new()
            .name("Skep-Namespace")
            .parameter_in(ParameterIn::Header)
            .schema(Some(Namespace::schema()))
            .description(Some(
                "The namespace that is meant; without it the token's, or `default`.",
            ));
        described = described.parameter(namespace);
    }
    for (status, answer) in operation.answers {
        described = described.response(status.to_string(), answer);
    }
    for (status, codes) in problems {
        described = described.response(status.as_str(), problems::answer(status, &codes));
    }
    described.build()
}

/// The parameters that a path has; their names mean the same everywhere.
fn path_parameters(path: &str) -> impl Iterator<Item = openapi::path::Parameter> {
    let names = path
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split('}').next());
    let is_token = path.starts_with("/tokens/");
    names.map(move |name| {
        let (schema, description): (RefOr<Schema>, _) = match name {
            "id" if is_token => (crate::access::TokenId::schema(), "The access token."),
            "id" => (JobId::schema(), "The job."),
            "name" => (FunctionName::schema(), "The function."),
            "extension" => (
                Schema::Object(text_like("^[^/]+$", "png")).into(),
                "An extension of file names; one that means no content type changes nothing.",
            ),
            _ => (Schema::Object(text()).into(), ""),
        };
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .schema(Some(schema))
            .description(Some(description))
            .build()
    })
}

/// The document, to be walked, in words that mean something outside of the code.
fn walked() -> serde_json::Result<Value> {
    let mut document = serde_json::to_value(document())?;
    plain(&mut document);
    Ok(document)
}

/// Takes rustdoc's links out of the descriptions, since they lead nowhere from here, and
/// calls numbers without a sign what they are: utoipa says `int32` of a `u32`.
fn plain(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(text)) = members.get_mut("description") {
                *text = text.replace("[`", "`").replace("`]", "`");
            }
            let unsigned = members.contains_key("minimum");
            if let Some(Value::String(format)) = members.get_mut("format")
                && format.starts_with("int")
                && unsigned
            {
                format.insert(0, 'u');
            }
            members.values_mut().for_each(plain);
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_route_is_an_operation_and_each_operation_a_route() {
        let document = walked().unwrap();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
        let paths = document["paths"].as_object().unwrap();
        let mut described: Vec<_> = (paths.iter())
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().keys();
                methods.map(move |method| (method.to_uppercase(), path.clone()))
            })
            .collect();
        let table = super::super::table::table();
        let mut routes: Vec<_> = (table.table.iter().zip(&table.operations))
            .map(|(route, operation)| {
                let path = operation().shown_as.unwrap_or(route.path);
                (route.method.as_str().to_owned(), path.to_owned())
            })
            .collect();
        described.sort();
        routes.sort();
        assert_eq!(described, routes);
    }

    #[test]
    fn nothing_is_referred_to_that_is_not_there() {
        let document = walked().unwrap();
        let text = document.to_string();
        let schemas = &document["components"]["schemas"];
        let mut referred = 0;
        for part in text.split("\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(schemas.get(name).is_some(), "{name}");
            referred += 1;
        }
        assert!(referred > 50);
        let ids: Vec<_> = (text.split("\"operationId\":\"").skip(1))
            .map(|part| part.split('"').next().unwrap())
            .collect();
        let unique: BTreeSet<_> = ids.iter().collect();
        assert!(unique.len() >= super::super::route_table().len());
    }

    #[test]
    fn every_operation_says_what_it_answers() {
        let document = walked().unwrap();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let what = format!("{method} {path}");
                assert!(
                    operation["summary"].as_str().is_some_and(|s| !s.is_empty()),
                    "{what}"
                );
                let answers = operation["responses"].as_object().unwrap();
                assert!(
                    answers.keys().any(|status| status.starts_with('2')),
                    "{what}"
                );
                for (status, answer) in answers {
                    let description = answer["description"].as_str().unwrap_or_default();
                    assert!(description.ends_with('.'), "{what} {status}: {description}");
                }
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    let said = parameter["description"].as_str().unwrap_or_default();
                    assert!(said.ends_with('.'), "{what}: {}", parameter["name"]);
                }
            }
        }
    }
}
