//! Where the next request in a buffer ends.
//!
//! The decoder of `redis-protocol` begins anew with every byte that arrives, takes any length for true, and follows
//! arrays inside arrays as deep as they go. This walks over the headers before it: each of them once, however the request
//! is cut into packets; no length above its limit; nothing but an array of strings, as in Redis.

use std::fmt;

use bytes::{Buf, BytesMut};

use super::parse_integer;

/// The longest header or inline request: short enough for the buffer that every connection has.
pub(crate) const MAX_LINE: usize = 8 << 10;
const MAX_ARGUMENTS: usize = 1 << 20;
/// What may be asked before a password was given.
const MAX_ARGUMENTS_OF_STRANGERS: usize = 10;
const MAX_BULK_OF_STRANGERS: usize = 16 << 10;

/// What a connection may send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The longest request, in bytes.
    pub(crate) request: usize,
    /// Whether it has yet to say who it is.
    pub(crate) is_stranger: bool,
}

/// A whole request at the start of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// An array of bulk strings, of this many bytes and strings.
    Array(usize, usize),
    /// A line, of this many bytes with its end.
    Inline(usize),
    /// Nothing was asked in this many bytes.
    Empty(usize),
}

impl Frame {
    /// Its bytes.
    pub(crate) fn len(self) -> usize {
        let (Self::Array(bytes, _) | Self::Inline(bytes) | Self::Empty(bytes)) = self;
        bytes
    }

    /// The most words that it can have.
    pub(crate) fn words(self) -> usize {
        match self {
            Self::Array(_, strings) => strings,
            Self::Inline(bytes) => bytes.div_ceil(2),
            Self::Empty(_) => 0,
        }
    }
}

/// What cannot be a request. The connection ends with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProtocolError(pub(crate) String);

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ERR Protocol error: {}", self.0)
    }
}

/// How far the request at the start of the buffer has been looked through.
#[derive(Debug, Default)]
pub(crate) struct Framer {
    /// Bytes whose headers are known; may be past what has arrived.
    position: usize,
    /// Strings of the array that has begun.
    strings: usize,
    /// Those still to come; none before the array's header.
    left: Option<usize>,
}

impl Framer {
    /// The request at the start of `buffer`, if it is there as a whole. The next call must be with a buffer that begins
    /// after it; if there was none, with the same one and what has arrived since.
    pub(crate) fn next(&mut self, buffer: &[u8], limits: Limits) -> Result<Option<Frame>, ProtocolError> {
        let mut left = match self.left {
            Some(left) => left,
            None => match self.begin(buffer, limits)? {
                Begun::Array(strings) => strings,
                Begun::Whole(frame) => return Ok(Some(frame)),
                Begun::Partial => return Ok(None),
            },
        };
        while left > 0 {
            let Some(length) = self.bulk_header(buffer, limits)? else {
                self.left = Some(left);
                return Ok(None);
            };
            left -= 1;
            self.position += length + 2;
            check(self.position <= limits.request, || {
                format!("request exceeds {} bytes", limits.request)
            })?;
        }
        self.left = Some(0);
        if self.position > buffer.len() {
            return Ok(None);
        }
        let frame = Frame::Array(self.position, self.strings);
        *self = Self::default();
        Ok(Some(frame))
    }

    /// The first string of the array that has begun, at the start of the buffer, if it has arrived.
    pub(crate) fn name<'a>(&self, buffer: &'a [u8]) -> Option<&'a [u8]> {
        let (_, start) = line(buffer, 1, "").ok()??;
        let (digits, start) = line(buffer, start + 1, "").ok()??;
        buffer
            .get(start..)?
            .get(..usize::try_from(parse_integer(digits)?).ok()?)
    }

    /// Bytes that the buffer will hold at least when the request is whole.
    pub(crate) fn wants(&self) -> usize {
        self.position
    }

    /// Drops what has arrived of the request that has begun. For one that is not going to be read.
    pub(crate) fn drop_begun(&mut self, buffer: &mut BytesMut) {
        let length = self.position.min(buffer.len());
        buffer.advance(length);
        self.position -= length;
    }

    fn begin(&mut self, buffer: &[u8], limits: Limits) -> Result<Begun, ProtocolError> {
        let Some(&first) = buffer.first() else {
            return Ok(Begun::Partial);
        };
        if first != b'*' {
            return match buffer.iter().take(MAX_LINE).position(|&byte| byte == b'\n') {
                Some(end) => Ok(Begun::Whole(Frame::Inline(end + 1))),
                None if buffer.len() >= MAX_LINE => wrong("too big inline request"),
                None => Ok(Begun::Partial),
            };
        }
        let Some((digits, end)) = line(buffer, 1, "too big mbulk count string")? else {
            return Ok(Begun::Partial);
        };
        let strings = match parse_integer(digits) {
            Some(..=0) => return Ok(Begun::Whole(Frame::Empty(end))),
            Some(strings) if strings <= MAX_ARGUMENTS as i64 => strings as usize,
            _ => return wrong("invalid multibulk length"),
        };
        check(
            !limits.is_stranger || strings <= MAX_ARGUMENTS_OF_STRANGERS,
            || "unauthenticated multibulk length".into(),
        )?;
        (self.position, self.strings) = (end, strings);
        Ok(Begun::Array(strings))
    }

    /// The length of the string whose header is at the position, which moves past the header.
    fn bulk_header(&mut self, buffer: &[u8], limits: Limits) -> Result<Option<usize>, ProtocolError> {
        let Some(&first) = buffer.get(self.position) else {
            return Ok(None);
        };
        check(first == b'$', || {
            format!("expected '$', got '{}'", char::from(first))
        })?;
        let Some((digits, end)) = line(buffer, self.position + 1, "too big bulk count string")? else {
            return Ok(None);
        };
        let length = match parse_integer(digits) {
            Some(length @ 0..) if length as u64 <= limits.request as u64 => length as usize,
            _ => return wrong("invalid bulk length"),
        };
        check(!limits.is_stranger || length <= MAX_BULK_OF_STRANGERS, || {
            "unauthenticated bulk length".into()
        })?;
        self.position = end;
        Ok(Some(length))
    }
}

enum Begun {
    Array(usize),
    Whole(Frame),
    Partial,
}

/// What stands from `start` to the next end of a line, and where the line after it begins.
fn line<'a>(
    buffer: &'a [u8],
    start: usize,
    too_long: &str,
) -> Result<Option<(&'a [u8], usize)>, ProtocolError> {
    let rest = buffer.get(start..).unwrap_or_default();
    match rest.iter().take(MAX_LINE).position(|&byte| byte == b'\r') {
        // The byte after it is the end of the line, whatever it is.
        Some(end) if end + 1 < rest.len() => Ok(Some((&rest[..end], start + end + 2))),
        None if rest.len() >= MAX_LINE => wrong(too_long),
        _ => Ok(None),
    }
}

fn check(holds: bool, what: impl FnOnce() -> String) -> Result<(), ProtocolError> {
    if holds { Ok(()) } else { Err(ProtocolError(what())) }
}

fn wrong<T>(what: &str) -> Result<T, ProtocolError> {
    Err(ProtocolError(what.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        request: 1 << 20,
        is_stranger: false,
    };

    fn frame(buffer: &[u8]) -> Result<Option<Frame>, ProtocolError> {
        Framer::default().next(buffer, LIMITS)
    }

    fn mistake(buffer: &[u8]) -> String {
        frame(buffer).expect_err("not a request").0
    }

    #[test]
    fn a_request_ends_where_it_ends_however_it_is_cut() {
        let text = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\na\r\nbc\r\n*1\r\n";
        let whole = text.len() - 4;
        for cut in 0..text.len() {
            let mut framer = Framer::default();
            let first = framer.next(&text[..cut], LIMITS);
            if cut < whole {
                assert_eq!(first, Ok(None), "cut at {cut}");
                assert_eq!(framer.next(text, LIMITS), Ok(Some(Frame::Array(whole, 3))));
            } else {
                assert_eq!(first, Ok(Some(Frame::Array(whole, 3))));
            }
        }
        let mut framer = Framer::default();
        for length in 0..whole {
            let name = (length >= 11).then_some(b"SET".as_slice());
            assert_eq!(framer.name(&text[..length]), name, "{length}");
            assert_eq!(framer.next(&text[..length], LIMITS), Ok(None));
        }
        assert_eq!(
            framer.next(&text[..whole], LIMITS),
            Ok(Some(Frame::Array(whole, 3)))
        );
    }

    #[test]
    fn a_request_can_be_passed_over_without_being_held() {
        let text = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$300\r\n";
        let (mut framer, mut buffer) = (Framer::default(), BytesMut::from(text.as_slice()));
        for _ in 0..30 {
            assert_eq!(framer.next(&buffer, LIMITS), Ok(None));
            framer.drop_begun(&mut buffer);
            assert!(buffer.is_empty());
            buffer.extend_from_slice(&[b'v'; 10]);
        }
        buffer.extend_from_slice(b"\r\n*1\r\n");
        assert_eq!(framer.next(&buffer, LIMITS), Ok(Some(Frame::Array(12, 3))));
    }

    #[test]
    fn lines_and_nothings() {
        assert_eq!(frame(b"PING\r\nPING"), Ok(Some(Frame::Inline(6))));
        assert_eq!(frame(b"\r\n"), Ok(Some(Frame::Inline(2))));
        assert_eq!(frame(b"PI"), Ok(None));
        assert_eq!(frame(b"*0\r\n"), Ok(Some(Frame::Empty(4))));
        assert_eq!(frame(b"*-1\r\n"), Ok(Some(Frame::Empty(5))));
    }

    #[test]
    fn what_no_request_says_ends_the_connection() {
        assert_eq!(mistake(b"*x\r\n"), "invalid multibulk length");
        assert_eq!(mistake(b"*99999999\r\n"), "invalid multibulk length");
        assert_eq!(mistake(b"*1\r\n*1\r\n"), "expected '$', got '*'");
        assert_eq!(mistake(b"*1\r\n$-1\r\n"), "invalid bulk length");
        assert_eq!(mistake(b"*1\r\n$1048577\r\n"), "invalid bulk length");
        assert_eq!(mistake(&[b'x'; MAX_LINE]), "too big inline request");
        assert_eq!(
            mistake(&[b"*".as_slice(), &[b'1'; MAX_LINE]].concat()),
            "too big mbulk count string"
        );
        let long = b"*2\r\n$1048570\r\n";
        let mut framer = Framer::default();
        let error = framer.next(long, LIMITS).expect_err("longer than allowed");
        assert_eq!(error.0, "request exceeds 1048576 bytes");
    }

    #[test]
    fn strangers_may_say_little() {
        let limits = Limits {
            is_stranger: true,
            ..LIMITS
        };
        let next = |buffer: &[u8]| Framer::default().next(buffer, limits);
        assert_eq!(
            next(b"*11\r\n").expect_err("too many").0,
            "unauthenticated multibulk length"
        );
        assert_eq!(
            next(b"*1\r\n$16385\r\n").expect_err("too long").0,
            "unauthenticated bulk length"
        );
    }
}
