//! The engines that would run models here, and the device that each really uses.

use super::Check;
use crate::inference::{EngineInfo, EngineOptions, Engines};

const NAME: &str = "inference";

/// How to have models run where there is no GPU for them.
const GPU: &str = "for an NVIDIA GPU: pip install 'onnxruntime-gpu[cuda,cudnn]', name its libonnxruntime.so with --onnxruntime, and the folders of its CUDA libraries in LD_LIBRARY_PATH (docs/inference.md)";

/// What a library of ONNX Runtime says that was built for the CPU alone.
const NOT_BUILT_IN: &str = "not enabled in this build";

/// Opens the engines as a server with these options would.
pub(super) fn look(options: &EngineOptions) -> Vec<Check> {
    checks(
        &Engines::open(options).about(),
        options.onnxruntime.is_some(),
    )
}

/// A line for each engine and device that is there, and one for each reason why one is not.
fn checks(engines: &[EngineInfo], is_named: bool) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut told = Vec::new();
    for engine in engines {
        let EngineInfo { name, device, .. } = engine;
        let Some(why) = engine.missing.as_deref() else {
            let version = engine.version.as_deref().unwrap_or_default();
            let said = format!("{name} {version} runs models on {device}");
            checks.push(Check::ok(NAME, said));
            continue;
        };
        if told.contains(&why) {
            // The library, which all of its devices lack.
            continue;
        }
        told.push(why);
        let is_there = |other: &EngineInfo| other.name == *name && other.missing.is_none();
        checks.push(match engines.iter().any(is_there) {
            true if is_named && !why.contains(NOT_BUILT_IN) => {
                Check::warn(NAME, format!("{name} runs nothing on {device}: {why}"), GPU)
            }
            true => Check {
                mend: Some(GPU.to_owned()),
                ..Check::ok(NAME, format!("{name} runs nothing on {device}: {why}"))
            },
            // Whoever named it wants it.
            false if is_named => Check::warn(
                NAME,
                format!("{name} is not used: {why}"),
                "name the libonnxruntime.so of an installed ONNX Runtime with --onnxruntime",
            ),
            // What is missing says how to get it.
            false => Check::ok(NAME, format!("{name} is not used: {why}")),
        });
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Status;

    const LOST: &str = "libcublasLt.so.13: cannot open shared object file";
    const CPU_ONLY: &str = "CUDA execution provider is not enabled in this build.";
    const NONE: &str = "no library of ONNX Runtime was found; `pip install onnxruntime`";

    fn engine(name: &str, device: &str, missing: Option<&str>) -> EngineInfo {
        EngineInfo {
            name: name.to_owned(),
            version: missing.is_none().then(|| "1.31.1".to_owned()),
            device: device.to_owned(),
            missing: missing.map(str::to_owned),
        }
    }

    fn seen(cpu: Option<&str>, cuda: Option<&str>, is_named: bool) -> Vec<(Status, String, bool)> {
        let engines = [
            engine("rten", "cpu", None),
            engine("onnxruntime", "cpu", cpu),
            engine("onnxruntime", "cuda:0", cuda),
        ];
        let checks = checks(&engines, is_named).into_iter();
        checks
            .map(|check| (check.status, check.said, check.mend.is_some()))
            .collect()
    }

    #[test]
    fn each_engine_and_each_reason_is_said_once() {
        let ok = |said: &str| (Status::Ok, said.to_owned(), false);
        let rten = ok("rten 1.31.1 runs models on cpu");
        let cpu = ok("onnxruntime 1.31.1 runs models on cpu");
        let cuda = |status, why| {
            let said = format!("onnxruntime runs nothing on cuda:0: {why}");
            (status, said, true)
        };
        assert_eq!(
            seen(None, None, true),
            [
                rten.clone(),
                cpu.clone(),
                ok("onnxruntime 1.31.1 runs models on cuda:0")
            ]
        );
        // A library for the CPU is no fault; one for a GPU that does not work is.
        for (why, status) in [(CPU_ONLY, Status::Ok), (LOST, Status::Warn)] {
            assert_eq!(
                seen(None, Some(why), true),
                [rten.clone(), cpu.clone(), cuda(status, why)]
            );
        }
        for (is_named, status) in [(false, Status::Ok), (true, Status::Warn)] {
            let said = format!("onnxruntime is not used: {NONE}");
            assert_eq!(
                seen(Some(NONE), Some(NONE), is_named),
                [rten.clone(), (status, said, is_named)]
            );
        }
    }
}
