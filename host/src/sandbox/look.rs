//! What can be told of an upload without compiling it: what it is, what it imports and
//! exports, and how much of everything it has. Compilation takes time and memory in
//! proportion to these, or worse, so that each has a bound.

use wasmparser::{
    BinaryReaderError, ComponentExternalKind, ComponentInstance, Encoding, Instance, Parser,
    Payload,
};

/// The interface that every component exports.
const HANDLER: &str = "skep:jobs/handler@0.1.0";

/// What a component may import: prefixes of interface names.
const OFFERED: [&str; 10] = [
    "skep:jobs/types@0.1.",
    "skep:jobs/queue@0.1.",
    "skep:jobs/inference@0.1.",
    "skep:jobs/log@0.1.",
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

/// How many foreign imports a refusal names: enough to see what the component wants.
const MAX_FOREIGN_NAMED: usize = 8;

/// The longest foreign name that a refusal repeats, in characters.
const MAX_NAME_SHOWN: usize = 100;

/// The most functions with a body, over all modules: a Python or JavaScript interpreter
/// with its libraries has tens of thousands.
const MAX_FUNCTIONS: u64 = 200_000;

/// The largest body of a function, in bytes. Register allocation takes more than its
/// size's share of time and memory, and no other core can help. The loop of an
/// interpreter has some hundred KiB.
const MAX_BODY_BYTES: u64 = 2 << 20;

/// The most types, over all modules and components. An interpreter's module has
/// thousands, and each component that imports WASI repeats some hundred.
const MAX_TYPES: u64 = 100_000;

/// The most imports and exports, of all modules and components together, and of them
/// what one instantiation hands to another. Linked libraries of a Python guest export
/// thousands of symbols each.
const MAX_IMPORTS_AND_EXPORTS: u64 = 100_000;

/// The most globals, tables, memories and segments, over all modules: linked libraries
/// have some thousand.
const MAX_ITEMS: u64 = 200_000;

/// The most modules and components inside of it. A Python guest is made of some twenty.
const MAX_PARTS: u64 = 256;

/// The deepest nesting of components: composed ones have three or four levels.
const MAX_NESTING: usize = 16;

/// The most instances that its components may make of each other once all are
/// instantiated. A pair that holds a pair that holds a pair, thirty times, is a
/// kilobyte of input and a billion instances.
const MAX_INSTANCES: u64 = 10_000;

/// Refuses at once what cannot be a component, however it continues. Runs in the serving
/// process: it compares bytes.
pub(super) fn glance(bytes: &[u8]) -> Result<(), String> {
    if bytes.starts_with(b"\x7fELF") {
        return Err("precompiled code (an ELF file: a .cwasm, or a program): skep runs only what it has compiled itself; upload the .wasm file that it was made of".to_owned());
    }
    if !bytes.starts_with(b"\0asm") {
        return Err("not a WASM component: it does not begin with `\\0asm`; upload the .wasm file that the build wrote".to_owned());
    }
    Ok(())
}

/// Looks at the structure of a component. Runs in the compiler's process: it is a parser,
/// fed by a stranger.
pub(super) fn look(bytes: &[u8]) -> Result<(), String> {
    glance(bytes)?;
    let mut look = Look::default();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| broken(&error))?;
        look.take(payload)?;
    }
    look.world()
}

fn broken(error: &BinaryReaderError) -> String {
    format!("not a whole WASM component: {error}; was it truncated on its way?")
}

/// What has been seen.
#[derive(Default)]
struct Look {
    /// The components and modules around what is looked at, the outermost first.
    around: Vec<Part>,
    /// The heaviest component that has ended, in instances.
    heaviest: u64,
    exports_handler: bool,
    foreign: Vec<String>,
    foreigners: u64,
    functions: u64,
    types: u64,
    imports_and_exports: u64,
    items: u64,
    parts: u64,
}

/// A component or module that has not ended.
#[derive(Default)]
struct Part {
    /// How many instances it makes at most when it is instantiated, itself included.
    weight: u64,
}

impl Look {
    fn take(&mut self, payload: Payload<'_>) -> Result<(), String> {
        let outermost = self.around.len() == 1;
        match payload {
            Payload::Version { encoding, .. } => return self.begin(encoding),
            Payload::End(_) => {
                let ended = self.around.pop().unwrap_or_default();
                self.heaviest = self.heaviest.max(ended.weight);
            }
            Payload::FunctionSection(section) => {
                add(
                    &mut self.functions,
                    section.count(),
                    MAX_FUNCTIONS,
                    "functions",
                )?;
            }
            Payload::CodeSectionEntry(body) => {
                let bytes = body.range().len() as u64;
                if bytes > MAX_BODY_BYTES {
                    return Err(format!(
                        "the component has a function of {bytes} bytes, {MAX_BODY_BYTES} are allowed; split it, or move its data to data segments"
                    ));
                }
            }
            Payload::TypeSection(section) => self.types(section.count())?,
            Payload::CoreTypeSection(section) => self.types(section.count())?,
            Payload::ComponentTypeSection(section) => self.types(section.count())?,
            Payload::ImportSection(section) => self.linked(section.count())?,
            Payload::ExportSection(section) => self.linked(section.count())?,
            Payload::ComponentAliasSection(section) => self.linked(section.count())?,
            Payload::ComponentCanonicalSection(section) => self.linked(section.count())?,
            Payload::GlobalSection(section) => self.items(section.count())?,
            Payload::TableSection(section) => self.items(section.count())?,
            Payload::MemorySection(section) => self.items(section.count())?,
            Payload::DataSection(section) => self.items(section.count())?,
            Payload::ElementSection(section) => self.items(section.count())?,
            Payload::InstanceSection(section) => {
                self.instances(u64::from(section.count()), 1)?;
                for instance in section {
                    let linked = match instance.map_err(|error| broken(&error))? {
                        Instance::Instantiate { args, .. } => args.len(),
                        Instance::FromExports(exports) => exports.len(),
                    };
                    self.linked(u32::try_from(linked).unwrap_or(u32::MAX))?;
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section {
                    let weight = match instance.map_err(|error| broken(&error))? {
                        // Which component it is would take the whole of linking to
                        // tell: it is at most the heaviest.
                        ComponentInstance::Instantiate { .. } => self.heaviest.max(1),
                        ComponentInstance::FromExports(_) => 1,
                    };
                    self.instances(1, weight)?;
                }
            }
            Payload::ComponentImportSection(section) => {
                self.linked(section.count())?;
                if outermost {
                    for import in section {
                        self.import(import.map_err(|error| broken(&error))?.name.name);
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                self.linked(section.count())?;
                if outermost {
                    for export in section {
                        let export = export.map_err(|error| broken(&error))?;
                        self.exports_handler |= export.name.name == HANDLER
                            && export.kind == ComponentExternalKind::Instance;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, encoding: Encoding) -> Result<(), String> {
        if encoding == Encoding::Module && self.around.is_empty() {
            return Err("a core WASM module, not a component; build for a component (`cargo build --target wasm32-wasip2`, or scripts/build-guests), or wrap it with `wasm-tools component new`".to_owned());
        }
        add(&mut self.parts, 1, MAX_PARTS, "modules and components")?;
        self.around.push(Part { weight: 1 });
        if self.around.len() > MAX_NESTING {
            return Err(format!(
                "the component is nested deeper than {MAX_NESTING} levels; compose it flatly"
            ));
        }
        Ok(())
    }

    fn types(&mut self, count: u32) -> Result<(), String> {
        add(&mut self.types, count, MAX_TYPES, "types")
    }

    fn linked(&mut self, count: u32) -> Result<(), String> {
        let what = "imports, exports and links between its parts";
        add(
            &mut self.imports_and_exports,
            count,
            MAX_IMPORTS_AND_EXPORTS,
            what,
        )
    }

    fn items(&mut self, count: u32) -> Result<(), String> {
        let what = "globals, tables, memories and segments";
        add(&mut self.items, count, MAX_ITEMS, what)
    }

    fn instances(&mut self, count: u64, weight: u64) -> Result<(), String> {
        let Some(part) = self.around.last_mut() else {
            return Ok(());
        };
        part.weight = part.weight.saturating_add(count.saturating_mul(weight));
        if part.weight > MAX_INSTANCES {
            return Err(format!(
                "the component's parts may make more than {MAX_INSTANCES} instances of each other; compose it of fewer"
            ));
        }
        Ok(())
    }

    fn import(&mut self, name: &str) {
        if OFFERED.iter().any(|offered| name.starts_with(offered)) {
            return;
        }
        self.foreigners += 1;
        if self.foreign.len() < MAX_FOREIGN_NAMED {
            let shown: String = name.chars().take(MAX_NAME_SHOWN).collect();
            self.foreign.push(format!("`{}`", shown.escape_debug()));
        }
    }

    /// Whether it fits skep's world, as far as names tell.
    fn world(self) -> Result<(), String> {
        if self.foreigners > 0 {
            let others = match self.foreigners - self.foreign.len() as u64 {
                0 => String::new(),
                others => format!(" and {others} more"),
            };
            return Err(format!(
                "the component imports {}{others}, which skep does not offer; it offers skep:jobs@0.1.0 and WASI 0.2 (cli, clocks, filesystem, io, random, sockets)",
                self.foreign.join(", ")
            ));
        }
        if !self.exports_handler {
            return Err(format!(
                "the component does not export `{HANDLER}`; build it against the world `listener` in skep's wit/ folder"
            ));
        }
        Ok(())
    }
}

/// Adds to a count that has a bound.
fn add(count: &mut u64, more: u32, most: u64, what: &str) -> Result<(), String> {
    *count += u64::from(more);
    match *count > most {
        true => Err(format!(
            "the component has more than {most} {what}; split it, or leave out what it does not use"
        )),
        false => Ok(()),
    }
}
