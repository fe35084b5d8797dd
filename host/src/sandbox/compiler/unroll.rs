//! Small inner loops, several rounds at a time: only the first of them asks whether fuel or
//! time is used up.
//!
//! To a loop of few instructions that question costs more than its work. Around the two
//! calls that follow where the answer is yes, which is hardly ever, Cranelift 48 keeps the
//! loop's values in memory, and reads them again in each round that asks
//! (`docs/speed.md`). What a guest computes stays the same, and each round counts the fuel
//! that it counted before, but for one unit when a loop is left by its end.
//!
//! Of a loop
//!
//! ```wat
//! loop $loop (result i32)  <body>  end
//! ```
//!
//! in which a branch to `$loop` begins the next round, this makes, here for two rounds:
//!
//! ```wat
//! block $left (result i32)
//!   loop $again
//!     block $next
//!       block (result i32)  <body; to $loop is to $next>  end
//!       br $left
//!     end
//!     block (result i32)  <body; to $loop is to $again>  end
//!     br $left
//!   end
//!   unreachable
//! end
//! ```
//!
//! The block around each body has the type of the loop, so that what was not valid is not
//! valid now.

use std::borrow::Cow;

use wasm_encoder::{BlockType, Encode as _, Instruction};
use wasmparser::{FunctionBody, Operator, Result, for_each_operator};

use super::bodies::{bytes_of, rewritten};

/// How many bytes a loop may take when it is unrolled: of some hundred instructions on, what
/// the question costs is lost in the loop's own work. It also bounds how much longer a
/// guest runs before it is interrupted.
const LOOP_BYTES: usize = 512;

/// How many rounds at most ask once: with 16, the product of matrices in `skep bench` takes
/// 1.2 times as long as without bounds; with 8, 1.3.
const MAX_ROUNDS: usize = 16;

/// What is written beside each body, in bytes: two blocks with their ends, and the branch.
const ROUND_BYTES: usize = 8;

/// How much a function may grow, in bytes: 32 loops. Compilation takes more than a
/// function's size's share of time.
const FUNCTION_BYTES: usize = 16 << 10;

/// How much a component may grow, in bytes, by the loops that come first in it: a second of
/// compilation, whatever strangers write.
const COMPONENT_BYTES: usize = 1 << 20;

/// `wasm`, a component or a module, with its small inner loops unrolled.
///
/// # Errors
///
/// Where `wasm` cannot be parsed.
pub(in crate::sandbox) fn unrolled(wasm: &[u8]) -> Result<Vec<u8>> {
    let mut room = COMPONENT_BYTES;
    rewritten(wasm, |body| {
        let written = Writer::new(wasm, body, room.min(FUNCTION_BYTES)).write()?;
        room = room.saturating_sub(written.len().saturating_sub(body.range().len()));
        Ok(written)
    })
}

/// Writes a function body.
struct Writer<'a, 'b> {
    wasm: &'a [u8],
    body: &'b FunctionBody<'a>,
    /// How much it may still grow.
    room: usize,
    written: Vec<u8>,
    /// Up to where in `wasm` that is.
    copied: usize,
}

/// A loop that has not ended, and may be unrolled so far.
struct Loop {
    /// Where in the component it begins.
    at: usize,
    result: BlockType,
    /// Where its body begins.
    body: usize,
    /// How many blocks are open in it.
    depth: u32,
    branches: Vec<Branch>,
}

/// A branch in a loop's body, to the loop itself or to something around it.
struct Branch {
    at: usize,
    end: usize,
    conditional: bool,
    label: u32,
    /// The label of the loop, from there.
    depth: u32,
}

impl<'a, 'b> Writer<'a, 'b> {
    fn new(wasm: &'a [u8], body: &'b FunctionBody<'a>, room: usize) -> Self {
        Self {
            wasm,
            body,
            room,
            written: Vec::new(),
            copied: body.range().start,
        }
    }

    fn write(mut self) -> Result<Cow<'a, [u8]>> {
        let mut reader = self.body.get_operators_reader()?;
        let mut innermost: Option<Loop> = None;
        while !reader.eof() {
            let at = reader.original_position();
            let operator = reader.read()?;
            let end = reader.original_position();
            if let Operator::Loop { blockty } = operator {
                innermost = block_type(blockty).map(|result| Loop::new(at, result, end));
                continue;
            }
            let Some(mut open) = innermost.take() else {
                continue;
            };
            match operator {
                Operator::End if open.depth == 0 => self.unroll(&open, at, end),
                _ => innermost = open.take(&operator, at, end).then_some(open),
            }
        }
        let range = self.body.range();
        if self.written.is_empty() {
            return Ok(Cow::Borrowed(bytes_of(self.wasm, range)));
        }
        self.copy(range.end);
        Ok(Cow::Owned(self.written))
    }

    /// Copies what was not written yet, up to there.
    fn copy(&mut self, end: usize) {
        let bytes = bytes_of(self.wasm, self.copied..end);
        self.written.extend_from_slice(bytes);
        self.copied = end;
    }

    /// Writes a loop whose body ends at `end_of_body`, and itself at `end`.
    fn unroll(&mut self, unrolled: &Loop, end_of_body: usize, end: usize) {
        let round = end_of_body - unrolled.body + ROUND_BYTES;
        let rounds = (LOOP_BYTES / round).min(MAX_ROUNDS);
        let goes_round = (unrolled.branches.iter()).any(|branch| branch.label == branch.depth);
        if rounds < 2 || !goes_round || rounds * round > self.room {
            return;
        }
        self.room -= rounds * round;
        self.copy(unrolled.at);
        self.instruction(&Instruction::Block(unrolled.result));
        self.instruction(&Instruction::Loop(BlockType::Empty));
        for round in 1..=rounds {
            let last = round == rounds;
            // The label of `$left`, after the body.
            let left = if last { 1 } else { 2 };
            if !last {
                self.instruction(&Instruction::Block(BlockType::Empty));
            }
            self.instruction(&Instruction::Block(unrolled.result));
            self.copied = unrolled.body;
            for branch in &unrolled.branches {
                self.copy(branch.at);
                // There is the block around the body; and, beyond what the loop itself has
                // become, the blocks up to `$left`.
                let label = match branch.label == branch.depth {
                    true => branch.label + 1,
                    false => branch.label + 1 + left,
                };
                self.instruction(&match branch.conditional {
                    true => Instruction::BrIf(label),
                    false => Instruction::Br(label),
                });
                self.copied = branch.end;
            }
            self.copy(end_of_body);
            self.instruction(&Instruction::End);
            self.instruction(&Instruction::Br(left));
            if !last {
                self.instruction(&Instruction::End);
            }
        }
        self.instruction(&Instruction::End);
        self.instruction(&Instruction::Unreachable);
        self.instruction(&Instruction::End);
        self.copied = end;
    }

    fn instruction(&mut self, instruction: &Instruction<'_>) {
        instruction.encode(&mut self.written);
    }
}

impl Loop {
    fn new(at: usize, result: BlockType, body: usize) -> Self {
        Self {
            at,
            result,
            body,
            depth: 0,
            branches: Vec::new(),
        }
    }

    /// Takes the next operator of its body, if it may be repeated.
    fn take(&mut self, operator: &Operator<'_>, at: usize, end: usize) -> bool {
        if end - self.body > LOOP_BYTES {
            return false;
        }
        let (label, conditional) = match *operator {
            Operator::Br { relative_depth } => (relative_depth, false),
            Operator::BrIf { relative_depth } => (relative_depth, true),
            Operator::Block { .. } | Operator::If { .. } => {
                self.depth += 1;
                return true;
            }
            Operator::End => {
                self.depth -= 1;
                return true;
            }
            _ => return on_numbers(operator),
        };
        if label >= self.depth {
            self.branches.push(Branch {
                at,
                end,
                conditional,
                label,
                depth: self.depth,
            });
        }
        true
    }
}

/// The type of a loop without parameters, as compilers write them.
fn block_type(of: wasmparser::BlockType) -> Option<BlockType> {
    use wasm_encoder::ValType;
    use wasmparser::ValType as Parsed;

    match of {
        wasmparser::BlockType::Empty => Some(BlockType::Empty),
        wasmparser::BlockType::Type(result) => Some(BlockType::Result(match result {
            Parsed::I32 => ValType::I32,
            Parsed::I64 => ValType::I64,
            Parsed::F32 => ValType::F32,
            Parsed::F64 => ValType::F64,
            Parsed::V128 => ValType::V128,
            Parsed::Ref(_) => return None,
        })),
        wasmparser::BlockType::FuncType(_) => None,
    }
}

/// Whether an operator, no branch, is one of those that loops over numbers are made of. It
/// has no label then, and takes no longer than an instruction: a call asks by itself, and
/// those that move or grow a memory are calls, too.
fn on_numbers(operator: &Operator<'_>) -> bool {
    macro_rules! proposal {
        ($( @$proposal:ident $op:ident $({ $($arg:ident: $argty:ty),* })? => $visit:ident ($($ann:tt)*) )*) => {
            match operator {
                $( Operator::$op { .. } => stringify!($proposal), )*
                _ => "a later one",
            }
        };
    }
    !matches!(
        operator,
        Operator::BrTable { .. }
            | Operator::Call { .. }
            | Operator::CallIndirect { .. }
            | Operator::MemoryGrow { .. }
    ) && matches!(
        for_each_operator!(proposal),
        "mvp" | "sign_extension" | "saturating_float_to_int" | "simd" | "relaxed_simd"
    )
}

#[cfg(test)]
mod tests;
