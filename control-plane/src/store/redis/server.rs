//! A real Redis for tests.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use super::Link;
use crate::store::StoreError;

/// A Redis of our own, on a socket in a directory; it ends with us.
pub struct Server {
    process: Child,
    directory: tempfile::TempDir,
}

impl Server {
    /// Starts one and waits until it answers.
    pub async fn start() -> Server {
        Server::start_with(&[]).await
    }

    /// Starts one with these arguments, too.
    pub async fn start_with(arguments: &[&str]) -> Server {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--databases", "100", "--loglevel", "warning"]);
        command.arg("--unixsocket").arg(directory.path().join("redis.sock"));
        let process = command.args(arguments).stdout(Stdio::null()).spawn();
        let mut server =
            Server { process: process.expect("redis-server is installed: `make redis`"), directory };
        while let Err(StoreError::Unreachable(_)) =
            server.link(0).ask::<()>(redis::pipe().cmd("PING").ignore()).await
        {
            assert!(server.process.try_wait().is_ok_and(|ended| ended.is_none()), "redis-server has ended");
        }
        server
    }

    /// The URL of one of its databases.
    pub fn url(&self, database: usize) -> String {
        format!("redis+unix://{}?db={database}", self.directory.path().join("redis.sock").display())
    }

    /// A connection to one of its databases.
    pub fn link(&self, database: usize) -> Arc<Link> {
        Arc::new(Link::new(redis::Client::open(self.url(database)).expect("a valid URL")))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
