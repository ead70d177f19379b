//! The program behind `cargo xtask soak`.

use std::process::ExitCode;

use anyhow::Result;
use sandbox_tests::{soak, stage::Stage};
use xtask::soak::Options;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let options = Options::from_command_line();
    // Loop devices are what the strategy `kernel` needs.
    let stage = Stage::set_with(|host| host.loop_devices = true)
        .await?
        .into();
    let outcome = soak::run(&stage, &options).await?;
    println!("{}", outcome.report());
    let growth = outcome.growth();
    for line in &growth {
        println!("{line}");
    }
    Ok(if growth.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
