//! What strangers' bytes meet first, for the fuzz targets `uploads` and `loops`.

use std::sync::LazyLock;

use wasmparser::{Validator, WasmFeatures};
use wasmtime::{Engine, Instance, Module, Store, Trap};

use super::compiler::unrolled;
use super::engine::compiling;
use super::look;

/// Looks at a component, and validates one that passes, as the compiler does first.
pub fn upload(bytes: &[u8]) {
    if look::look(bytes).is_ok() {
        let _ = Validator::new_with_features(WasmFeatures::all()).validate_all(bytes);
    }
}

/// Runs `run` of a module as it is, and with its loops unrolled.
///
/// # Panics
///
/// When they do not do the same, or one is not valid.
pub fn unroll(module: &[u8], fuel: u64) {
    static ENGINE: LazyLock<Engine> = LazyLock::new(|| compiling().expect("an engine"));
    let before = run(&ENGINE, module, fuel);
    let after = run(&ENGINE, &unrolled(module).expect("a module"), fuel);
    // A loop that ends takes one unit more.
    if [&before, &after].iter().all(|seen| !seen.is_out_of_fuel) {
        assert_eq!(before, after);
    }
}

/// What can be seen of a run.
#[derive(Debug, PartialEq)]
struct Seen {
    is_out_of_fuel: bool,
    answer: Result<i32, Option<Trap>>,
    global: Option<i32>,
    memory: Vec<u8>,
}

fn run(engine: &Engine, module: &[u8], fuel: u64) -> Seen {
    let module = Module::new(engine, module).expect("a module that is valid");
    let mut store = Store::new(engine, ());
    store.set_fuel(fuel).expect("fuel is counted");
    store.set_epoch_deadline(1);
    let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
    let run = instance.get_typed_func::<(), i32>(&mut store, "run");
    let answer = (run.expect("`run`").call(&mut store, ()))
        .map_err(|error| error.downcast_ref::<Trap>().copied());
    let global = instance.get_global(&mut store, "global");
    let memory = instance.get_memory(&mut store, "memory");
    Seen {
        is_out_of_fuel: answer == Err(Some(Trap::OutOfFuel)),
        answer,
        global: global.and_then(|global| global.get(&mut store).i32()),
        memory: memory.map_or_else(Vec::new, |memory| memory.data(&store).to_vec()),
    }
}
