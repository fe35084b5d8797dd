//! A component with other function bodies: all else stays as it came, byte for byte.

use std::borrow::Cow;
use std::ops::Range;

use wasm_encoder::{CodeSection, ComponentSectionId, Encode as _, Section as _};
use wasmparser::{Encoding, FunctionBody, Parser, Payload, Result};

/// `wasm` (a component, or a module) with what `rewrite` makes of each function body: its
/// bytes, without their length in front.
///
/// # Errors
///
/// Where `wasm` cannot be parsed.
pub(super) fn rewritten<'a>(
    wasm: &'a [u8],
    mut rewrite: impl FnMut(&FunctionBody<'a>) -> Result<Cow<'a, [u8]>>,
) -> Result<Vec<u8>> {
    let part = |range: Range<usize>| bytes_of(wasm, range);
    // The components and modules around what is read, the outermost first.
    let mut open: Vec<Part> = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        if let Payload::Version {
            range, encoding, ..
        } = payload
        {
            open.push(Part::new(encoding, part(range)));
            continue;
        }
        let Some(innermost) = open.last_mut() else {
            break;
        };
        match payload {
            // Their bytes are those of the parts that come next.
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {}
            Payload::CodeSectionStart { count, .. } => {
                innermost.bodies = count;
                innermost.code = CodeSection::new();
                innermost.end_code();
            }
            Payload::CodeSectionEntry(body) => {
                innermost.code.raw(&rewrite(&body)?);
                innermost.end_code();
            }
            Payload::End(_) => {
                let Some(ended) = open.pop() else { break };
                match open.last_mut() {
                    Some(around) => around.section(ended.id, &ended.bytes),
                    None => return Ok(ended.bytes),
                }
            }
            other => {
                if let Some((id, range)) = other.as_section() {
                    innermost.section(id, part(range));
                }
            }
        }
    }
    // The parser ends with the end of the outermost part, or with an error.
    Ok(wasm.to_vec())
}

/// What lies in a range that the parser gave.
pub(super) fn bytes_of(wasm: &[u8], range: Range<usize>) -> &[u8] {
    wasm.get(range).unwrap_or_default()
}

/// A component or module that is being written.
struct Part {
    /// Of the section that it is in the component around it.
    id: u8,
    bytes: Vec<u8>,
    code: CodeSection,
    /// How many functions are in the code.
    bodies: u32,
}

impl Part {
    fn new(encoding: Encoding, header: &[u8]) -> Self {
        let id = match encoding {
            Encoding::Module => ComponentSectionId::CoreModule,
            Encoding::Component => ComponentSectionId::Component,
        };
        Self {
            id: id.into(),
            bytes: header.to_vec(),
            code: CodeSection::new(),
            bodies: 0,
        }
    }

    fn section(&mut self, id: u8, content: &[u8]) {
        self.bytes.push(id);
        content.encode(&mut self.bytes);
    }

    /// Writes the code if no body of it is to come.
    fn end_code(&mut self) {
        if self.code.len() == self.bodies {
            self.code.append_to(&mut self.bytes);
        }
    }
}
