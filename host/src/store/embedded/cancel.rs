//! Stops jobs.

use rusqlite::OptionalExtension;

use crate::job::{JobId, Namespace};
use crate::store::{Cancelled, Result, Token};

use super::administer::rank_of;
use super::committer::Action;
use super::key::Key;
use super::writer::{Writer, from_sql};

/// See [`crate::store::Store::cancel`].
pub(super) struct Cancel {
    pub(super) namespace: Namespace,
    pub(super) id: JobId,
}

impl Action for Cancel {
    type Answer = Cancelled;

    fn apply(&self, writer: &mut Writer) -> Result<Cancelled> {
        let number = writer.index.number(&self.namespace);
        let Some(key) = number.and_then(|number| Key::new(number, self.id)) else {
            return Ok(Cancelled::Unknown);
        };
        if let Some(answer) = self.stop_running(writer, key)? {
            return Ok(answer);
        }
        let open = writer
            .statement("SELECT rank, due, mover IS NOT NULL FROM open WHERE key = ?")?
            .query_row([key.row()], |row| {
                Ok((row.get::<_, u8>(0)?, row.get::<_, i64>(1)?, row.get(2)?))
            })
            .optional()?;
        if let Some((_, _, true)) = open {
            writer
                .statement("UPDATE open SET cancel = 1 WHERE key = ?")?
                .execute([key.row()])?;
            return Ok(Cancelled::Requested);
        }
        if let Some((rank, due, _)) = open {
            let rank = rank_of(key, rank)?;
            writer.index.remove(key, rank, from_sql(due));
            writer.bodies.take(key);
            writer.end_waiting(key, true, None)?;
            return Ok(Cancelled::Done);
        }
        let known = writer
            .statement("SELECT 1 FROM posted WHERE key = ?")?
            .exists([key.row()])?;
        Ok(if known {
            Cancelled::HadEnded
        } else {
            Cancelled::Unknown
        })
    }
}

impl Cancel {
    fn stop_running(&self, writer: &mut Writer, key: Key) -> Result<Option<Cancelled>> {
        let (incarnation, attempt) = {
            let mut running = writer.shared.running();
            let Some(entry) = running.get_mut(&key).filter(|entry| !entry.over) else {
                return Ok(None);
            };
            if std::mem::replace(&mut entry.cancel_requested, true) {
                return Ok(Some(Cancelled::Requested));
            }
            (entry.incarnation, entry.attempt)
        };
        writer
            .statement("UPDATE open SET cancel = 1 WHERE key = ?")?
            .execute([key.row()])?;
        let token = Token {
            namespace: self.namespace.clone(),
            id: self.id,
            attempt,
        };
        if let Some(host) = writer.hosts.get_mut(&incarnation)
            && !host.cancels.contains(&token)
        {
            host.cancels.push(token);
        }
        // The flag goes up when the wish is durable.
        writer.effects.told.push((incarnation, Vec::new()));
        writer.effects.ring = true;
        Ok(Some(Cancelled::Requested))
    }
}
