//! The wire format of protocol buffers, read in place: nothing is copied, and nothing is as large
//! as the bytes only say it is.

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// They end in the middle of a field.
    Truncated,
    /// A number of more than 64 bits.
    Varint,
    /// A kind of field that ONNX has not, or none has.
    Kind(u64),
    /// A field of another kind than ONNX gives it.
    Unexpected(u32),
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'m> {
    /// A whole number.
    Number(u64),
    /// Eight bytes, a `double` or so.
    Eight(&'m [u8]),
    /// A string, a message, or many numbers.
    Bytes(&'m [u8]),
    /// Four bytes, a `float` or so.
    Four(&'m [u8]),
}

/// A field: its number, and its value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Field<'m> {
    pub(super) number: u32,
    pub(super) value: Value<'m>,
}

impl<'m> Field<'m> {
    /// Its bytes, if that is what it has.
    pub(super) fn bytes(&self) -> Result<&'m [u8], Malformed> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed::Unexpected(self.number)),
        }
    }

    /// Its text; what is not UTF-8 is no name that an engine would know.
    pub(super) fn text(&self) -> Result<&'m str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed::Unexpected(self.number))
    }

    /// Its message.
    pub(super) fn message(&self) -> Result<Fields<'m>, Malformed> {
        Ok(Fields::of(self.bytes()?))
    }

    /// Its number.
    pub(super) fn number(&self) -> Result<u64, Malformed> {
        match self.value {
            Value::Number(number) => Ok(number),
            _ => Err(Malformed::Unexpected(self.number)),
        }
    }

    /// Its numbers, packed or one of many.
    pub(super) fn numbers(&self) -> Result<Vec<u64>, Malformed> {
        match self.value {
            Value::Number(number) => Ok(vec![number]),
            Value::Bytes(mut packed) => {
                let mut numbers = Vec::new();
                while !packed.is_empty() {
                    numbers.push(varint(&mut packed)?);
                }
                Ok(numbers)
            }
            _ => Err(Malformed::Unexpected(self.number)),
        }
    }

    /// How many numbers it holds, without reading them.
    pub(super) fn count(&self) -> Result<u64, Malformed> {
        Ok(match self.value {
            Value::Number(_) => 1,
            // The last byte of each has its upper bit clear.
            Value::Bytes(packed) => packed.iter().filter(|byte| **byte < 0x80).count() as u64,
            _ => return Err(Malformed::Unexpected(self.number)),
        })
    }
}

/// The fields of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'m> {
    rest: &'m [u8],
}

impl<'m> Fields<'m> {
    pub(super) fn of(message: &'m [u8]) -> Self {
        Self { rest: message }
    }

    fn read(&mut self) -> Result<Field<'m>, Malformed> {
        let tag = varint(&mut self.rest)?;
        let number = u32::try_from(tag >> 3).map_err(|_| Malformed::Kind(tag))?;
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut self.rest)?),
            1 => Value::Eight(self.take(8)?),
            2 => {
                let length = varint(&mut self.rest)?;
                let length = usize::try_from(length).map_err(|_| Malformed::Truncated)?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Four(self.take(4)?),
            kind => return Err(Malformed::Kind(kind)),
        };
        Ok(Field { number, value })
    }

    fn take(&mut self, length: usize) -> Result<&'m [u8], Malformed> {
        let (taken, rest) = (self.rest.split_at_checked(length)).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}

impl<'m> Iterator for Fields<'m> {
    type Item = Result<Field<'m>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

fn varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first().ok_or(Malformed::Truncated)?;
        *rest = after;
        if shift == 63 && byte > 1 {
            return Err(Malformed::Varint);
        }
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(Malformed::Varint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(message: &[u8]) -> Result<Vec<Field<'_>>, Malformed> {
        Fields::of(message).collect()
    }

    #[test]
    fn fields_are_read_in_place() {
        let fields = all(&[
            0x08, 0x96, 0x01, 0x12, 2, b'h', b'i', 0x1d, 0, 0, 0x80, 0x3f,
        ])
        .unwrap();
        let [number, text, float] = fields.try_into().unwrap();
        assert_eq!((number.number, number.number()), (1, Ok(150)));
        assert_eq!((text.number, text.text()), (2, Ok("hi")));
        assert_eq!(float.value, Value::Four(&[0, 0, 0x80, 0x3f]));
        assert_eq!(float.number(), Err(Malformed::Unexpected(3)));
    }

    #[test]
    fn numbers_come_packed_or_one_by_one() {
        let packed = Field {
            number: 8,
            value: Value::Bytes(&[1, 0x96, 0x01, 3]),
        };
        assert_eq!(packed.numbers(), Ok(vec![1, 150, 3]));
        assert_eq!(packed.count(), Ok(3));
    }

    #[test]
    fn what_is_cut_off_or_overflows_is_refused() {
        assert_eq!(all(&[0x12, 5, b'h']), Err(Malformed::Truncated));
        assert_eq!(all(&[0x08]), Err(Malformed::Truncated));
        assert_eq!(
            all(&[
                0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1
            ]),
            Err(Malformed::Truncated)
        );
        assert_eq!(
            all(&[
                0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2
            ]),
            Err(Malformed::Varint)
        );
        assert_eq!(all(&[0x0b]), Err(Malformed::Kind(3)), "a group");
    }
}
