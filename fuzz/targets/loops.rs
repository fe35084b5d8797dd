//! A function of nested blocks, loops and branches, made of the input, run as it is and with
//! its loops unrolled, as the compiler does it: both do the same.
#![no_main]

use std::fmt::Write as _;

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use skep::sandbox::fuzzing::unroll;

/// Some thousand rounds of a loop.
const FUEL: u64 = 20_000;

/// The deepest nesting of blocks.
const MAX_DEPTH: usize = 6;

/// The most statements of a block.
const MAX_STATEMENTS: usize = 6;

fuzz_target!(|input: &[u8]| {
    let mut code = Code {
        bytes: Unstructured::new(input),
        text: String::new(),
        depth: 1,
    };
    if code.block().is_ok() {
        let text = code.text;
        let module = wat::parse_str(format!(
            "(module (memory (export \"memory\") 1) (global (export \"global\") (mut i32) (i32.const 0))
               (func $called)
               (func (export \"run\") (result i32) (local i32 i32 i32 i32) (block {text}) (local.get 0)))"
        ));
        unroll(&module.expect("code with a syntax"), FUEL);
    }
});

/// Code that leaves nothing on the stack.
struct Code<'a> {
    bytes: Unstructured<'a>,
    text: String,
    /// How many blocks are open.
    depth: usize,
}

impl Code<'_> {
    fn block(&mut self) -> Result<()> {
        for _ in 0..self.bytes.int_in_range(1..=MAX_STATEMENTS)? {
            self.statement()?;
        }
        Ok(())
    }

    fn statement(&mut self) -> Result<()> {
        let most = if self.depth < MAX_DEPTH { 13 } else { 8 };
        match self.bytes.int_in_range(0..=most)? {
            0..=2 => self.write("(local.set {local} {value})"),
            3 => self.write("(i32.store8 {address} {value})"),
            4 => self.write("(global.set 0 {value})"),
            // Most often, a loop goes round as long as something is left to count.
            5 => self.write("(br_if {label} (local.tee 3 (i32.shr_u {value} (i32.const 1))))"),
            6 => self.write("(br_if {label} (i32.lt_u (local.get {local}) (i32.const {small})))"),
            7 => match self.bytes.int_in_range(0..=9)? {
                0 => self.write("(call $called)"),
                1 => self.write("(return {value})"),
                2 => self.write("(br {label})"),
                3 => self.write("(if {value} (then (unreachable)))"),
                4 => self.write("(block (block (br_table 0 1 {value})))"),
                _ => self.write("(local.set {local} (i32.add (local.get {local}) (i32.const 1)))"),
            },
            8 => self.write("(local.set {local} (i32.div_u {value} {value}))"),
            9 => self.nested("(block ", ")"),
            10 => {
                self.nested("(if (i32.load8_u {address}) (then ", ")")?;
                self.nested("(else ", "))")
            }
            11 => self.nested("(local.set {local} (loop (result i32) ", " {value}))"),
            _ => self.nested("(loop ", "(br_if 0 (i32.lt_u (local.tee 2 (i32.add (local.get 2) (i32.const 1))) (i32.const {small}))))"),
        }
    }

    fn nested(&mut self, begin: &str, end: &str) -> Result<()> {
        self.write(begin)?;
        self.depth += 1;
        self.block()?;
        self.write(end)?;
        self.depth -= 1;
        Ok(())
    }

    /// Writes a text whose holes are filled.
    fn write(&mut self, text: &str) -> Result<()> {
        let mut parts = text.split(['{', '}']);
        while let Some(part) = parts.next() {
            self.text.push_str(part);
            let Some(hole) = parts.next() else { break };
            let filled = match hole {
                "local" => self.bytes.int_in_range(0..=3)?.to_string(),
                "label" => self
                    .bytes
                    .int_in_range(1..=self.depth)?
                    .saturating_sub(1)
                    .to_string(),
                "small" => self.bytes.arbitrary::<u8>()?.to_string(),
                "address" => format!(
                    "(i32.and (local.get {}) (i32.const 255))",
                    self.bytes.int_in_range(0..=3)?
                ),
                _ => self.value()?,
            };
            write!(self.text, "{filled}").expect("a string takes all");
        }
        Ok(())
    }

    fn value(&mut self) -> Result<String> {
        let local = self.bytes.int_in_range(0..=3)?;
        let number: i8 = self.bytes.arbitrary()?;
        Ok(match self.bytes.int_in_range(0..=4)? {
            0 => format!("(i32.const {number})"),
            1 => format!("(local.get {local})"),
            2 => format!("(i32.add (local.get {local}) (i32.const {number}))"),
            3 => format!("(i32.load8_u (i32.and (local.get {local}) (i32.const 255)))"),
            _ => format!(
                "(i32.xor (local.get {local}) (i32.mul (global.get 0) (i32.const {number})))"
            ),
        })
    }
}
