//! A connection: what has arrived is served as one batch, and what comes of it goes out in one write.
//!
//! A batch is served under its tenant's lock, in its tenant's scope, both taken once: pipelined commands pay for
//! neither. What the commands allocate is the tenant's, and so is a buffer that has to be longer than usual; the task and
//! its usual buffers are root's, for there are as many of them as connections, whatever these send.

use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::Server;
use super::commands::{self, Context};
use super::database::{Content, Database};
use super::protocol::{Frame, Framer, Limits, ProtocolError, Replies, Request};
use super::room::block;
use super::session::Session;

/// The usual length of a buffer.
const USUAL: usize = 16 << 10;

/// How long replies may become before they are written out in the middle of a batch.
const WRITE_AT: usize = 256 << 10;

/// Serves a client until it, or the server, has enough.
pub(crate) async fn serve(
    server: Arc<Server>,
    id: u64,
    mut stream: TcpStream,
    peer: SocketAddr,
    mut shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
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
    /// There are requests left, but replies enough for now.
    ForWriting,
}

struct Connection {
    server: Arc<Server>,
    session: Session,
    input: BytesMut,
    framer: Framer,
    /// Why the request that has begun is not going to be read: there is no memory for it.
    refusal: Option<String>,
    /// Words of an inline request.
    unquoted: Vec<u8>,
    replies: Replies,
}

impl Connection {
    fn new(server: Arc<Server>, id: u64, peer: SocketAddr) -> Self {
        Self {
            session: Session::new(&server, id, peer),
            server,
            input: BytesMut::with_capacity(USUAL),
            framer: Framer::default(),
            refusal: None,
            unquoted: Vec::new(),
            replies: Replies::new(BytesMut::with_capacity(USUAL)),
        }
    }

    /// Serves the requests that have arrived. Break: the connection is to be closed when the replies are written.
    fn serve_batch(&mut self) -> ControlFlow<(), Wait> {
        loop {
            // Tenants change in the middle of a batch when they are selected.
            let database = Arc::clone(&self.session.database);
            match self.next() {
                Ok(None) => {
                    self.grow();
                    return ControlFlow::Continue(Wait::ForReading);
                }
                Ok(Some(Frame::Array(length))) if let Some(reason) = self.refusal.take() => {
                    self.input.advance(length);
                    self.replies.error(&reason);
                }
                Ok(Some(frame)) => {
                    let served = database.pool.in_scope(|| self.serve_tenant(&database, frame));
                    if let Err(error) = served {
                        self.replies.error(&error.to_string());
                        return ControlFlow::Break(());
                    }
                }
                Err(error) => {
                    self.replies.error(&error.to_string());
                    return ControlFlow::Break(());
                }
            }
            if self.session.is_leaving {
                return ControlFlow::Break(());
            }
            if self.replies.buffer.len() >= WRITE_AT {
                return ControlFlow::Continue(Wait::ForWriting);
            }
        }
    }

    fn next(&mut self) -> Result<Option<Frame>, ProtocolError> {
        let limits = self.limits();
        self.framer.next(&self.input, limits)
    }

    /// Serves `frame` and those that follow it, as long as they are the same tenant's.
    fn serve_tenant(&mut self, database: &Arc<Database>, first: Frame) -> Result<(), ProtocolError> {
        let limits = self.limits();
        let mut content = database.content();
        let Content { keys, room } = &mut *content;
        room.begin_batch();
        let now = self.server.now();
        let mut next = Some(first);
        let mut served = 0;
        while let Some(frame) = next {
            let (Frame::Array(length) | Frame::Inline(length) | Frame::Empty(length)) = frame;
            let request = match frame {
                Frame::Array(_) => Some(Request::from_array(&self.input[..length])?),
                Frame::Inline(_) => Some(Request::from_line(&self.input[..length], &mut self.unquoted)?),
                Frame::Empty(_) => None,
            };
            if let Some(request) = request.filter(|request| request.len() > 0) {
                served += 1;
                commands::run(
                    &mut Context {
                        server: &self.server,
                        session: &mut self.session,
                        database,
                        keys,
                        room,
                        now,
                        replies: &mut self.replies,
                    },
                    &request,
                );
            }
            self.input.advance(length);
            let is_over = self.session.is_leaving
                || self.replies.buffer.len() >= WRITE_AT
                || !Arc::ptr_eq(database, &self.session.database);
            next = if is_over {
                None
            } else {
                self.framer.next(&self.input, limits)?
            };
        }
        // Relaxed: a count for the report.
        database.commands.fetch_add(served, Ordering::Relaxed);
        Ok(())
    }

    /// Makes the input long enough for the request that has begun, at its tenant's cost. One that the tenant has no room
    /// for is passed over, and answered when it ends.
    fn grow(&mut self) {
        let wants = self.framer.wants();
        if self.refusal.is_none() && wants > self.input.capacity().max(USUAL) {
            let database = Arc::clone(&self.session.database);
            let made = {
                let Content { keys, room } = &mut *database.content();
                room.make(&database.pool, keys, |_| block(wants))
            };
            match made {
                Ok(()) => database
                    .pool
                    .in_scope(|| self.input.reserve(wants - self.input.len())),
                Err(reason) => {
                    database.refused.fetch_add(1, Ordering::Relaxed); // Relaxed: a count for the report.
                    self.refusal = Some(format!("OOM a request of {wants} bytes is not read: {reason}"));
                }
            }
        }
        if self.refusal.is_some() {
            self.framer.drop_begun(&mut self.input);
        }
    }

    /// Gives back what is longer than usual and empty, and makes sure that something can be read.
    fn make_way(&mut self) {
        for buffer in [&mut self.input, &mut self.replies.buffer] {
            if buffer.is_empty() && buffer.capacity() > 2 * USUAL {
                *buffer = BytesMut::with_capacity(USUAL);
            }
        }
        if self.input.spare_capacity_mut().len() < USUAL / 4 {
            let database = Arc::clone(&self.session.database);
            if self.input.len() < USUAL / 2 {
                self.input.reserve(USUAL / 2);
            } else {
                database.pool.in_scope(|| self.input.reserve(USUAL));
            }
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            request: self.server.max_request,
            is_stranger: self.session.is_stranger(&self.server),
        }
    }
}
