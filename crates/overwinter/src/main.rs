//! `overwinter`: the server and the commands of whoever runs it.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is a program for a terminal")]

mod cli;
mod doctor;
mod guest;
mod import;
mod key;
mod metrics;
mod runsc;
mod sandbox;
mod serve;
mod settings;
mod setup;
mod template;
mod terminal;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(flags) => serve::run(settings::Settings::resolve(flags)?),
        Command::Setup(arguments) => setup::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Key(command) => key::run(command),
        Command::Import(flags) => import::run(&settings::Settings::resolve(flags)?),
        Command::Sandbox(arguments) => sandbox::run(arguments),
        Command::Template(command) => template::run(command),
        Command::Version => {
            println!("overwinter {}", env!("CARGO_PKG_VERSION"));
            Ok(ExitCode::SUCCESS)
        }
    }
}
