//! A way between two parts of a cluster that can be cut, held up or slowed.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// How a way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Everything passes.
    Open,
    /// Connections are closed and refused.
    Cut,
    /// Connections stay, and nothing passes. What was sent meanwhile arrives later.
    Stalled,
    /// Everything takes so much longer, in each direction.
    Slow(Duration),
}

/// Takes connections on a port of its own and passes them on, as long as it is not dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    way: watch::Sender<Way>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// An open way from `port` to `target`, both on the loopback interface. Needs a Tokio runtime.
    pub fn start(port: u16, target: u16) -> Proxy {
        let (way, changes) = watch::channel(Way::Open);
        let task = tokio::spawn(async move {
            let _only_if_the_port_was_taken = run(port, target, changes).await;
        });
        Proxy { port, way, task }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(port: u16, target: u16, mut changes: watch::Receiver<Way>) -> io::Result<()> {
    let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    loop {
        if changes.wait_for(|way| *way != Way::Cut).await.is_err() {
            return Ok(());
        }
        let listener = TcpListener::bind(loopback(port)).await?;
        let mut connections = JoinSet::new();
        let mut until_cut = changes.clone();
        let cut = until_cut.wait_for(|way| *way == Way::Cut);
        tokio::pin!(cut);
        // Cutting it drops the listener and, with the set, all connections.
        loop {
            tokio::select! {
                _ = &mut cut => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => {
                    let (from, _) = accepted?;
                    connections.spawn(carry(from, loopback(target), changes.clone()));
                }
            }
        }
    }
}

async fn carry(from: TcpStream, target: SocketAddr, changes: watch::Receiver<Way>) -> io::Result<()> {
    let to = TcpStream::connect(target).await?;
    let _only_slower_without = (from.set_nodelay(true), to.set_nodelay(true));
    let (from_read, from_write) = from.into_split();
    let (to_read, to_write) = to.into_split();
    // An error on one side closes both.
    tokio::try_join!(pump(from_read, to_write, changes.clone()), pump(to_read, from_write, changes))?;
    Ok(())
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut changes: watch::Receiver<Way>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        let way = changes.wait_for(|way| *way != Way::Stalled).await.map(|way| *way);
        if let Ok(Way::Slow(latency)) = way {
            tokio::time::sleep(latency).await;
        }
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..length]).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::free_port;

    async fn echo(port: u16) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = connection.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
    }

    async fn connect(port: u16) -> TcpStream {
        loop {
            if let Ok(connection) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                return connection;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn round_trip(connection: &mut TcpStream) -> io::Result<u8> {
        connection.write_all(&[7]).await?;
        connection.read_u8().await
    }

    #[tokio::test]
    async fn a_way_can_be_cut_held_up_slowed_and_opened_again() {
        const A_WHILE: Duration = Duration::from_millis(100);
        let (port, target) = (free_port(), free_port());
        echo(target).await;
        let proxy = Proxy::start(port, target);
        let mut connection = connect(port).await;
        assert_eq!(round_trip(&mut connection).await.unwrap(), 7);

        proxy.set(Way::Slow(A_WHILE));
        let begun = tokio::time::Instant::now();
        assert_eq!(round_trip(&mut connection).await.unwrap(), 7);
        assert!(begun.elapsed() >= 2 * A_WHILE);

        proxy.set(Way::Stalled);
        assert!(tokio::time::timeout(A_WHILE, round_trip(&mut connection)).await.is_err());
        proxy.set(Way::Open);
        assert_eq!(connection.read_u8().await.unwrap(), 7);

        proxy.set(Way::Cut);
        assert!(connection.read_u8().await.is_err());
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok() {
            tokio::task::yield_now().await;
        }
        proxy.set(Way::Open);
        assert_eq!(round_trip(&mut connect(port).await).await.unwrap(), 7);
    }
}
