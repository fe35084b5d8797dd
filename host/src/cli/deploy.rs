//! `skep deploy`: uploads a component and binds its functions.

use std::path::PathBuf;

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::Value;

use super::functions::Function;
use super::{Global, failure::Failure, message, output};
use crate::job::FunctionName;

/// Upload a component and bind its functions
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  skep deploy target/guests/multiply.wasm\n  skep deploy multiply.wasm --function divide --limit timeout_ms=5000"
)]
pub(super) struct Args {
    /// The component, a .wasm file built against wit/
    file: PathBuf,
    /// Bind only this function of it
    #[arg(long)]
    function: Option<FunctionName>,
    /// Bound each attempt: fuel, timeout_ms, memory_bytes, result_bytes, ...
    #[arg(long = "limit", value_name = "NAME=NUMBER", value_parser = limit)]
    limits: Vec<(String, u64)>,
}

fn limit(given: &str) -> Result<(String, u64), String> {
    let parts = given.split_once('=');
    let (name, number) = parts.ok_or("write NAME=NUMBER, such as timeout_ms=5000")?;
    let number = number
        .parse()
        .map_err(|error| format!("{number:?}: {error}"))?;
    Ok((name.to_owned(), number))
}

#[derive(Deserialize)]
struct Deployed {
    functions: Vec<Value>,
}

/// Uploads the component.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let component = message::read(&args.file)?;
    let client = global.client()?;
    let request = match &args.function {
        Some(name) => client.request(Method::PUT, &format!("functions/{name}"))?,
        None => client.request(Method::POST, "consumer")?,
    };
    let request = request
        .query(&args.limits)
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
            function.name, function.version
        ))?;
    }
    Ok(())
}
