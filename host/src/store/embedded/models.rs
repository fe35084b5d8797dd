//! Adds and removes models. Callers read the newest versions in memory, from
//! [`shared`](super::shared).

use std::sync::Arc;

use rusqlite::{Connection, Rows, params};

use crate::job::{Digest, ModelName, Namespace};
use crate::store::model::{decode_model, encode_model, too_large, too_many_models};
use crate::store::{
    MAX_MODEL_VERSIONS, MAX_MODELS, MAX_MODELS_BYTES, Model, Models, NewModel, Result, StoreError,
};

use super::committer::Action;
use super::writer::{Writer, from_sql, to_sql};

/// See [`crate::store::Store::put_model`].
pub(super) struct PutModel {
    pub(super) namespace: Namespace,
    pub(super) model: NewModel,
}

impl Action for PutModel {
    type Answer = Arc<Model>;

    fn apply(&self, writer: &mut Writer) -> Result<Arc<Model>> {
        let new = &self.model;
        self.check_room(writer)?;
        if !writer.keep_blob(new.digest)? {
            return Err(StoreError::NoBlob(new.digest));
        }
        let namespace = writer.namespace(&self.namespace)?;
        let version: u32 = writer
            .statement(
                "INSERT INTO models (namespace, name, version, bound) VALUES (?, ?, 1, 1)
                 ON CONFLICT DO UPDATE SET version = version + 1, bound = 1 RETURNING version",
            )?
            .query_row(params![namespace, new.name.as_str()], |row| row.get(0))?;
        writer
            .statement("INSERT INTO model_versions (namespace, name, version, digest, bytes, record) VALUES (?, ?, ?, ?, ?, ?)")?
            .execute(params![
                namespace,
                new.name.as_str(),
                version,
                new.digest.as_bytes(),
                to_sql(new.bytes),
                encode_model(new, writer.now_ms)?
            ])?;
        let kept = u32::try_from(MAX_MODEL_VERSIONS).unwrap_or(u32::MAX);
        forget(writer, namespace, &new.name, version.saturating_sub(kept))?;
        refresh(writer, namespace)?;
        Ok(Arc::new(new.at(version, writer.now_ms)))
    }
}

impl PutModel {
    fn check_room(&self, writer: &Writer) -> Result<()> {
        let Some(namespace) = writer.index.number(&self.namespace) else {
            return Ok(());
        };
        let others: i64 = writer
            .statement(
                "SELECT count(*) FROM models WHERE namespace = ? AND bound = 1 AND name <> ?",
            )?
            .query_row(params![namespace, self.model.name.as_str()], |row| {
                row.get(0)
            })?;
        if others >= MAX_MODELS as i64 {
            return Err(too_many_models(&self.namespace));
        }
        let bytes: i64 = writer
            .statement(
                "SELECT coalesce(sum(bytes), 0) FROM (SELECT max(bytes) AS bytes
                 FROM model_versions WHERE namespace = ? AND digest <> ? GROUP BY digest)",
            )?
            .query_row(params![namespace, self.model.digest.as_bytes()], |row| {
                row.get(0)
            })?;
        if from_sql(bytes).saturating_add(self.model.bytes) > MAX_MODELS_BYTES {
            return Err(too_large(&self.namespace));
        }
        Ok(())
    }
}

/// See [`crate::store::Store::remove_model`].
pub(super) struct RemoveModel {
    pub(super) namespace: Namespace,
    pub(super) name: ModelName,
}

impl Action for RemoveModel {
    type Answer = bool;

    fn apply(&self, writer: &mut Writer) -> Result<bool> {
        let Some(namespace) = writer.index.number(&self.namespace) else {
            return Ok(false);
        };
        // The row stays, so that no version is given twice.
        let removed = writer
            .statement(
                "UPDATE models SET bound = 0 WHERE namespace = ? AND name = ? AND bound = 1",
            )?
            .execute(params![namespace, self.name.as_str()])?;
        if removed > 0 {
            forget(writer, namespace, &self.name, u32::MAX)?;
            refresh(writer, namespace)?;
        }
        Ok(removed > 0)
    }
}

/// Forgets the versions of a model up to one.
fn forget(writer: &Writer, namespace: u32, name: &ModelName, up_to: u32) -> Result<()> {
    let mut statement = writer.statement(
        "DELETE FROM model_versions WHERE namespace = ? AND name = ? AND version <= ?
         RETURNING digest",
    )?;
    let of = params![namespace, name.as_str(), up_to];
    let forgotten = statement.query_map(of, |row| row.get::<_, [u8; 32]>(0))?;
    for digest in forgotten.collect::<rusqlite::Result<Vec<_>>>()? {
        writer.release_blob(Digest::from_bytes(digest))?;
    }
    Ok(())
}

fn refresh(writer: &mut Writer, namespace: u32) -> Result<()> {
    let models = models(&writer.db, namespace)?;
    if let Some(queue) = writer.index.queue(namespace) {
        let info = queue.info.clone();
        writer.effects.models.push((info, models));
    }
    Ok(())
}

/// The newest versions of a namespace's models, by name.
pub(super) fn models(db: &Connection, namespace: u32) -> Result<Models> {
    let mut statement = db.prepare_cached(
        "SELECT m.name, m.version, v.record FROM models m
         JOIN model_versions v ON v.namespace = m.namespace AND v.name = m.name AND v.version = m.version
         WHERE m.namespace = ? AND m.bound = 1 ORDER BY m.name",
    )?;
    read(statement.query([namespace])?)
}

/// See [`crate::store::Store::model_versions`].
pub(super) fn versions(db: &Connection, namespace: u32, name: &ModelName) -> Result<Models> {
    let mut statement = db.prepare_cached(
        "SELECT name, version, record FROM model_versions
         WHERE namespace = ? AND name = ? ORDER BY version DESC",
    )?;
    read(statement.query(params![namespace, name.as_str()])?)
}

/// Names, versions and records.
fn read(mut rows: Rows<'_>) -> Result<Models> {
    let mut models = Models::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let model = decode_model(&name, row.get(1)?, &row.get::<_, Vec<u8>>(2)?)?;
        models.push(Arc::new(model));
    }
    Ok(models)
}
