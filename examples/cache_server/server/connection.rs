//! A connection: what has arrived is served as one batch, and what comes of it goes out in one write.
//!
//! A batch is served under its tenant's lock, in its tenant's scope, both taken once: pipelined commands pay for
//! neither. What the commands allocate is the tenant's, and so is a buffer that has to be longer than usual, for which it is
//! asked; the task and its usual buffers are root's, for there are as many of them as connections, whatever these send. One
//! that is idle has no buffers.

use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::Server;
use super::commands::{self, Context};
use super::database::{Content, Database};
use super::protocol::{Frame, Framer, Limits, MAX_LINE, ProtocolError, Replies, Request};
use super::room::block;
use super::session::Session;

/// Whether there is still somebody at the other end is asked after five minutes of silence, as Redis does: three times, and
/// then it is over.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(300))
    .with_interval(Duration::from_secs(100))
    .with_retries(3);

/// The usual length of a buffer. More than that is asked for.
const USUAL: usize = 16 << 10;

const _: () = assert!(
    MAX_LINE <= USUAL / 2,
    "a line can be read where there is no memory for more"
);

/// Serves a client until it, or the server, has enough.
pub(crate) async fn serve(
    server: Arc<Server>,
    id: u64,
    mut stream: TcpStream,
    peer: SocketAddr,
    mut shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_keepalive(&KEEPALIVE)?;
    let mut connection = Connection::new(server, id, peer);
    loop {
        let flow = connection.serve_batch();
        if !connection.replies.buffer.is_empty() {
            stream.write_all(&connection.replies.buffer).await?;
            connection.replies.buffer.clear();
        }
        match flow {
            ControlFlow::Break(()) => return stream.shutdown().await,
            ControlFlow::Continue(Wait::ForWriting) => continue,
            ControlFlow::Continue(Wait::ForReading) => {}
        }
        if connection.rest() {
            tokio::select! {
                ready = stream.readable() => ready?,
                _ = shutdown.changed() => return stream.shutdown().await,
            }
        }
        connection.make_way();
        tokio::select! {
            read = stream.read_buf(&mut connection.input) => if read? == 0 { return Ok(()) },
            _ = shutdown.changed() => return stream.shutdown().await,
        }
    }
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// The next request is not here as a whole.
    ForReading,
    /// There are requests left, but no place for their replies.
    ForWriting,
}

struct Connection {
    server: Arc<Server>,
    session: Session,
    input: BytesMut,
    framer: Framer,
    /// Why the request that has begun is not going to be read: there is no memory for it.
    refusal: Option<String>,
    replies: Replies,
}

impl Connection {
    fn new(server: Arc<Server>, id: u64, peer: SocketAddr) -> Self {
        Self {
            session: Session::new(&server, id, peer),
            server,
            input: BytesMut::new(),
            framer: Framer::default(),
            refusal: None,
            replies: Replies::new(BytesMut::new()),
        }
    }

    /// Serves the requests that have arrived. Break: the connection is to be closed when the replies are written.
    fn serve_batch(&mut self) -> ControlFlow<(), Wait> {
        loop {
            // Tenants change in the middle of a batch when they are selected.
            let database = Arc::clone(&self.session.database);
            match self.next() {
                Ok(None) => return ControlFlow::Continue(Wait::ForReading),
                Ok(Some(Frame::Array(length, _))) if let Some(reason) = self.refusal.take() => {
                    self.input.advance(length);
                    self.replies.error(&reason);
                }
                Ok(Some(frame)) => match database.pool.in_scope(|| self.serve_tenant(&database, frame)) {
                    Ok(true) => {}
                    Ok(false) => return ControlFlow::Continue(Wait::ForWriting),
                    Err(error) => {
                        self.replies.error(&error.to_string());
                        return ControlFlow::Break(());
                    }
                },
                Err(error) => {
                    self.replies.error(&error.to_string());
                    return ControlFlow::Break(());
                }
            }
            if self.session.is_leaving {
                return ControlFlow::Break(());
            }
        }
    }

    fn next(&mut self) -> Result<Option<Frame>, ProtocolError> {
        let limits = self.limits();
        self.framer.next(&self.input, limits)
    }

    /// Serves `frame` and those that follow it, as long as they are the same tenant's. False if one is left whose reply has
    /// no place.
    fn serve_tenant(&mut self, database: &Arc<Database>, first: Frame) -> Result<bool, ProtocolError> {
        let limits = self.limits();
        let mut content = database.content();
        let Content { keys, room } = &mut *content;
        room.begin_batch();
        let now = self.server.now();
        let mut next = Some(first);
        let (mut served, mut has_place) = (0, true);
        let mut unquoted = Vec::new();
        while let Some(frame) = next {
            let mut context = Context {
                server: &self.server,
                session: &mut self.session,
                database,
                keys,
                room,
                now,
                replies: &mut self.replies,
            };
            has_place = context.has_short_place();
            if !has_place {
                break;
            }
            let needed = Request::bytes_for(frame);
            if needed > USUAL
                && let Err(failure) = context.make_room(|_| needed)
            {
                context.fail(&failure);
            } else if let Some(request) = Request::from_frame(frame, &self.input, &mut unquoted)? {
                has_place = commands::run(&mut context, &request);
                if !has_place {
                    break;
                }
                served += 1;
            }
            self.input.advance(frame.len());
            let is_over = self.session.is_leaving || !Arc::ptr_eq(database, &self.session.database);
            next = if is_over {
                None
            } else {
                self.framer.next(&self.input, limits)?
            };
        }
        // Relaxed: a count for the report.
        database.commands.fetch_add(served, Ordering::Relaxed);
        Ok(has_place)
    }

    /// Gives the buffers back while nobody asks for anything. Whether that is so.
    fn rest(&mut self) -> bool {
        let is_idle = self.input.is_empty() && self.replies.buffer.is_empty() && self.refusal.is_none();
        if is_idle {
            (self.input, self.replies.buffer) = (BytesMut::new(), BytesMut::new());
        }
        is_idle
    }

    /// Gives back what is longer than usual and empty, and makes sure that something can be read.
    fn make_way(&mut self) {
        for buffer in [&mut self.input, &mut self.replies.buffer] {
            // What has been read is not counted in the capacity before it is reclaimed.
            if buffer.is_empty() && buffer.try_reclaim(2 * USUAL + 1) {
                *buffer = BytesMut::with_capacity(USUAL);
            }
        }
        if self.replies.buffer.capacity() == 0 {
            self.replies.buffer = BytesMut::with_capacity(USUAL);
        }
        if self.refusal.is_some() {
            self.framer.drop_begun(&mut self.input);
        }
        let (length, wants) = (self.input.len(), self.framer.wants());
        let least = if wants > length && self.refusal.is_none() {
            wants
        } else {
            length + USUAL / 4
        };
        if least <= self.input.capacity() || self.input.try_reclaim(least - length) {
            return;
        }
        if least <= USUAL {
            self.lengthen(USUAL);
        } else {
            self.grow(least);
        }
    }

    /// Makes the input `least` bytes long, and longer, for the request that has begun, at its tenant's cost. One that the
    /// tenant has no room for is passed over, and answered when it ends; so is one of which as much is to be kept, if there
    /// is no room for both, and no key goes for it.
    fn grow(&mut self, least: usize) {
        let longest = self.server.max_request + USUAL;
        let capacity = (least + USUAL).max(2 * self.input.len()).min(longest);
        let database = Arc::clone(&self.session.database);
        let made = {
            let Content { keys, room } = &mut *database.content();
            room.begin_batch();
            let is_kept = self.framer.name(&self.input).is_some_and(commands::keeps);
            let both = block(capacity) + if is_kept { block(least) } else { 0 };
            room.reach(&database.pool, keys, both as u64)
                .and_then(|()| room.make(&database.pool, keys, |_| block(capacity)))
        };
        match made {
            Ok(()) => database.pool.in_scope(|| self.lengthen(capacity)),
            Err(reason) => {
                database.refused.fetch_add(1, Ordering::Relaxed); // Relaxed: a count for the report.
                self.refusal = Some(format!("OOM a request of {least} bytes is not read: {reason}"));
                self.make_way();
            }
        }
    }

    fn lengthen(&mut self, capacity: usize) {
        let mut longer = BytesMut::with_capacity(capacity);
        longer.extend_from_slice(&self.input);
        self.input = longer;
    }

    fn limits(&self) -> Limits {
        Limits {
            request: self.server.max_request,
            is_stranger: self.session.is_stranger(&self.server),
        }
    }
}
