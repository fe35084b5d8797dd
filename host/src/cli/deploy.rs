//! `skep deploy`: uploads a component and binds its functions.

use std::num::NonZeroU32;
use std::path::PathBuf;

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::Value;

use super::functions::Function;
use super::limits::LimitArgs;
use super::{Global, failure::Failure, message, output};
use crate::job::FunctionName;

/// Upload a component and bind its functions
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep deploy target/guests/multiply.wasm\n  skep deploy multiply.wasm --function divide --limit timeout=5s --limit memory=64MiB\n  skep deploy multiply.wasm --concurrency 2\n\nWith --json: each function on a line, as `skep functions NAME --json` shows it."
)]
pub(super) struct Args {
    /// The component, a .wasm file built against wit/
    file: PathBuf,
    /// Bind only this function of it
    #[arg(long)]
    function: Option<FunctionName>,
    #[command(flatten)]
    limits: LimitArgs,
    /// Let at most so many jobs of each function run at once, on all hosts together
    #[arg(long, value_name = "N")]
    concurrency: Option<NonZeroU32>,
}

#[derive(Deserialize)]
struct Deployed {
    functions: Vec<Value>,
}

/// Uploads the component.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let limits = args.limits.all()?;
    let limits: Vec<_> = limits.iter().map(|(limit, n)| (limit.name, n)).collect();
    let component = message::read(&args.file)?;
    let client = global.client()?;
    let request = match &args.function {
        Some(name) => client.request(Method::PUT, &format!("functions/{name}"))?,
        None => client.request(Method::POST, "consumer")?,
    };
    let request = request
        .query(&limits)
        .query(&args.concurrency.map(|cap| [("concurrency", cap)]))
        .header(CONTENT_TYPE, "application/wasm")
        .body(component);
    let deployed = if args.function.is_some() {
        vec![client.json(request).await?]
    } else {
        client.json::<Deployed>(request).await?.functions
    };
    for function in deployed {
        if global.json {
            output::line(&function.to_string())?;
            continue;
        }
        let function = Function::read(function)?;
        output::line(&format!(
            "deployed {} version {}",
            output::one_line(&function.name),
            function.version
        ))?;
    }
    Ok(())
}
