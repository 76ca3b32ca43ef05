//! A client: batches of requests, and what comes back.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Result, bail, ensure};

/// A connection, with the batch that is being made for it.
pub(crate) struct Client {
    stream: TcpStream,
    batch: Vec<u8>,
    requests: usize,
    received: Vec<u8>,
}

/// What came back for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Nothing,
    Something,
    /// `-OOM`.
    Refused,
}

impl Client {
    /// Connects and becomes a tenant by its number.
    pub(crate) fn connect(address: SocketAddr, tenant: usize) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut client = Self {
            stream,
            batch: Vec::new(),
            requests: 0,
            received: Vec::new(),
        };
        client.ask(&[b"SELECT", tenant.to_string().as_bytes()]);
        client.exchange(|_| ())?;
        Ok(client)
    }

    /// Adds a request to the batch.
    pub(crate) fn ask(&mut self, words: &[&[u8]]) {
        self.requests += 1;
        write_header(&mut self.batch, b'*', words.len());
        for word in words {
            write_header(&mut self.batch, b'$', word.len());
            self.batch.extend_from_slice(word);
            self.batch.extend_from_slice(b"\r\n");
        }
    }

    /// Sends the batch and reads all answers.
    pub(crate) fn exchange(&mut self, mut each: impl FnMut(Answer)) -> Result<()> {
        self.stream.write_all(&self.batch)?;
        self.batch.clear();
        self.received.clear();
        let mut position = 0;
        while self.requests > 0 {
            match end_of_answer(&self.received, position)? {
                Some((end, answer)) => {
                    each(answer);
                    position = end;
                    self.requests -= 1;
                }
                None => {
                    let length = self.received.len();
                    self.received.resize(length + (64 << 10), 0);
                    let read = self.stream.read(&mut self.received[length..])?;
                    self.received.truncate(length + read);
                    ensure!(read > 0, "the server closed the connection");
                }
            }
        }
        Ok(())
    }

    /// What `INFO` says, as names and values.
    pub(crate) fn info(&mut self) -> Result<Vec<(String, String)>> {
        self.ask(&[b"INFO"]);
        self.exchange(|_| ())?;
        let text = String::from_utf8_lossy(&self.received);
        let pairs = text.lines().filter_map(|line| line.split_once(':'));
        Ok(pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect())
    }
}

fn write_header(batch: &mut Vec<u8>, kind: u8, number: usize) {
    batch.push(kind);
    batch.extend_from_slice(number.to_string().as_bytes());
    batch.extend_from_slice(b"\r\n");
}

/// Where the answer that begins at `start` ends, if it is there as a whole.
fn end_of_answer(bytes: &[u8], start: usize) -> Result<Option<(usize, Answer)>> {
    let rest = bytes.get(start..).unwrap_or_default();
    let Some(line_end) = rest.windows(2).position(|pair| pair == b"\r\n") else {
        return Ok(None);
    };
    let (line, mut end) = (&rest[..line_end], start + line_end + 2);
    let Some((kind, text)) = line.split_first() else {
        bail!("an empty answer");
    };
    let number = || {
        std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse::<i64>().ok())
    };
    match (kind, number()) {
        (b'-', _) if text.starts_with(b"OOM") => Ok(Some((end, Answer::Refused))),
        (b'-', _) => bail!("{}", String::from_utf8_lossy(text)),
        (b'+' | b':', _) => Ok(Some((end, Answer::Something))),
        (b'$' | b'*', Some(-1)) => Ok(Some((end, Answer::Nothing))),
        (b'$', Some(length)) => {
            end += length as usize + 2;
            Ok((end <= bytes.len()).then_some((end, Answer::Something)))
        }
        (b'*', Some(items)) => {
            for _ in 0..items {
                match end_of_answer(bytes, end)? {
                    Some((next, _)) => end = next,
                    None => return Ok(None),
                }
            }
            Ok(Some((end, Answer::Something)))
        }
        _ => bail!("an answer that begins with {:?}", char::from(*kind)),
    }
}
