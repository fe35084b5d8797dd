//! Messages and results as bytes with a media type, and as Rust values.

use std::any::Any;
use std::borrow::Cow;

use serde::{Serialize, de::DeserializeOwned};

use crate::Error;
pub use crate::bindings::skep::jobs::types::Payload;

/// The media type of JSON.
pub(crate) const JSON: &str = "application/json";
/// The media type of bytes that nobody named.
const BYTES: &str = "application/octet-stream";

impl Payload {
    /// Bytes of a media type, such as `image/png`.
    pub fn new(content_type: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        Payload {
            content_type: content_type.into(),
            data: data.into(),
        }
    }

    /// A value as JSON.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        let data = serde_json::to_vec(value).map_err(|error| Error::Json(error.to_string()))?;
        Ok(Payload::new(JSON, data))
    }

    /// Reads the value: from JSON, or the bytes as `Vec<u8>`.
    pub fn read<T: FromPayload>(mut self) -> Result<T, Error> {
        T::from_payload(&mut self)
    }
}

impl From<Vec<u8>> for Payload {
    /// Bytes of no particular type: `application/octet-stream`.
    fn from(data: Vec<u8>) -> Self {
        Payload::new(BYTES, data)
    }
}

/// What a payload can be read as: any [`serde::Deserialize`] type from JSON,
/// `Vec<u8>` for the bytes, [`Payload`] for the bytes and their media type.
pub trait FromPayload: Sized {
    /// Reads the payload. The two byte types move the data out rather than copy
    /// what may be large, and leave it empty.
    fn from_payload(payload: &mut Payload) -> Result<Self, Error>;
}

impl<T: DeserializeOwned + 'static> FromPayload for T {
    fn from_payload(payload: &mut Payload) -> Result<Self, Error> {
        let mut value = None::<T>;
        // serde reads `Vec<u8>` as an array of numbers; nobody means that here.
        if let Some(bytes) = (&mut value as &mut dyn Any).downcast_mut::<Option<Vec<u8>>>() {
            *bytes = Some(std::mem::take(&mut payload.data));
        }
        match value {
            Some(bytes) => Ok(bytes),
            None => from_json(&payload.data),
        }
    }
}

impl FromPayload for Payload {
    fn from_payload(payload: &mut Payload) -> Result<Self, Error> {
        Ok(Payload::new(
            payload.content_type.clone(),
            std::mem::take(&mut payload.data),
        ))
    }
}

/// Reads JSON; an error names the field, line and column.
fn from_json<T: DeserializeOwned>(data: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(data).map_err(|error| {
        Error::Json(match culprit::<T>(data) {
            Some(path) => format!("{path}: {error}"),
            None => error.to_string(),
        })
    })
}

/// The path of the field that does not fit, if it is within a field. It is found
/// by reading again, since keeping track of it costs as much as the reading.
#[cold]
fn culprit<T: DeserializeOwned>(data: &[u8]) -> Option<String> {
    let mut json = serde_json::Deserializer::from_slice(data);
    let error = serde_path_to_error::deserialize::<_, T>(&mut json).err()?;
    let path = error.path().to_string();
    (path != ".").then_some(path)
}

/// What can be posted and stored: any [`serde::Serialize`] value as JSON,
/// `Vec<u8>` as bytes, [`Payload`] as it is. A value that borrows goes through
/// [`Payload::json`].
pub trait ToPayload {
    /// Writes the payload.
    fn to_payload(&self) -> Result<Payload, Error>;

    /// Writes the bytes alone, or lends those that are there.
    fn to_bytes(&self) -> Result<Cow<'_, [u8]>, Error>;
}

impl<T: Serialize + 'static> ToPayload for T {
    fn to_payload(&self) -> Result<Payload, Error> {
        match bytes(self) {
            Some(bytes) => Ok(Payload::from(bytes.clone())),
            None => Payload::json(self),
        }
    }

    fn to_bytes(&self) -> Result<Cow<'_, [u8]>, Error> {
        match bytes(self) {
            Some(bytes) => Ok(Cow::Borrowed(bytes)),
            None => Ok(Cow::Owned(Payload::json(self)?.data)),
        }
    }
}

impl ToPayload for Payload {
    fn to_payload(&self) -> Result<Payload, Error> {
        Ok(self.clone())
    }

    fn to_bytes(&self) -> Result<Cow<'_, [u8]>, Error> {
        Ok(Cow::Borrowed(&self.data))
    }
}

/// The value itself, if it is bytes: serde would write them as an array of numbers.
fn bytes<T: 'static>(value: &T) -> Option<&Vec<u8>> {
    (value as &dyn Any).downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, Debug, PartialEq)]
    struct Message {
        sizes: Vec<u32>,
    }

    fn read<T: FromPayload>(data: &str) -> Result<T, Error> {
        Payload::new("text/plain", data).read()
    }

    #[test]
    fn json_is_read_whole() {
        assert_eq!(
            read::<Message>(r#"{"sizes":[1,2]}"#),
            Ok(Message { sizes: vec![1, 2] })
        );
        assert!(read::<Message>(r#"{"sizes":[1,2]} x"#).is_err());
    }

    #[test]
    fn a_json_error_names_the_field_and_the_place() {
        let error = read::<Message>(r#"{"sizes":[1,"two"]}"#).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("sizes[1]: invalid type: string"), "{text}");
        assert!(text.contains("line 1 column"), "{text}");
    }

    #[test]
    fn bytes_stay_bytes() {
        assert_eq!(read::<Vec<u8>>("[1]"), Ok(b"[1]".to_vec()));
        assert_eq!(
            read::<Payload>("abc"),
            Ok(Payload::new("text/plain", "abc"))
        );
        assert_eq!(
            vec![1u8].to_payload(),
            Ok(Payload::new("application/octet-stream", [1]))
        );
    }
}
