//! Who is at the other end of a connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::Server;
use super::database::Database;

/// What a connection has said about itself.
pub(crate) struct Session {
    pub(crate) id: u64,
    pub(crate) peer: SocketAddr,
    pub(crate) since: Instant,
    pub(crate) name: String,
    pub(crate) library: (String, String),
    /// Whose keys its commands are about.
    pub(crate) database: Arc<Database>,
    /// Of all tenants, those whose password it has given.
    admitted: Vec<usize>,
    /// Whether it is to be closed after this batch.
    pub(crate) is_leaving: bool,
}

impl Session {
    pub(crate) fn new(server: &Server, id: u64, peer: SocketAddr) -> Self {
        Self {
            id,
            peer,
            since: Instant::now(),
            name: String::new(),
            library: Default::default(),
            database: server.first_database(),
            admitted: Vec::new(),
            is_leaving: false,
        }
    }

    /// Whether it has yet to give a password.
    pub(crate) fn is_stranger(&self, server: &Server) -> bool {
        Arc::ptr_eq(&self.database, &server.lobby)
    }

    /// Becomes the tenant called `name`, if that is its password.
    pub(crate) fn authenticate(&mut self, server: &Server, name: &[u8], password: &[u8]) -> Result<(), ()> {
        let index = server.find(name).ok_or(())?;
        let database = &server.databases[index];
        if !database.admits(password) {
            return Err(());
        }
        if !self.admitted.contains(&index) {
            self.admitted.push(index);
        }
        self.database = Arc::clone(database);
        Ok(())
    }

    /// Becomes the `index`-th tenant, if it may.
    pub(crate) fn select(&mut self, server: &Server, index: usize) -> Result<(), String> {
        let Some(database) = server.databases.get(index) else {
            return Err("ERR DB index is out of range".into());
        };
        if database.password.is_some() && !self.admitted.contains(&index) {
            let name = &database.name;
            return Err(format!(
                "NOPERM tenant '{name}' has a password: AUTH {name} <password>"
            ));
        }
        self.database = Arc::clone(database);
        Ok(())
    }

    /// Forgets everything that was said.
    pub(crate) fn reset(&mut self, server: &Server) {
        self.name.clear();
        self.admitted.clear();
        self.database = server.first_database();
    }
}
