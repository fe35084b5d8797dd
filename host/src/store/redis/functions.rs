//! Functions: bound, unbound, and known here as long as nobody changes them.

use std::num::NonZeroU32;
use std::sync::Arc;

use redis::Value;
use serde_bytes::ByteArray;

use crate::job::{Digest, FunctionName, Namespace};
use crate::store::record::{Bound, decode, encode};
use crate::store::{Deployment, Functions, NewDeployment, Result, StoreError};

use super::RedisStore;
use super::reply::Reply;
use super::script;

impl RedisStore {
    /// See [`crate::store::Store::deploy`].
    pub(super) async fn bind(
        &self,
        namespace: &Namespace,
        functions: Vec<NewDeployment>,
    ) -> Result<Vec<Arc<Deployment>>> {
        if functions.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = self.link.command(script::DEPLOY);
        command.arg(namespace.as_str());
        for new in &functions {
            let record = encode(&Bound {
                component: ByteArray::new(*new.component.as_bytes()),
                summary: new.summary.clone(),
                message_schema: new.message_schema.clone(),
                limits: new.limits,
                // Redis's clock is put before the record.
                deployed_at_ms: 0,
                concurrency: new.concurrency,
            })?;
            let cap = new.concurrency.map_or(0, NonZeroU32::get);
            command
                .arg(new.function.as_str())
                .arg(cap)
                .arg(record)
                .arg(new.component.to_string());
        }
        let mut answer = Reply::new(self.link.run(script::DEPLOY, &command).await?)?;
        let deployed_at_ms = answer.number()?;
        self.shared.functions.outdate(namespace, answer.number()?);
        functions
            .into_iter()
            .map(|new| {
                Ok(Arc::new(Deployment {
                    function: new.function,
                    version: version(answer.number()?),
                    component: new.component,
                    summary: new.summary,
                    message_schema: new.message_schema,
                    limits: new.limits,
                    concurrency: new.concurrency,
                    deployed_at_ms,
                }))
            })
            .collect()
    }

    /// See [`crate::store::Store::undeploy`].
    pub(super) async fn unbind(
        &self,
        namespace: &Namespace,
        functions: &[FunctionName],
    ) -> Result<usize> {
        if functions.is_empty() {
            return Ok(0);
        }
        let mut command = self.link.command(script::UNDEPLOY);
        command.arg(namespace.as_str());
        for name in functions {
            command.arg(name.as_str());
        }
        let mut answer = Reply::new(self.link.run(script::UNDEPLOY, &command).await?)?;
        let unbound = answer.number()?;
        self.shared.functions.outdate(namespace, answer.number()?);
        Ok(usize::try_from(unbound).unwrap_or(usize::MAX))
    }

    /// See [`crate::store::Store::functions`].
    pub(super) async fn bound(&self, namespace: &Namespace) -> Result<Arc<Functions>> {
        match self.shared.known(&self.shared.functions, namespace) {
            Some(known) => Ok(known),
            None => self.bound_now(namespace).await,
        }
    }

    /// The functions as Redis has them.
    pub(super) async fn bound_now(&self, namespace: &Namespace) -> Result<Arc<Functions>> {
        let mut command = self.link.command(script::FUNCTIONS);
        command.arg(namespace.as_str());
        let epoch = self.shared.epoch();
        let (version, functions) = read(self.link.run(script::FUNCTIONS, &command).await?)?;
        let functions = Arc::new(functions);
        let still = || self.shared.epoch() == epoch;
        (self.shared.functions).know(namespace, version, &functions, still);
        Ok(functions)
    }
}

impl RedisStore {
    /// See [`crate::store::Store::versions`].
    pub(super) async fn read_versions(
        &self,
        namespace: &Namespace,
        function: &FunctionName,
        before: Option<u32>,
        want: usize,
    ) -> Result<Functions> {
        let mut command = self.link.command(script::VERSIONS);
        command
            .arg(namespace.as_str())
            .arg(function.as_str())
            .arg(before.map_or_else(String::new, |before| before.to_string()))
            .arg(want);
        let mut answer = Reply::new(self.link.run(script::VERSIONS, &command).await?)?;
        let mut versions = Functions::new();
        while !answer.is_empty() {
            let version = read_version(function.as_str(), &answer.bytes()?)?;
            versions.push(Arc::new(version));
        }
        Ok(versions)
    }
}

fn version(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn read(value: Value) -> Result<(u64, Functions)> {
    let mut answer = Reply::new(value)?;
    let whole = answer.number()?;
    let mut placed = Vec::new();
    while !answer.is_empty() {
        let name = answer.text()?;
        placed.push(read_one(&name, &answer.bytes()?)?);
    }
    placed.sort_by_key(|(place, _)| *place);
    let functions = placed.into_iter().map(|(_, function)| Arc::new(function));
    Ok((whole, functions.collect()))
}

/// A function with its place.
fn read_one(name: &str, value: &[u8]) -> Result<(u64, Deployment)> {
    let odd = || StoreError::Unreadable(format!("function {name}: its record is cut short"));
    let mut parts = value.splitn(2, |byte| *byte == b':');
    let place = parts.next().and_then(|place| str::from_utf8(place).ok());
    let place = place.and_then(|place| place.parse().ok()).ok_or_else(odd)?;
    Ok((place, read_version(name, parts.next().ok_or_else(odd)?)?))
}

/// A version of a function.
fn read_version(name: &str, value: &[u8]) -> Result<Deployment> {
    let what = format!("function {name}");
    let odd = || StoreError::Unreadable(format!("{what}: its record is cut short"));
    let mut parts = value.splitn(3, |byte| *byte == b':');
    let mut number = || -> Option<u64> { str::from_utf8(parts.next()?).ok()?.parse().ok() };
    let (Some(number), Some(deployed_at_ms)) = (number(), number()) else {
        return Err(odd());
    };
    let bound: Bound = decode(&what, parts.next().ok_or_else(odd)?)?;
    Ok(Deployment {
        function: name
            .parse()
            .map_err(|error| StoreError::Unreadable(format!("{what}: {error}")))?,
        version: version(number),
        component: Digest::from_bytes(*bound.component),
        summary: bound.summary,
        message_schema: bound.message_schema,
        limits: bound.limits,
        concurrency: bound.concurrency,
        deployed_at_ms,
    })
}
