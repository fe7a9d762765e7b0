//! The `bulkhead` command: runs the proxy, and manages what it enforces.

mod commands;
mod config;
mod context;
mod data_key;
mod demo_model;
mod dev_state;
mod duration;
mod failure;
mod logs;
mod master_key;
mod node;
mod output;
mod policy_file;
mod policy_in_force;
mod postgres;
mod retention;
mod signals;
mod tasks;

use std::process::ExitCode;

use clap::Parser as _;

/// Bodies come and go by the megabyte on every worker; the system's allocator fragments under that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Exits with 2 by itself when the command line is wrong.
    let arguments = commands::Arguments::parse();
    match commands::run(arguments) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("bulkhead: {failure}");
            failure.exit_code()
        }
    }
}
