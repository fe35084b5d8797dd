//! Keeps and forgets access tokens. Callers read them in memory, from
//! [`shared`](super::shared): there are few, and every request asks for one.

use rusqlite::{Connection, params};

use crate::access::{AccessTokens, MAX_TOKENS, StoredToken, TokenId};
use crate::store::Result;
use crate::store::tokens::{decode_token, encode_token};

use super::committer::Action;
use super::writer::{Writer, to_sql};

/// See [`crate::store::Store::put_token`].
pub(super) struct PutToken(pub(super) StoredToken);

impl Action for PutToken {
    type Answer = bool;

    fn apply(&self, writer: &mut Writer) -> Result<bool> {
        let token = &self.0.token;
        let (id, reach) = (&token.id.as_bytes()[..], token.reach.to_string());
        writer
            .statement("DELETE FROM tokens WHERE expires <= ?")?
            .execute([to_sql(writer.now_ms)])?;
        let others: u32 = writer
            .statement("SELECT count(*) FROM tokens WHERE reach = ? AND id <> ?")?
            .query_row(params![reach, id], |row| row.get(0))?;
        let room = others < MAX_TOKENS;
        if room {
            writer
                .statement("INSERT OR REPLACE INTO tokens VALUES (?, ?, ?, ?)")?
                .execute(params![
                    id,
                    reach,
                    token.expires_at_ms.map(to_sql),
                    encode_token(&self.0)?
                ])?;
        }
        writer.effects.tokens_changed = true;
        Ok(room)
    }
}

/// See [`crate::store::Store::revoke_token`].
pub(super) struct RevokeToken(pub(super) TokenId);

impl Action for RevokeToken {
    type Answer = bool;

    fn apply(&self, writer: &mut Writer) -> Result<bool> {
        let revoked = writer
            .statement("DELETE FROM tokens WHERE id = ?")?
            .execute([&self.0.as_bytes()[..]])?;
        writer.effects.tokens_changed = true;
        Ok(revoked > 0)
    }
}

/// All tokens.
pub(super) fn tokens(db: &Connection) -> Result<AccessTokens> {
    let mut statement = db.prepare_cached("SELECT id, record FROM tokens")?;
    let mut rows = statement.query([])?;
    let mut tokens = Vec::new();
    while let Some(row) = rows.next()? {
        let id = TokenId::from_bytes(row.get(0)?);
        tokens.extend(decode_token(id, &row.get::<_, Vec<u8>>(1)?));
    }
    Ok(tokens.into_iter().collect())
}
