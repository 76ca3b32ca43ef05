//! Bytes ⇄ requests and replies.
//!
//! Above: `connection.rs`, `commands/`. Below: `redis-protocol`, which takes frames apart and writes them.
//!
//! ```text
//!  framing.rs   where does the next request end? limits, partial and inline requests
//!  request.rs   what it says
//!  replies.rs   answers, in RESP2 or RESP3
//! ```

mod framing;
mod replies;
mod request;

pub(crate) use framing::{Frame, Framer, Limits, MAX_LINE, ProtocolError};
pub(crate) use replies::{Replies, SHORT, Version, digits};
pub(crate) use request::{Request, parse_integer};
