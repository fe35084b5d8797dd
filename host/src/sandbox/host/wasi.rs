//! WASI 0.2 for guests whose language needs it, with nothing behind it: no files,
//! no environment, no arguments, no network. What such a guest prints lands in the
//! job's log.

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::Guest;
use crate::job::{LogLevel, MAX_LOG_LINE_BYTES};
use crate::sandbox::Voice;

/// The most resources that a guest may hold. An interpreter holds a few dozen.
pub(in crate::sandbox) const MAX_RESOURCES: usize = 1_000;

/// The most random bytes of one call.
pub(in crate::sandbox) const MAX_RANDOM_BYTES: u64 = 1 << 20;

/// What one write may hand over, in bytes.
const WRITE_BYTES: usize = 64 << 10;

/// A guest's WASI state, made when it first asks.
pub(super) struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
}

impl Wasi {
    fn new(voice: &Voice) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        let printed = |level| Printed {
            voice: voice.clone(),
            level,
        };
        let ctx = WasiCtx::builder()
            .stdout(printed(LogLevel::Info))
            .stderr(printed(LogLevel::Warn))
            .max_random_size(MAX_RANDOM_BYTES)
            // No addresses are allowed, but a socket alone takes one of the host's files.
            .allow_tcp(false)
            .allow_udp(false)
            .allow_blocking_current_thread(false)
            .build();
        Self { ctx, table }
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let voice = &self.voice;
        let wasi = self.wasi.get_or_insert_with(|| Box::new(Wasi::new(voice)));
        WasiCtxView {
            ctx: &mut wasi.ctx,
            table: &mut wasi.table,
        }
    }
}

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)
}

/// A standard stream of a guest.
#[derive(Clone)]
struct Printed {
    voice: Voice,
    level: LogLevel,
}

impl IsTerminal for Printed {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printed {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this one, and it is not linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(LineWriter {
            to: self.clone(),
            unfinished: Vec::new(),
        })
    }
}

/// Cuts what is printed into lines, which keep their ends. The last one may lack its end, and is written
/// when the stream is dropped.
struct LineWriter {
    to: Printed,
    unfinished: Vec<u8>,
}

impl LineWriter {
    fn write_line(&mut self) {
        let line = std::mem::take(&mut self.unfinished);
        self.to
            .voice
            .log(self.to.level, &String::from_utf8_lossy(&line));
    }
}

impl OutputStream for LineWriter {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        // Nobody else checks it, and 80 million empty lines take seconds.
        if bytes.len() > WRITE_BYTES {
            return Err(StreamError::trap(
                "a write of more bytes than `check-write` allows",
            ));
        }
        for &byte in bytes.iter() {
            if byte != b'\n' && self.unfinished.len() >= MAX_LOG_LINE_BYTES {
                self.write_line();
            }
            self.unfinished.push(byte);
            if byte == b'\n' {
                self.write_line();
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

#[async_trait::async_trait]
impl Pollable for LineWriter {
    async fn ready(&mut self) {}
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        if !self.unfinished.is_empty() {
            self.write_line();
        }
    }
}
