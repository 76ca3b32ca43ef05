//! What a request says: its words, as slices of the buffer they arrived in.

use redis_protocol::resp2::decode::decode_range;
use redis_protocol::resp2::types::RangeFrame;

use super::{Frame, ProtocolError};

/// A request: the command's name and its arguments.
pub(crate) struct Request<'a> {
    buffer: &'a [u8],
    words: Vec<RangeFrame>,
}

impl<'a> Request<'a> {
    /// Bytes that it takes to take `frame` apart: a vector that grows has up to twice the room it needs.
    pub(crate) fn bytes_for(frame: Frame) -> usize {
        2 * frame.words() * size_of::<RangeFrame>()
    }

    /// Takes `frame`, at the start of `buffer`, apart; none if it asks nothing.
    pub(crate) fn from_frame(
        frame: Frame,
        buffer: &'a [u8],
        unquoted: &'a mut Vec<u8>,
    ) -> Result<Option<Self>, ProtocolError> {
        let text = &buffer[..frame.len()];
        let request = match frame {
            Frame::Array(..) => Self::from_array(text)?,
            Frame::Inline(_) => Self::from_line(text, unquoted)?,
            Frame::Empty(_) => return Ok(None),
        };
        Ok((request.len() > 0).then_some(request))
    }

    /// Takes an array of strings apart, without copying them.
    fn from_array(frame: &'a [u8]) -> Result<Self, ProtocolError> {
        match decode_range(frame) {
            Ok(Some((RangeFrame::Array(words), _))) => Ok(Self { buffer: frame, words }),
            Ok(_) => Err(ProtocolError("expected an array".into())),
            Err(error) => Err(ProtocolError(error.details().to_string())),
        }
    }

    /// Takes a line apart. Its words, without quotes and escapes, are put into `unquoted`.
    fn from_line(line: &[u8], unquoted: &'a mut Vec<u8>) -> Result<Self, ProtocolError> {
        unquoted.clear();
        let mut words = Vec::new();
        let mut rest = line.trim_ascii();
        while !rest.is_empty() {
            let start = unquoted.len();
            rest = take_word(rest, unquoted)
                .ok_or_else(|| ProtocolError("unbalanced quotes in request".into()))?
                .trim_ascii_start();
            words.push(RangeFrame::BulkString((start, unquoted.len())));
        }
        Ok(Self {
            buffer: unquoted,
            words,
        })
    }

    /// How many words there are, the command's name included.
    pub(crate) fn len(&self) -> usize {
        self.words.len()
    }

    /// The `index`-th word; the name is the first. Empty where there is none: commands have their arity checked.
    pub(crate) fn word(&self, index: usize) -> &'a [u8] {
        match self.words.get(index) {
            Some(&RangeFrame::BulkString((start, end))) => self.buffer.get(start..end).unwrap_or_default(),
            _ => &[],
        }
    }

    /// The words from the `index`-th on.
    pub(crate) fn from(&self, index: usize) -> impl ExactSizeIterator<Item = &'a [u8]> + '_ {
        (index..self.len().max(index)).map(|index| self.word(index))
    }

    /// Whether the `index`-th word is `word`, in any case.
    pub(crate) fn says(&self, index: usize, word: &str) -> bool {
        index < self.len() && self.word(index).eq_ignore_ascii_case(word.as_bytes())
    }
}

/// Moves the first word of a line to `into`, as Redis's `sdssplitargs` does; returns what is left, or none if its quotes do
/// not end, or do not end the word.
fn take_word<'a>(line: &'a [u8], into: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut quote = None;
    let mut rest = line;
    loop {
        let (&byte, after) = match rest.split_first() {
            Some(split) => split,
            None => return quote.is_none().then_some(rest),
        };
        rest = after;
        match (quote, byte) {
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, _) if byte.is_ascii_whitespace() => return Some(rest),
            (Some(open), _) if byte == open => {
                let ends = rest.first().is_none_or(u8::is_ascii_whitespace);
                return ends.then_some(rest);
            }
            (Some(b'"'), b'\\') => rest = take_escape(rest, into)?,
            (Some(b'\''), b'\\') if rest.first() == Some(&b'\'') => {
                into.push(b'\'');
                rest = &rest[1..];
            }
            _ => into.push(byte),
        }
    }
}

/// What follows a backslash in double quotes.
fn take_escape<'a>(rest: &'a [u8], into: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (&byte, after) = rest.split_first()?;
    if byte == b'x'
        && let Some(digits) = after.get(..2)
        && let Some(value) = str::from_utf8(digits)
            .ok()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
    {
        into.push(value);
        return Some(&after[2..]);
    }
    into.push(match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    });
    Some(after)
}

/// A whole number as Redis takes it: no plus sign, no leading zeros, no spaces.
pub(crate) fn parse_integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let is_plain = match digits {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.len() < 19 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !is_plain {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
        let mut unquoted = Vec::new();
        let request = Request::from_line(line, &mut unquoted).ok()?;
        Some(request.from(0).map(<[u8]>::to_vec).collect())
    }

    #[test]
    fn a_line_is_split_as_redis_splits_it() {
        let expect = |line: &[u8], expected: &[&[u8]]| {
            assert_eq!(
                words(line),
                Some(expected.iter().map(|word| word.to_vec()).collect()),
                "{line:?}"
            );
        };
        expect(b"  SET  key value \r\n", &[b"SET", b"key", b"value"]);
        expect(
            b"SET k \"a b\\x41\\n\\\"\" 'c\\'d'",
            &[b"SET", b"k", b"a bA\n\"", b"c'd"],
        );
        expect(b"SET k \"\"", &[b"SET", b"k", b""]);
        expect(b"\r\n", &[]);
        for line in [b"SET k \"a".as_slice(), b"SET 'a", b"SET \"a\"b", b"\"a\\"] {
            assert_eq!(words(line), None, "{line:?}");
        }
    }

    #[test]
    fn an_array_gives_its_words() {
        let request = Request::from_array(b"*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n").expect("a whole array");
        assert_eq!(request.len(), 2);
        assert!(request.says(0, "get"));
        assert_eq!(request.word(1), b"a\r\nb");
        assert_eq!(request.word(2), b"");
    }

    #[test]
    fn numbers_are_plain() {
        let max = i64::MAX.to_string();
        for (text, number) in [
            ("0", 0),
            ("-1", -1),
            ("42", 42),
            (max.as_str(), i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(parse_integer(text.as_bytes()), Some(number), "{text}");
        }
        for text in [
            "",
            "-",
            "+1",
            "01",
            "-0",
            " 1",
            "1 ",
            "1.0",
            "9223372036854775808",
            "99999999999999999999",
        ] {
            assert_eq!(parse_integer(text.as_bytes()), None, "{text}");
        }
    }
}
