//! Takes answers of Redis apart. A shape that no script of ours gives is an error,
//! never a panic.

use redis::Value;

use crate::store::{Result, StoreError};

/// The values of an array, one after the other.
pub(super) struct Reply(std::vec::IntoIter<Value>);

fn odd(wanted: &str) -> StoreError {
    StoreError::Unreadable(format!("Redis answered something that is not {wanted}"))
}

impl Reply {
    /// The values of an array.
    pub(super) fn new(value: Value) -> Result<Self> {
        match value {
            Value::Array(values) => Ok(Self(values.into_iter())),
            _ => Err(odd("a list")),
        }
    }

    /// Whether none are left.
    pub(super) fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    fn next(&mut self) -> Result<Value> {
        self.0.next().ok_or_else(|| odd("as long as it should be"))
    }

    /// The next one, a list.
    pub(super) fn list(&mut self) -> Result<Self> {
        Self::new(self.next()?)
    }

    /// The next one, bytes.
    pub(super) fn bytes(&mut self) -> Result<Vec<u8>> {
        bytes(self.next()?)
    }

    /// The next one, bytes, or none where there is nothing.
    pub(super) fn maybe_bytes(&mut self) -> Result<Vec<u8>> {
        match self.next()? {
            Value::Nil => Ok(Vec::new()),
            value => bytes(value),
        }
    }

    /// The next one, text.
    pub(super) fn text(&mut self) -> Result<String> {
        text(self.next()?)
    }

    /// The next one, a number.
    pub(super) fn number(&mut self) -> Result<u64> {
        number(self.next()?)
    }

    /// The next one, a number or nothing.
    pub(super) fn maybe_number(&mut self) -> Result<Option<u64>> {
        match self.next()? {
            Value::BulkString(bytes) if bytes.is_empty() => Ok(None),
            value => number(value).map(Some),
        }
    }

    /// The next one, a number, or else bytes.
    pub(super) fn number_or_bytes(&mut self) -> Result<Result<u64, Vec<u8>>> {
        match self.next()? {
            Value::Int(number) => Ok(Ok(u64::try_from(number).unwrap_or_default())),
            value => bytes(value).map(Err),
        }
    }

    /// The next one, a truth.
    pub(super) fn truth(&mut self) -> Result<bool> {
        Ok(self.number()? != 0)
    }
}

/// Bytes.
pub(super) fn bytes(value: Value) -> Result<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) => Ok(text.into_bytes()),
        Value::Okay => Ok(b"OK".to_vec()),
        _ => Err(odd("text")),
    }
}

/// Text.
pub(super) fn text(value: Value) -> Result<String> {
    String::from_utf8(bytes(value)?).map_err(|_| odd("text"))
}

/// A number that is not negative.
pub(super) fn number(value: Value) -> Result<u64> {
    match value {
        Value::Int(number) => u64::try_from(number).map_err(|_| odd("a number")),
        // A score is a double; ours are whole.
        value => {
            let text = text(value)?;
            let whole = text.split('.').next().unwrap_or_default();
            whole.parse().map_err(|_| odd("a number"))
        }
    }
}
