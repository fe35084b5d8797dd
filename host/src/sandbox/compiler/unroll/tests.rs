use wasmtime::{Engine, Instance, Module, Store};

use super::*;
use crate::sandbox::engine::compiling;

/// More than any test takes.
const FUEL: u64 = 1_000_000;

/// A module with a memory, in which `run` has this code and `$n`, `$i`, `$sum` and `$x`.
fn module(code: &str) -> Vec<u8> {
    let text = format!(
        "(module (memory (export \"memory\") 1)
           (func $called (param i32) (result i32) local.get 0)
           (table 1 funcref) (elem (i32.const 0) func $called)
           (func (export \"run\") (param $n i32) (result i32)
             (local $i i32) (local $sum i32) (local $x f32)
             {code}))"
    );
    wat::parse_str(text).expect("the text of a module")
}

/// What `run(n)` answers, what it traps with, and what fuel it takes.
fn run(engine: &Engine, module: &[u8], n: i32) -> (Result<i32, String>, u64) {
    let module = Module::new(engine, module).expect("a module");
    let mut store = Store::new(engine, ());
    store.set_fuel(FUEL).expect("fuel is counted");
    store.set_epoch_deadline(1);
    let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run");
    let answer = run.expect("`run`").call(&mut store, n);
    let trap = answer.map_err(|error| error.root_cause().to_string());
    (trap, FUEL - store.get_fuel().expect("fuel is counted"))
}

/// How many bytes the functions of a module have.
fn bodies(module: &[u8]) -> usize {
    let mut length = 0;
    rewritten(module, |body| {
        length += body.range().len();
        Ok(Cow::Borrowed(body.as_bytes()))
    })
    .expect("a module");
    length
}

/// Both do the same, for one unit of fuel more at each end of a loop; whether it was
/// unrolled is told.
#[track_caller]
fn same(code: &str) -> bool {
    let engine = compiling().expect("an engine");
    let before = module(code);
    let after = super::unrolled(&before).expect("a module");
    for n in [0, 1, 2, 15, 16, 17, 100] {
        let (answer, fuel) = run(&engine, &before, n);
        let (answer_after, fuel_after) = run(&engine, &after, n);
        assert_eq!(answer_after, answer, "for {n}");
        assert!(
            (fuel..=fuel + n.unsigned_abs() as u64 + 1).contains(&fuel_after),
            "{fuel_after} instead of {fuel} for {n}"
        );
    }
    bodies(&after) > bodies(&before)
}

#[test]
fn loops_over_numbers_are_unrolled() {
    let counts = "(loop $again
        (local.set $sum (i32.add (local.get $sum) (local.get $i)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $again (i32.lt_s (local.get $i) (local.get $n))))
        (local.get $sum)";
    assert!(same(counts));
    let as_compilers_end_it = "(block $left (loop $again
        (br_if $left (i32.ge_s (local.get $i) (local.get $n)))
        (i32.store (local.get $i) (local.get $sum))
        (local.set $sum (i32.extend8_s (i32.add (local.get $sum) (i32.load8_u (local.get $i)))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $again)))
        (local.get $sum)";
    assert!(same(as_compilers_end_it));
    let floats = "(loop $again
        (local.set $x (f32.add (local.get $x) (f32.sqrt (f32.convert_i32_s (local.get $i)))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $again (i32.lt_s (local.get $i) (local.get $n))))
        (i32.trunc_sat_f32_s (local.get $x))";
    assert!(same(floats));
}

#[test]
fn branches_go_where_they_went() {
    let answers = "(loop $again (result i32)
        (local.set $i (i32.add (local.get $i) (i32.const 3)))
        (if (i32.lt_s (local.get $i) (local.get $n)) (then (br $again)))
        (local.get $i))";
    assert!(same(answers));
    let leaves = "(block $outermost (block $outer
        (loop $again
          (if (i32.eq (local.get $i) (i32.const 16))
            (then (local.set $sum (i32.const 7)) (br $outermost))
            (else (local.set $sum (i32.add (local.get $sum) (i32.const 1)))))
          (block $in
            (br_if $in (i32.and (local.get $i) (i32.const 1)))
            (local.set $sum (i32.mul (local.get $sum) (i32.const 3))))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (block $deep (block $deeper
            (br_if $deep (i32.eq (local.get $i) (i32.const 5)))
            (br_if $again (i32.lt_s (local.get $i) (local.get $n)))))
          (br_if $outer (i32.gt_s (local.get $sum) (i32.const 50)))))
        (return (i32.add (local.get $sum) (i32.const 100))))
        (local.get $sum)";
    assert!(same(leaves));
    let returns = "(loop $again
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (if (i32.eq (local.get $i) (i32.const 17)) (then (return (local.get $i))))
        (if (i32.eq (local.get $i) (i32.const 90)) (then unreachable))
        (br_if $again (i32.lt_s (local.get $i) (local.get $n))))
        (i32.const -1)";
    assert!(same(returns));
}

#[test]
fn of_nested_loops_the_inner_one_is_unrolled() {
    let nested = "(local $j i32)
        (loop $rows
          (local.set $j (i32.const 0))
          (loop $columns
            (local.set $sum (i32.add (local.get $sum) (i32.mul (local.get $i) (local.get $j))))
            (local.set $j (i32.add (local.get $j) (i32.const 1)))
            (br_if $columns (i32.lt_s (local.get $j) (i32.const 5)))
            (br_if $rows (i32.eq (local.get $sum) (i32.const 70))))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $rows (i32.lt_s (local.get $i) (local.get $n))))
        (local.get $sum)";
    assert!(same(nested));
}

#[test]
fn other_loops_stay_as_they_are() {
    let next = "(local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $again (i32.lt_s (local.get $i) (local.get $n)))";
    for inside in [
        "(drop (call $called (local.get $i)))",
        "(drop (call_indirect (param i32) (result i32) (i32.const 1) (i32.const 0)))",
        "(drop (memory.grow (i32.const 0)))",
        "(memory.fill (i32.const 0) (i32.const 1) (i32.const 2))",
        "(block $a (block $b (br_table $a $b (local.get $i))))",
    ] {
        let code = format!("(loop $again {inside} {next}) (local.get $i)");
        assert!(!same(&code), "{inside}");
    }
    let long = "(local.set $sum (i32.add (local.get $sum) (local.get $i)))".repeat(50);
    assert!(!same(&format!(
        "(loop $again {long} {next}) (local.get $sum)"
    )));
    let with_parameters = format!(
        "(i32.const 1) (loop $again (param i32) drop (i32.const 2) {next} drop) (local.get $i)"
    );
    assert!(!same(&with_parameters));
    assert!(!same(
        "(loop $never (local.set $sum (i32.const 9))) (local.get $sum)"
    ));
}

#[test]
fn what_spins_for_ever_still_runs_out_of_fuel() {
    let spins = "(loop $again (br $again)) (i32.const 0)";
    assert!(same(spins));
}

#[test]
fn what_is_not_valid_is_not_valid_then() {
    let engine = compiling().expect("an engine");
    for code in [
        "(loop $again (i32.const 1) (br_if $again (i32.const 0))) (i32.const 0)",
        "(loop $again (result i32) (br_if $again (i32.const 0))) (i32.const 0)",
        "(loop $again (br_if $again (i32.const 0)) (br 7)) (i32.const 0)",
    ] {
        let unrolled = super::unrolled(&module(code)).expect("a module");
        assert!(Module::validate(&engine, &unrolled).is_err(), "{code}");
    }
}

#[test]
fn a_component_grows_by_no_more_than_its_bound() {
    let small = "(loop $again (br_if $again (local.get $n)))";
    let function = format!("(func (param $n i32) {})", small.repeat(1_000));
    let text = format!("(component (core module {}))", function.repeat(100));
    let before = wat::parse_str(text).expect("a component");
    let after = super::unrolled(&before).expect("a component");
    let grown = after.len() - before.len();
    // The lengths of functions and sections grow, too.
    let lengths = 4 * 100;
    let bound = COMPONENT_BYTES - FUNCTION_BYTES..=COMPONENT_BYTES + lengths;
    assert!(bound.contains(&grown), "{grown}");
    let one = format!("(module {function})");
    let before = wat::parse_str(one).expect("a module");
    let grown = super::unrolled(&before).expect("a module").len() - before.len();
    assert!(
        (FUNCTION_BYTES / 2..=FUNCTION_BYTES).contains(&grown),
        "{grown}"
    );
}
