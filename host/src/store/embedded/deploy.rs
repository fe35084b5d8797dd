//! Binds functions to components.

use std::sync::Arc;

use rusqlite::{Connection, Rows, params};
use serde_bytes::ByteArray;

use crate::job::{Digest, FunctionName, Namespace};
use crate::store::{Deployment, Functions, NewDeployment, Result, StoreError};

use super::committer::Action;
use super::writer::Writer;
use crate::store::record::{Bound, decode, encode};

/// See [`crate::store::Store::deploy`].
pub(super) struct Deploy {
    pub(super) namespace: Namespace,
    pub(super) functions: Vec<NewDeployment>,
}

impl Action for Deploy {
    type Answer = Vec<Arc<Deployment>>;

    fn apply(&self, writer: &mut Writer) -> Result<Vec<Arc<Deployment>>> {
        if self.functions.is_empty() {
            return Ok(Vec::new());
        }
        let namespace = writer.namespace(&self.namespace)?;
        let mut deployed = Vec::with_capacity(self.functions.len());
        for new in &self.functions {
            deployed.push(Arc::new(bind(writer, namespace, new)?));
        }
        refresh(writer, namespace)?;
        Ok(deployed)
    }
}

/// See [`crate::store::Store::undeploy`].
pub(super) struct Undeploy {
    pub(super) namespace: Namespace,
    pub(super) functions: Vec<FunctionName>,
}

impl Action for Undeploy {
    type Answer = usize;

    fn apply(&self, writer: &mut Writer) -> Result<usize> {
        let Some(namespace) = writer.index.number(&self.namespace) else {
            return Ok(0);
        };
        let mut unbound = 0;
        for function in &self.functions {
            unbound += writer
                .statement(
                    "UPDATE functions SET bound = 0 WHERE namespace = ? AND name = ? AND bound = 1",
                )?
                .execute(params![namespace, function.as_str()])?;
        }
        refresh(writer, namespace)?;
        Ok(unbound)
    }
}

fn bind(writer: &mut Writer, namespace: u32, new: &NewDeployment) -> Result<Deployment> {
    // Its place is that of its first deployment, and its versions go on, also
    // after it was unbound.
    let version: u32 = writer
        .statement(
            "INSERT INTO functions (namespace, name, version, bound) VALUES (?, ?, 1, 1)
             ON CONFLICT DO UPDATE SET version = version + 1, bound = 1 RETURNING version",
        )?
        .query_row(params![namespace, new.function.as_str()], |row| row.get(0))?;
    let record = encode(&Bound {
        component: ByteArray::new(*new.component.as_bytes()),
        summary: new.summary.clone(),
        message_schema: new.message_schema.clone(),
        limits: new.limits,
        deployed_at_ms: writer.now_ms,
        concurrency: new.concurrency,
    })?;
    writer
        .statement(
            "INSERT INTO deployments (namespace, name, version, record) VALUES (?, ?, ?, ?)",
        )?
        .execute(params![namespace, new.function.as_str(), version, record])?;
    writer.keep_blob(new.component)?;
    Ok(Deployment {
        function: new.function.clone(),
        version,
        component: new.component,
        summary: new.summary.clone(),
        message_schema: new.message_schema.clone(),
        limits: new.limits,
        concurrency: new.concurrency,
        deployed_at_ms: writer.now_ms,
    })
}

fn refresh(writer: &mut Writer, namespace: u32) -> Result<()> {
    let functions = functions(&writer.db, namespace)?;
    writer.index.set_functions(namespace, &functions);
    if let Some(info) = writer
        .index
        .queue(namespace)
        .map(|queue| queue.info.clone())
    {
        writer.effects.functions.push((info, functions));
    }
    writer.effects.ring = true;
    Ok(())
}

/// The functions of a namespace, in the order of their first deployment.
pub(super) fn functions(db: &Connection, namespace: u32) -> Result<Functions> {
    let mut statement = db.prepare_cached(
        "SELECT f.name, f.version, d.record FROM functions f
         JOIN deployments d ON d.namespace = f.namespace AND d.name = f.name AND d.version = f.version
         WHERE f.namespace = ? AND f.bound = 1 ORDER BY f.place",
    )?;
    read(statement.query([namespace])?)
}

/// The newest versions of a function before one; see [`crate::store::Store::versions`].
pub(super) fn versions(
    db: &Connection,
    namespace: u32,
    function: &FunctionName,
    before: Option<u32>,
    want: usize,
) -> Result<Functions> {
    let mut statement = db.prepare_cached(
        "SELECT name, version, record FROM deployments
         WHERE namespace = ? AND name = ? AND version < ? ORDER BY version DESC LIMIT ?",
    )?;
    let before = before.map_or(i64::MAX, i64::from);
    let want = i64::try_from(want).unwrap_or(i64::MAX);
    read(statement.query(params![namespace, function.as_str(), before, want])?)
}

/// Names, versions and records.
fn read(mut rows: Rows<'_>) -> Result<Functions> {
    let mut functions = Functions::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let what = format!("function {name}");
        let unreadable = |error| StoreError::Unreadable(format!("{what}: {error}"));
        let bound: Bound = decode(&what, &row.get::<_, Vec<u8>>(2)?)?;
        functions.push(Arc::new(Deployment {
            function: name.parse().map_err(unreadable)?,
            version: row.get(1)?,
            component: Digest::from_bytes(*bound.component),
            summary: bound.summary,
            message_schema: bound.message_schema,
            limits: bound.limits,
            concurrency: bound.concurrency,
            deployed_at_ms: bound.deployed_at_ms,
        }));
    }
    Ok(functions)
}
