//! What a schema can cost, found by walking it once with its references
//! expanded, as the validator would; the walk itself stops at the bounds.

use serde_json::{Map, Value};

use super::{MAX_TEXT_BYTES, SchemaError, text::bounded};

/// The most nodes of a schema with its references expanded. A node is a
/// subschema or a value of an `enum` or the like; a struct of a hundred fields
/// has a few hundred.
pub(super) const MAX_NODES: u64 = 2_000;

/// The deepest nesting with references expanded: twenty structs, one in another,
/// and far from what a thread's stack can hold.
const MAX_DEPTH: usize = 100;

/// The most regular expressions with references expanded: each is compiled on
/// its own and takes memory.
pub(super) const MAX_PATTERNS: u64 = 64;

/// What a regular expression costs per byte, in nodes: the worst that fit into
/// the size limit are about this much slower than the check of a type.
const PATTERN_NODES: u64 = 100;

/// `unevaluatedProperties` and `unevaluatedItems` check everything beside and
/// below them again to find out what was evaluated. Nested, that multiplies.
const UNEVALUATED_FACTOR: u64 = 3;

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Keywords whose value is a schema.
const SCHEMA: &[&str] = &[
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// Keywords whose value is a list of schemas.
const SCHEMAS: &[&str] = &["allOf", "anyOf", "items", "oneOf", "prefixItems"];

/// Keywords whose value is an object of schemas. Definitions count where they
/// are referred to.
const NAMED_SCHEMAS: &[&str] = &[
    "dependencies",
    "dependentSchemas",
    "patternProperties",
    "properties",
];

/// Keywords whose values the validator compares with, one by one.
const DATA: &[&str] = &["const", "dependentRequired", "enum", "required"];

/// Keywords that change what a reference means. No generator of schemas for
/// plain types writes them below the root.
const SCOPES: &[&str] = &["$dynamicRef", "$recursiveRef", "$id"];

/// What a schema can cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weight {
    nodes: u64,
    patterns: u64,
}

impl Weight {
    /// The steps per byte of a message, at worst.
    pub(super) fn steps(self) -> u64 {
        self.nodes + self.patterns * PATTERN_NODES
    }

    fn add(&mut self, other: Self) -> Result<(), SchemaError> {
        self.nodes = self.nodes.saturating_add(other.nodes);
        self.patterns = self.patterns.saturating_add(other.patterns);
        self.check()
    }

    fn check(self) -> Result<(), SchemaError> {
        if self.nodes > MAX_NODES {
            return Err(SchemaError::TooBig(format!(
                "the schema has more than {MAX_NODES} nodes once its references are expanded; describe the large parts loosely (as any value) or drop the schema"
            )));
        }
        if self.patterns > MAX_PATTERNS {
            return Err(SchemaError::TooBig(format!(
                "the schema has more than {MAX_PATTERNS} regular expressions once its references are expanded; check those texts in the handler instead"
            )));
        }
        Ok(())
    }
}

/// Weighs a schema, or says why it cannot be run on strangers' messages.
pub(super) fn weigh(schema: &Value) -> Result<Weight, SchemaError> {
    check_draft(schema)?;
    check_scopes(schema, true)?;
    let mut walk = Walk {
        root: schema,
        open: Vec::new(),
    };
    walk.subschema(schema, 0)
}

fn check_draft(schema: &Value) -> Result<(), SchemaError> {
    match schema.get("$schema").and_then(Value::as_str) {
        Some(other) if other.trim_end_matches('#') != DRAFT => Err(SchemaError::Invalid(format!(
            "the schema is written for {:?}, and skep reads draft 2020-12; have it generated for {DRAFT}",
            bounded(&other, MAX_TEXT_BYTES)
        ))),
        _ => Ok(()),
    }
}

/// Refuses what would make `#/...` mean something else than a place in this
/// document. A property that happens to be called `$id` has a schema as its
/// value, not a text.
fn check_scopes(value: &Value, is_root: bool) -> Result<(), SchemaError> {
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| check_scopes(item, false)),
        Value::Object(object) => {
            for (key, value) in object {
                let scopes = SCOPES.contains(&key.as_str()) && value.is_string();
                if scopes && !(is_root && key == "$id") {
                    return Err(SchemaError::Reference(format!(
                        "the schema uses {key}, and skep follows plain references within the schema only; refer with \"$ref\": \"#/$defs/Name\""
                    )));
                }
                check_scopes(value, false)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// A walk through a schema as a validator takes it.
struct Walk<'s> {
    root: &'s Value,
    /// The references that are being expanded, outermost first.
    open: Vec<&'s str>,
}

impl<'s> Walk<'s> {
    fn subschema(&mut self, schema: &'s Value, depth: usize) -> Result<Weight, SchemaError> {
        if depth > MAX_DEPTH {
            return Err(SchemaError::TooBig(format!(
                "the schema is nested deeper than {MAX_DEPTH} levels once its references are expanded; describe the inner parts loosely (as any value) or drop the schema"
            )));
        }
        let mut weight = Weight {
            nodes: 1,
            patterns: 0,
        };
        // `true` and `false` are schemas; anything else is for the validator to
        // refuse.
        let Value::Object(keywords) = schema else {
            return Ok(weight);
        };
        for (keyword, value) in keywords {
            weight.add(self.keyword(keyword, value, depth + 1)?)?;
        }
        for keyword in ["unevaluatedItems", "unevaluatedProperties"] {
            if keywords.contains_key(keyword) {
                weight.nodes = weight.nodes.saturating_mul(UNEVALUATED_FACTOR);
                weight.check()?;
            }
        }
        Ok(weight)
    }

    fn keyword(
        &mut self,
        keyword: &'s str,
        value: &'s Value,
        depth: usize,
    ) -> Result<Weight, SchemaError> {
        let mut weight = Weight::default();
        match value {
            Value::String(target) if keyword == "$ref" => {
                return self.reference(target, depth);
            }
            Value::String(_) if keyword == "pattern" => weight.patterns = 1,
            Value::Array(items) if SCHEMAS.contains(&keyword) => {
                for item in items {
                    weight.add(self.subschema(item, depth)?)?;
                }
            }
            Value::Object(named) if NAMED_SCHEMAS.contains(&keyword) => {
                if keyword == "patternProperties" {
                    weight.patterns = named.len() as u64;
                }
                weight.add(self.named(named, depth)?)?;
            }
            value if DATA.contains(&keyword) => weight.nodes = values(value),
            value if SCHEMA.contains(&keyword) => return self.subschema(value, depth),
            _ => {}
        }
        Ok(weight)
    }

    fn named(
        &mut self,
        named: &'s Map<String, Value>,
        depth: usize,
    ) -> Result<Weight, SchemaError> {
        let mut weight = Weight::default();
        for schema in named.values() {
            weight.add(self.subschema(schema, depth)?)?;
        }
        Ok(weight)
    }

    fn reference(&mut self, target: &'s str, depth: usize) -> Result<Weight, SchemaError> {
        let shown = || bounded(&target, MAX_TEXT_BYTES / 2);
        if self.open.contains(&target) || target == "#" {
            return Err(SchemaError::Recursive(shown()));
        }
        let pointer = target
            .strip_prefix('#')
            .filter(|pointer| pointer.starts_with('/'));
        let Some(pointer) = pointer else {
            return Err(SchemaError::Reference(format!(
                "the schema refers to {:?}, and skep follows references within the schema only; bring that part in as \"#/$defs/Name\"",
                shown()
            )));
        };
        let found = percent_decoded(pointer).and_then(|pointer| self.root.pointer(&pointer));
        let Some(schema) = found else {
            return Err(SchemaError::Reference(format!(
                "the schema refers to {:?}, which is not in it",
                shown()
            )));
        };
        self.open.push(target);
        let weight = self.subschema(schema, depth);
        self.open.pop();
        weight
    }
}

/// How many values there are in `value`, itself included.
fn values(value: &Value) -> u64 {
    1 + match value {
        Value::Array(items) => items.iter().map(values).sum(),
        Value::Object(object) => object.values().map(values).sum(),
        _ => 0,
    }
}

/// Undoes the percent-encoding of a URI fragment.
fn percent_decoded(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digits = [bytes.next()?, bytes.next()?];
        let mut byte = [0];
        hex::decode_to_slice(digits, &mut byte).ok()?;
        decoded.extend(byte);
    }
    String::from_utf8(decoded).ok()
}
