//! The node's program.

use std::io::IsTerminal;

use clap::Parser;
use miroir_test_node::cli::Cli;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,miroir_test_node=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();

    let cli = Cli::parse();
    let listener = TcpListener::bind(cli.http_addr).await?;
    tracing::info!(address = %listener.local_addr()?, db_path = %cli.db_path.display(), "listening");

    let mut terminate = signal(SignalKind::terminate())?;
    miroir_test_node::serve(cli, listener, async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    })
    .await
}
