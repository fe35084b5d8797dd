//! The reference of the HTTP API in Markdown (`docs/http.md`), made from the OpenAPI
//! document. The page at `/docs` is the same text.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use super::super::code::Code;
use super::{Tag, walked};

/// The whole reference.
pub(super) fn reference() -> String {
    // One without a document says so: a test finds that no route is in it.
    let document = walked().unwrap_or_default();
    let mut out = String::from("# HTTP API\n\n");
    out.push_str(text(&document, "/info/description").trim_end());
    out.push_str("\n\nThe same for programs: `GET /openapi.json` (OpenAPI 3.1). This page on a server: `GET /docs`.\n");
    let common = common(&document);
    let _ = writeln!(
        out,
        "\nWherever a scope is needed the answer may also be {}; below, these are left out.",
        linked(&common.iter().copied().collect::<Vec<_>>())
    );
    routes(&mut out, &document);
    for tag in Tag::ALL {
        let _ = write!(out, "\n## {}\n\n{}\n", tag.name(), tag.meaning());
        for (path, method, operation) in operations(&document) {
            if text(operation, "/tags/0") == tag.name() {
                one(&mut out, path, method, operation, &common);
            }
        }
    }
    codes(&mut out);
    schemas(&mut out, &document);
    out
}

fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let items = document.pointer("/paths").and_then(Value::as_object);
    items.into_iter().flatten().flat_map(|(path, item)| {
        let methods = item.as_object().into_iter().flatten();
        methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

fn routes(out: &mut String, document: &Value) {
    out.push_str("\n| route | scope | |\n|---|---|---|\n");
    for (path, method, operation) in operations(document) {
        let (id, summary) = (text(operation, "/operationId"), text(operation, "/summary"));
        let scope = text(operation, "/security/0/token/0");
        let method = method.to_uppercase();
        let _ = writeln!(out, "| [`{method} {path}`](#{id}) | {scope} | {summary} |");
    }
}

/// The codes that an answer describes, in its order.
fn described(answer: &Value) -> impl Iterator<Item = &str> {
    let lines = text(answer, "/description").lines();
    lines.filter_map(|line| line.split('`').nth(1))
}

/// The codes of all operations that need a scope.
fn common(document: &Value) -> BTreeSet<&str> {
    let guarded = operations(document)
        .filter(|(.., operation)| operation.pointer("/security/0/token").is_some());
    let codes = guarded.map(|(.., operation)| {
        let answers = members(operation.get("responses"));
        let failed = answers.filter(|(status, _)| status.starts_with(['4', '5']));
        failed.flat_map(|(_, answer)| described(answer)).collect()
    });
    codes
        .reduce(|all: BTreeSet<_>, some| &all & &some)
        .unwrap_or_default()
}

fn linked(codes: &[&str]) -> String {
    let links: Vec<_> = codes
        .iter()
        .map(|name| format!("[`{name}`](#{name})"))
        .collect();
    links.join(", ")
}

fn one(out: &mut String, path: &str, method: &str, operation: &Value, common: &BTreeSet<&str>) {
    let (id, summary) = (text(operation, "/operationId"), text(operation, "/summary"));
    let method = method.to_uppercase();
    let _ = write!(
        out,
        "\n<a id=\"{id}\"></a>\n\n### {method} {path}\n\n{summary}\n\n"
    );
    out.push_str(text(operation, "/description"));
    out.push('\n');
    parameters(out, operation);
    let body = operation.pointer("/requestBody/content");
    for (content_type, content) in members(body) {
        let _ = write!(
            out,
            "\nBody, `{content_type}`: {}\n",
            kind(content.get("schema"))
        );
        example(out, content.get("example"));
    }
    let mut problems = String::new();
    for (status, answer) in members(operation.get("responses")) {
        let description = text(answer, "/description");
        if status.starts_with(['4', '5']) {
            let codes: Vec<_> = described(answer)
                .filter(|code| !common.contains(code))
                .collect();
            if !codes.is_empty() {
                let _ = writeln!(problems, "| {status} | {} |", linked(&codes));
            }
            continue;
        }
        let _ = write!(out, "\n**{status}** {description}");
        let headers: Vec<_> = members(answer.get("headers"))
            .map(|(name, header)| format!(" `{name}`: {}", text(header, "/description")))
            .collect();
        let _ = writeln!(out, "{}", headers.concat());
        for (content_type, content) in members(answer.get("content")) {
            let _ = write!(out, "\n`{content_type}`: {}\n", kind(content.get("schema")));
            example(out, content.get("example"));
        }
    }
    if !problems.is_empty() {
        let _ = write!(
            out,
            "\n<details>\n<summary>Problems</summary>\n\n| status | codes |\n|---|---|\n{problems}\n</details>\n"
        );
    }
}

fn parameters(out: &mut String, operation: &Value) {
    let parameters = operation.get("parameters").and_then(Value::as_array);
    // That of the namespace is told once, for all.
    let told = |parameter: &&Value| text(parameter, "/name") != "Skep-Namespace";
    let parameters: Vec<_> = parameters.into_iter().flatten().filter(told).collect();
    if parameters.is_empty() {
        return;
    }
    out.push_str("\n| parameter | in | | |\n|---|---|---|---|\n");
    for parameter in parameters {
        let (name, place) = (text(parameter, "/name"), text(parameter, "/in"));
        let required = match (place, parameter.get("required")) {
            ("path", _) | (_, Some(Value::Bool(false)) | None) => "",
            _ => ", required",
        };
        let kind = kind(parameter.get("schema"));
        let description = cell(text(parameter, "/description"));
        let _ = writeln!(
            out,
            "| `{name}` | {place}{required} | {kind} | {description} |"
        );
    }
}

fn codes(out: &mut String) {
    out.push_str("\n## Problem codes\n\n| code | status | |\n|---|---|---|\n");
    for code in Code::ALL {
        let (name, status) = (code.name(), code.status().as_u16());
        let _ = writeln!(
            out,
            "| <a id=\"{name}\"></a>`{name}` | {status} | {} |",
            code.meaning()
        );
    }
}

fn schemas(out: &mut String, document: &Value) {
    out.push_str("\n## Schemas\n");
    for (name, schema) in members(document.pointer("/components/schemas")) {
        let _ = write!(out, "\n<a id=\"{name}\"></a>\n\n### {name}\n\n");
        out.push_str(text(schema, "/description"));
        out.push('\n');
        let fields = fields(schema);
        if fields.is_empty() {
            let _ = write!(out, "\n{}\n", kind(Some(schema)));
            continue;
        }
        out.push_str("\n| field | | |\n|---|---|---|\n");
        for (field, schema) in fields {
            let description = cell(text(schema, "/description"));
            let _ = writeln!(
                out,
                "| `{field}` | {} | {description} |",
                kind(Some(schema))
            );
        }
    }
}

/// The fields of an object, also of one that is put together of several.
fn fields(schema: &Value) -> Vec<(&str, &Value)> {
    let own = members(schema.get("properties"));
    let parts = schema.get("allOf").and_then(Value::as_array);
    let parts = parts.into_iter().flatten().flat_map(fields);
    own.chain(parts).collect()
}

/// What a schema takes, in a few words.
fn kind(schema: Option<&Value>) -> String {
    let Some(schema) = schema.filter(|schema| schema.as_object().is_some_and(|s| !s.is_empty()))
    else {
        return "any".to_owned();
    };
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        let name = name.rsplit('/').next().unwrap_or_default();
        return format!("[{name}](#{name})");
    }
    for several in ["oneOf", "anyOf", "allOf"] {
        if let Some(parts) = schema.get(several).and_then(Value::as_array) {
            let parts: Vec<_> = parts.iter().map(|part| kind(Some(part))).collect();
            return parts.join(if several == "allOf" { " with " } else { " or " });
        }
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        let values: Vec<_> = values
            .iter()
            .filter_map(Value::as_str)
            .map(|v| format!("`{v}`"))
            .collect();
        return values.join(", ");
    }
    let types = match schema.get("type") {
        Some(Value::Array(types)) => {
            let types: Vec<_> = types.iter().filter_map(Value::as_str).collect();
            types.join(" or ")
        }
        Some(Value::String(one)) => one.clone(),
        _ => "any".to_owned(),
    };
    if types.starts_with("array") {
        return format!("{types} of {}", kind(schema.get("items")));
    }
    let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
    match (bound("minimum"), bound("maximum")) {
        (Some(least), Some(most)) if most < u64::MAX => {
            format!("{types}, {least} to {most}")
        }
        (Some(least), _) if least > 0 => format!("{types}, from {least}"),
        _ => match bound("maxLength") {
            Some(most) => format!("{types} of up to {most} characters"),
            None => types,
        },
    }
}

fn example(out: &mut String, example: Option<&Value>) {
    let (language, text) = match example {
        None => return,
        Some(Value::String(text)) => ("text", text.clone()),
        Some(value) => (
            "json",
            serde_json::to_string_pretty(value).unwrap_or_default(),
        ),
    };
    let _ = write!(out, "\n```{language}\n{}\n```\n", text.trim_end());
}

/// Text, in a line of a table.
fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

fn members(value: Option<&Value>) -> impl Iterator<Item = (&str, &Value)> {
    let members = value.and_then(Value::as_object).into_iter().flatten();
    members.map(|(name, value)| (name.as_str(), value))
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tells this test to write the file anew.
    const WRITE: &str = "SKEP_WRITE_DOCS";

    #[test]
    fn the_reference_in_docs_is_that_of_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/http.md");
        let now = reference();
        if std::env::var_os(WRITE).is_some() {
            std::fs::write(path, &now).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            kept == now,
            "docs/http.md is not what the code says; refresh it with: {WRITE}=1 cargo test --release -p skep --lib the_reference_in_docs"
        );
    }
}
