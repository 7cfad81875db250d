//! Measures the service beside three references and its peers.
//!
//! The references are bare hyper, which verifies nothing; hyper with one RSA verification, the
//! least that a fresh token can cost; and hyper with one P-256 verification, the least that a DPoP
//! proof can cost. Rates are in requests per second of the server's own processor time, so other
//! work on the machine doesn't count. Rounds are interleaved and ratios are computed within a
//! round, so that slow changes of the machine affect both sides.

mod behaviour;
mod callgrind;
mod calls;
mod connection;
mod forward;
mod goals;
mod ground;
mod growth;
mod journal;
mod load;
mod pace;
mod peers;
mod plot;
mod processor;
mod reference;
mod report;
mod rows;
mod server;
mod spread;
mod tokens;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures sections and peers in interleaved rounds, and appends the values to a file
    Measure(Measure),
    /// Creates tables and a plot from such a file
    Report(report::Options),
    /// Counts the instructions of a request on each hot path, and compares them with another build
    Calls(calls::Options),
    /// Counts the instructions of a request in small and in large settings
    Growth(growth::Options),
    /// Measures proxies that ask the service about each request
    Forward(forward::Options),
    /// Sends the service and its peers the same requests, and creates tables of the responses
    Behaviour(behaviour::Options),
    /// Runs one of the three reference servers, on the port in PORT
    Reference {
        /// An RSA key as base64url `n.e`; every token is verified with it
        #[arg(long)]
        key: Option<String>,
        /// A key on P-256 as base64url `x.y`; every DPoP proof is verified with it
        #[arg(long)]
        proof_key: Option<String>,
    },
}

#[derive(clap::Args)]
struct Measure {
    /// The service's binary.
    #[arg(long)]
    service: PathBuf,
    /// The binary built without `/docs`; its size is measured if given
    #[arg(long)]
    without_docs: Option<PathBuf>,
    /// The file to append values to, one JSON line each
    #[arg(long)]
    into: PathBuf,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The number of requests in one measurement, which also ends after a second
    #[arg(long, default_value_t = 10_000)]
    requests: usize,
    /// The sections to measure: any of speed, growth, latency, footprint, watched, cores
    #[arg(long, value_delimiter = ',')]
    sections: Vec<goals::Section>,
    /// The peers to measure, by name, or `all`
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
}

fn main() {
    match Arguments::parse().command {
        Command::Measure(measure) => run(&measure),
        Command::Report(options) => report::run(&options),
        Command::Calls(options) => calls::run(&options),
        Command::Growth(options) => growth::run(&options),
        Command::Forward(options) => forward::run(&options),
        Command::Behaviour(options) => behaviour::run(&options),
        Command::Reference { key, proof_key } => {
            reference::serve(key.as_deref(), proof_key.as_deref());
        }
    }
}

fn run(measure: &Measure) {
    processor::keep_to_the_generators();
    let peers = peers::named(&measure.peers);
    let mut goals = goals::of(&measure.sections, &peers);
    if measure.without_docs.is_none() {
        goals.retain(|goal| goal.rows().all(|row| row != rows::BINARY));
    }
    let mut ground = ground::Ground::new(&measure.service, measure.requests);
    ground.without_docs.clone_from(&measure.without_docs);
    let rows = rows::needed(&goals, &ground, &peers);
    let mut journal = journal::Journal::append_to(&measure.into);
    let mut rows: Vec<_> = rows.iter().collect();
    for round in 1..=measure.rounds {
        for row in &rows {
            journal.note(round, &row.name, (row.measure)());
        }
        // If the machine gets slower over time, the reversed order spreads that over all rows
        // alike.
        rows.reverse();
        eprintln!("round {round} of {}", measure.rounds);
    }
}
