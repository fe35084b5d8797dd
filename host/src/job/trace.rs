//! The trace that a job belongs to: what `traceparent` of W3C Trace Context says, in a
//! form that is small to keep.

use std::fmt;
use std::str::FromStr;

/// A span of a trace, which what comes of it names as its parent.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The trace. Never 0.
    pub trace_id: u128,
    /// The span. Never 0.
    pub span_id: u64,
    /// Bit 0: the trace is recorded.
    pub flags: u8,
}

impl TraceContext {
    /// The id of the trace, as people search for it.
    pub fn trace(&self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trace_id,
            span_id,
            flags,
        } = self;
        write!(f, "00-{trace_id:032x}-{span_id:016x}-{flags:02x}")
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is given is no `traceparent`; it is as if nothing were given, by the standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoTrace;

impl FromStr for TraceContext {
    type Err = NoTrace;

    fn from_str(given: &str) -> Result<Self, NoTrace> {
        let mut fields = given.split('-');
        let mut field = |digits: usize| {
            let field = fields.next().filter(|field| field.len() == digits);
            // The standard has small letters only.
            let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            field
                .filter(|field| field.bytes().all(is_hex))
                .ok_or(NoTrace)
        };
        let version = field(2)?;
        let (trace, span, flags) = (field(32)?, field(16)?, field(2)?);
        // A later version may have more after that.
        if version == "ff" || (version == "00" && fields.next().is_some()) {
            return Err(NoTrace);
        }
        let trace_id = u128::from_str_radix(trace, 16).map_err(|_| NoTrace)?;
        let span_id = u64::from_str_radix(span, 16).map_err(|_| NoTrace)?;
        if trace_id == 0 || span_id == 0 {
            return Err(NoTrace);
        }
        Ok(Self {
            trace_id,
            span_id,
            flags: u8::from_str_radix(flags, 16).map_err(|_| NoTrace)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_as_it_is_written() {
        let context: TraceContext = GIVEN.parse().unwrap();
        assert_eq!(context.to_string(), GIVEN);
        assert_eq!(context.trace(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!((context.span_id, context.flags), (0xb7ad_6b71_6920_3331, 1));
        let later = GIVEN.replacen("00", "cc", 1) + "-what-comes";
        assert_eq!(later.parse(), Ok(context));
    }

    #[test]
    fn what_is_none_is_as_if_it_were_not_there() {
        for bad in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b71692033311-01",
            "00-\u{e9}af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        ] {
            assert_eq!(bad.parse::<TraceContext>(), Err(NoTrace), "{bad}");
        }
    }
}
