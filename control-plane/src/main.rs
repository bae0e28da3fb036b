//! `miroir`: Miroir's control plane.

use std::process::ExitCode;

use clap::Parser;
use miroir_control_plane::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("miroir: {error:#}");
            ExitCode::FAILURE
        }
    }
}
