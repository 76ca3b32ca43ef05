//! Answers, written one behind the other into the buffer that goes out in one write.
//!
//! **Place**: a buffer does not grow under an answer. One that finds no place in it is taken back, and its command is run
//! again when there is place. So a command that changes something answers shortly, or looks for place before.

use bytes::{BufMut, BytesMut};
use redis_protocol::resp2::encode::extend_encode_borrowed as encode2;
use redis_protocol::resp2::types::BorrowedFrame as Frame2;
use redis_protocol::resp3::encode::complete::extend_encode_borrowed as encode3;
use redis_protocol::resp3::types::{BorrowedFrame as Frame3, VerbatimStringFormat};

/// The protocol that a client has chosen with `HELLO`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Resp2,
    Resp3,
}

/// The longest answer that a command may give without asking whether there is place; the longest error.
pub(crate) const SHORT: usize = 1 << 10;

/// The answers of a batch.
pub(crate) struct Replies {
    pub(crate) buffer: BytesMut,
    pub(crate) version: Version,
    /// Bytes that found no place.
    missed: usize,
}

impl Replies {
    pub(crate) fn new(buffer: BytesMut) -> Self {
        Self {
            buffer,
            version: Version::Resp2,
            missed: 0,
        }
    }

    /// Whether `bytes` more have a place. If not, the answer is going to be taken back.
    #[inline]
    pub(crate) fn has_place(&mut self, bytes: usize) -> bool {
        let fits = self.missed == 0 && bytes <= self.buffer.capacity() - self.buffer.len();
        if !fits {
            self.missed += bytes;
        }
        fits
    }

    /// Whether an array of texts of `lengths` bytes has a place.
    pub(crate) fn has_place_for_bulks(&mut self, lengths: impl ExactSizeIterator<Item = usize>) -> bool {
        let header = header_length(lengths.len());
        self.has_place(header + lengths.map(bulk_length).sum::<usize>())
    }

    /// … one text.
    pub(crate) fn has_place_for_bulk(&mut self, length: usize) -> bool {
        self.has_place(bulk_length(length))
    }

    /// Whether a part of the answer has found no place.
    pub(crate) fn has_missed(&self) -> bool {
        self.missed > 0
    }

    /// Takes an answer back, which begins at `start`, if not all of it has found a place. How many bytes it takes.
    #[inline]
    pub(crate) fn take_back(&mut self, start: usize) -> Option<usize> {
        if self.missed == 0 {
            return None;
        }
        let length = self.buffer.len() - start + self.missed;
        self.buffer.truncate(start);
        self.missed = 0;
        Some(length)
    }

    pub(crate) fn ok(&mut self) {
        self.simple("OK");
    }

    pub(crate) fn simple(&mut self, text: &str) {
        self.frame2(&Frame2::SimpleString(text.as_bytes()), text.len() + 3);
    }

    /// `text` begins with a word in capitals that says what kind of error it is.
    pub(crate) fn error(&mut self, text: &str) {
        // An error is one line.
        let line = text.replace(['\r', '\n'], " ");
        encode2(&mut self.buffer, &Frame2::Error(&line), false).expect("the buffer is made long enough");
    }

    pub(crate) fn bulk(&mut self, bytes: &[u8]) {
        self.frame2(&Frame2::BulkString(bytes), bulk_length(bytes.len()));
    }

    pub(crate) fn null(&mut self) {
        match self.version {
            Version::Resp2 => self.header(b'$', -1),
            Version::Resp3 => self.frame3(&Frame3::Null, "_\r\n".len()),
        }
    }

    /// No array, where one could be.
    pub(crate) fn null_array(&mut self) {
        match self.version {
            Version::Resp2 => self.header(b'*', -1),
            Version::Resp3 => self.null(),
        }
    }

    /// A text for people, of several lines.
    pub(crate) fn text(&mut self, text: &str) {
        match self.version {
            Version::Resp2 => self.bulk(text.as_bytes()),
            Version::Resp3 => {
                let frame = Frame3::VerbatimString {
                    data: text.as_bytes(),
                    format: VerbatimStringFormat::Text,
                    attributes: None,
                };
                self.frame3(&frame, bulk_length("txt:".len() + text.len()));
            }
        }
    }

    pub(crate) fn integer(&mut self, number: i64) {
        self.header(b':', number);
    }

    /// A number of things.
    pub(crate) fn count(&mut self, count: usize) {
        self.integer(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// `length` answers follow, and are one.
    pub(crate) fn array(&mut self, length: usize) {
        self.header(b'*', length as i64);
    }

    /// `pairs` names and values follow, and are one.
    pub(crate) fn map(&mut self, pairs: usize) {
        match self.version {
            Version::Resp2 => self.header(b'*', 2 * pairs as i64),
            Version::Resp3 => self.header(b'%', pairs as i64),
        }
    }

    /// Elements in no order follow.
    pub(crate) fn set(&mut self, length: usize) {
        match self.version {
            Version::Resp2 => self.header(b'*', length as i64),
            Version::Resp3 => self.header(b'~', length as i64),
        }
    }

    pub(crate) fn bulks<'a>(&mut self, all: impl ExactSizeIterator<Item = &'a [u8]>) {
        self.array(all.len());
        all.for_each(|bytes| self.bulk(bytes));
    }

    /// What both protocols write alike, in `length` bytes.
    fn frame2(&mut self, frame: &Frame2<'_>, length: usize) {
        if self.has_place(length) {
            encode2(&mut self.buffer, frame, false).expect("the buffer is made long enough for the frame");
        }
    }

    fn frame3(&mut self, frame: &Frame3<'_>, length: usize) {
        if self.has_place(length) {
            encode3(&mut self.buffer, frame, false).expect("the buffer is made long enough for the frame");
        }
    }

    /// A kind and a number. Written here and not by `redis-protocol`, which wants the elements of an array in a vector,
    /// those of a map in a `HashMap`, and takes the length of a number from its logarithm, which is one too many for
    /// 999,999,999,999,999,999 and leaves a zero byte behind it.
    fn header(&mut self, kind: u8, number: i64) {
        let mut text = [0; 20];
        let digits = digits(number, &mut text);
        if self.has_place(digits.len() + 3) {
            self.buffer.put_u8(kind);
            self.buffer.put_slice(digits);
            self.buffer.put_slice(b"\r\n");
        }
    }
}

/// Bytes of a kind, a number and the end of their line.
fn header_length(number: usize) -> usize {
    "*\r\n".len() + number.checked_ilog10().unwrap_or(0) as usize + 1
}

/// Bytes of a text of `length` bytes, with what is around it.
fn bulk_length(length: usize) -> usize {
    header_length(length) + length + "\r\n".len()
}

/// A number as text, in a buffer of the caller's.
pub(crate) fn digits(number: i64, into: &mut [u8; 20]) -> &[u8] {
    let mut left = number.unsigned_abs();
    let mut start = into.len();
    loop {
        start -= 1;
        into[start] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    if number < 0 {
        start -= 1;
        into[start] = b'-';
    }
    &into[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(version: Version, write: impl FnOnce(&mut Replies)) -> String {
        let mut replies = Replies::new(BytesMut::with_capacity(8 * SHORT));
        replies.version = version;
        write(&mut replies);
        String::from_utf8_lossy(&replies.buffer).into_owned()
    }

    #[test]
    fn numbers_of_every_length_are_written_whole() {
        let mut number: i64 = 1;
        for _ in 0..18 {
            number *= 10;
            for number in [number - 1, number, -number, 1 - number] {
                let expected = format!(":{number}\r\n");
                assert_eq!(
                    written(Version::Resp2, |replies| replies.integer(number)),
                    expected
                );
            }
        }
        for number in [0, i64::MIN, i64::MAX] {
            let expected = format!(":{number}\r\n");
            assert_eq!(
                written(Version::Resp3, |replies| replies.integer(number)),
                expected
            );
        }
    }

    #[test]
    fn an_answer_without_place_is_taken_back_and_tells_how_much_it_needs() {
        let value = [b'v'; 100];
        let write = |replies: &mut Replies| replies.bulks([value.as_slice(); 100].into_iter());
        let mut replies = Replies::new(BytesMut::with_capacity(SHORT));
        replies.ok();
        let (start, capacity) = (replies.buffer.len(), replies.buffer.capacity());
        write(&mut replies);
        assert!(replies.has_missed());
        let length = replies.take_back(start).expect("it has no place");
        assert_eq!(
            (replies.buffer.len(), replies.buffer.capacity()),
            (start, capacity)
        );
        replies.buffer = BytesMut::with_capacity(length);
        write(&mut replies);
        assert_eq!(replies.take_back(0), None);
        assert_eq!(replies.buffer.len(), length);
    }

    #[test]
    fn an_answer_needs_as_many_bytes_as_it_takes() {
        let text = "v".repeat(1001);
        let answers: [&dyn Fn(&mut Replies); 9] = [
            &Replies::ok,
            &Replies::null,
            &Replies::null_array,
            &|replies| replies.integer(-10),
            &|replies| replies.map(100),
            &|replies| replies.set(9),
            &|replies| replies.text(&text[..9]),
            &|replies| replies.text(&text[..999]),
            &|replies| {
                let lengths = [0, 1, 9, 10, 99, 100, 999, 1000, 1001];
                lengths
                    .iter()
                    .for_each(|end| replies.bulk(&text.as_bytes()[..*end]));
            },
        ];
        for version in [Version::Resp2, Version::Resp3] {
            for (index, write) in answers.iter().enumerate() {
                let mut replies = Replies::new(BytesMut::new());
                replies.version = version;
                write(&mut replies);
                let length = replies.take_back(0).expect("there is no place at all");
                assert_eq!(length, written(version, write).len(), "{version:?}, {index}");
            }
        }
        for lengths in [vec![], vec![0], vec![9; 10], vec![10, 99, 100]] {
            let mut replies = Replies::new(BytesMut::new());
            assert!(!replies.has_place_for_bulks(lengths.iter().copied()));
            let length = replies.take_back(0);
            let texts = lengths.iter().map(|length| &text.as_bytes()[..*length]);
            let all = written(Version::Resp2, |replies| replies.bulks(texts));
            assert_eq!(length, Some(all.len()), "{lengths:?}");
        }
    }

    #[test]
    fn the_two_protocols_differ_where_they_must() {
        let both = |write: fn(&mut Replies)| (written(Version::Resp2, write), written(Version::Resp3, write));
        let pair = |two: &str, three: &str| (String::from(two), String::from(three));
        assert_eq!(both(Replies::null), pair("$-1\r\n", "_\r\n"));
        assert_eq!(both(Replies::null_array), pair("*-1\r\n", "_\r\n"));
        assert_eq!(both(|replies| replies.map(2)), pair("*4\r\n", "%2\r\n"));
        assert_eq!(
            both(|replies| replies.text("a\nb")),
            pair("$3\r\na\nb\r\n", "=7\r\ntxt:a\nb\r\n")
        );
        assert_eq!(
            both(|replies| replies.error("ERR a\r\nb")),
            pair("-ERR a  b\r\n", "-ERR a  b\r\n")
        );
        assert_eq!(
            both(|replies| replies.bulk(b"")),
            pair("$0\r\n\r\n", "$0\r\n\r\n")
        );
    }
}
