//! Keeps ONNX Runtime from telling its maker what runs here.
//!
//! From 1.29 on the library notes what it does in a database under the user's home, for Microsoft. It looks at the
//! environment when it is opened; a call that switches this off comes after the first note. A process that has begun
//! cannot change its environment safely, so it begins anew.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::failure::Failure;

/// What the library asks for.
const SWITCH: &str = "ORT_DISABLE_TELEMETRY";

/// Begins this program anew with the switch set, unless it is: whoever has set it has decided.
///
/// # Errors
///
/// When it cannot; without that, it does not come back.
pub(super) fn off() -> Result<(), Failure> {
    if std::env::var_os(SWITCH).is_some() {
        return Ok(());
    }
    let mut args = std::env::args_os();
    let name = args.next().unwrap_or_else(|| OsString::from("skep"));
    let error = match std::env::current_exe() {
        Ok(path) => Command::new(path)
            .arg0(name)
            .args(args)
            .env(SWITCH, "1")
            .exec(),
        Err(error) => error,
    };
    Err(Failure::failed(format!(
        "skep cannot start itself anew, to switch ONNX Runtime's telemetry off ({error}); set {SWITCH}=1 and start it again"
    )))
}
