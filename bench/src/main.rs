//! Measures the service beside three references and its peers.
//!
//! The references are bare hyper, which verifies nothing, hyper with one RSA verification, which is
//! the least that a fresh token can cost, and hyper with one P-256 verification, which is the least
//! that a DPoP proof can cost. What is counted is requests per second of a server's own
//! processor time, so that the machine's other work does not enter. Rounds are interleaved, and
//! ratios are taken within a round, so that what drifts drifts for both.

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
    /// Measures sections and peers in interleaved rounds, and appends what it finds to a file.
    Measure(Measure),
    /// Makes tables and a plot of such a file.
    Report(report::Options),
    /// Counts the instructions of a request on each hot path, beside those of another build.
    Calls(calls::Options),
    /// Counts the instructions of a request where there is little and where there is much of something.
    Growth(growth::Options),
    /// Measures proxies that ask the service about each request.
    Forward(forward::Options),
    /// Asks the service and its peers the same questions, and makes tables of what they answer.
    Behaviour(behaviour::Options),
    /// One of the three reference servers, on the port that PORT names.
    Reference {
        /// `n.e` of an RSA key, each as base64url: every token is verified with it.
        #[arg(long)]
        key: Option<String>,
        /// `x.y` of a key on P-256, each as base64url: every DPoP proof is verified with it.
        #[arg(long)]
        proof_key: Option<String>,
    },
}

#[derive(clap::Args)]
struct Measure {
    /// The service's binary.
    #[arg(long)]
    service: PathBuf,
    /// The same built without `/docs`, whose size is measured if it is there.
    #[arg(long)]
    without_docs: Option<PathBuf>,
    /// Where to append what is measured, a line of JSON each.
    #[arg(long)]
    into: PathBuf,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Requests in one measurement, unless a second is over before.
    #[arg(long, default_value_t = 10_000)]
    requests: usize,
    /// What to measure of the service: any of speed, growth, latency, footprint, watched, cores.
    #[arg(long, value_delimiter = ',')]
    sections: Vec<goals::Section>,
    /// Peers to measure beside it, by name, or `all`.
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
        // There and back again: what grows slower as time goes by does so for all.
        rows.reverse();
        eprintln!("round {round} of {}", measure.rounds);
    }
}
