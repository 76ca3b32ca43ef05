//! Bytes read as numbers. Every text of bytes is a list of operations, so that a fuzzer wastes none.

/// What is left to read.
pub(super) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// The next byte; `None` at the end.
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// The next two bytes.
    pub(super) fn word(&mut self) -> Option<usize> {
        Some(usize::from(self.byte()?) << 8 | usize::from(self.byte()?))
    }

    /// A size in bytes: mostly small, but each way of serving one comes up.
    pub(super) fn size(&mut self) -> Option<usize> {
        let (way, number) = (self.byte()?, self.word()?);
        Some(match way {
            0..120 => 1 + number % 512,
            120..180 => 1 + number % (4 << 10),
            180..220 => 1 + number % (36 << 10),
            220..240 => 1 + number * 20,
            240..253 => (1 << 20) + number * 80,
            _ => (31 << 20) + number * 64,
        })
    }

    /// An alignment: mostly a small one.
    pub(super) fn align(&mut self) -> Option<usize> {
        Some(match self.byte()? {
            byte @ 0..240 => 1 << (byte % 5),
            byte @ 240..252 => 32 << (byte % 8),
            byte => 8192 << (3 * (byte % 4)),
        })
    }
}
