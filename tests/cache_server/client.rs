//! A client in obvious code, which shares nothing with the server.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Verbatim(String),
    Null,
    NullArray,
    Array(Vec<Reply>),
    Set(Vec<Reply>),
    Map(Vec<(Reply, Reply)>),
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, all: &[Reply]| {
            let all: Vec<_> = all.iter().map(Reply::to_string).collect();
            write!(f, "[{}]", all.join(" "))
        };
        match self {
            Reply::Simple(text) => write!(f, "+{text}"),
            Reply::Error(text) => write!(f, "-{text}"),
            Reply::Integer(number) => write!(f, "{number}"),
            Reply::Bulk(bytes) => write!(f, "{:?}", String::from_utf8_lossy(bytes)),
            Reply::Verbatim(text) => write!(f, "={text:?}"),
            Reply::Null => f.write_str("nil"),
            Reply::NullArray => f.write_str("nil[]"),
            Reply::Array(all) => list(f, all),
            Reply::Set(all) => {
                f.write_str("~")?;
                list(f, all)
            }
            Reply::Map(all) => {
                let all: Vec<_> = all
                    .iter()
                    .map(|(name, value)| format!("{name}:{value}"))
                    .collect();
                write!(f, "{{{}}}", all.join(" "))
            }
        }
    }
}

/// A connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the port is open");
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a time above zero");
        stream.set_nodelay(true).expect("a TCP stream");
        let reader = BufReader::new(stream.try_clone().expect("a descriptor"));
        Self { stream, reader }
    }

    pub(crate) fn send(&mut self, words: &[&[u8]]) {
        let request = encoded(words);
        self.stream.write_all(&request).expect("sent");
    }

    pub(crate) fn ask(&mut self, words: &[&[u8]]) -> Reply {
        self.send(words);
        self.read()
    }

    /// Asks for words that are separated by spaces, and answers as text.
    pub(crate) fn say(&mut self, line: &str) -> String {
        let words: Vec<_> = line.split(' ').map(str::as_bytes).collect();
        self.ask(&words).to_string()
    }

    pub(crate) fn read(&mut self) -> Reply {
        self.try_read().expect("an answer")
    }

    /// None where the server has closed the connection.
    pub(crate) fn try_read(&mut self) -> Option<Reply> {
        let mut line = String::new();
        if self.reader.read_line(&mut line).expect("text") == 0 {
            return None;
        }
        let line = line.strip_suffix("\r\n").expect("a whole line");
        let (kind, rest) = line.split_at(1);
        let number = || rest.parse::<i64>().expect("a number");
        Some(match kind {
            "+" => Reply::Simple(rest.into()),
            "-" => Reply::Error(rest.into()),
            ":" => Reply::Integer(number()),
            "_" => Reply::Null,
            "$" if rest == "-1" => Reply::Null,
            "*" if rest == "-1" => Reply::NullArray,
            "$" => Reply::Bulk(self.read_body(number() as usize)),
            "=" => {
                let text = String::from_utf8(self.read_body(number() as usize)).expect("text");
                Reply::Verbatim(text.strip_prefix("txt:").expect("its kind").into())
            }
            "*" => Reply::Array((0..number()).map(|_| self.read()).collect()),
            "~" => Reply::Set((0..number()).map(|_| self.read()).collect()),
            "%" => Reply::Map((0..number()).map(|_| (self.read(), self.read())).collect()),
            other => panic!("an answer cannot begin with {other:?}"),
        })
    }

    fn read_body(&mut self, length: usize) -> Vec<u8> {
        let mut body = vec![0; length + 2];
        self.reader.read_exact(&mut body).expect("the whole of it");
        assert_eq!(body.split_off(length), b"\r\n");
        body
    }

    /// Asks for all of `INFO` and picks a number.
    pub(crate) fn info(&mut self, name: &str) -> u64 {
        let text = match self.ask(&[b"INFO"]) {
            Reply::Bulk(bytes) => String::from_utf8(bytes).expect("text"),
            Reply::Verbatim(text) => text,
            other => panic!("{other}"),
        };
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("{name} in\n{text}"))
            .trim()
            .parse()
            .expect("a number")
    }
}

/// A request as bytes.
pub(crate) fn encoded(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).bytes());
        bytes.extend(*word);
        bytes.extend(b"\r\n");
    }
    bytes
}
