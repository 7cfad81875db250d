//! Measures the service beside two references: bare hyper, which verifies nothing, and hyper with
//! one RSA verification, which is the least that a fresh token can cost.
//!
//! What is counted is requests per second of the server's own processor time: the machine's other
//! work does not enter it. Rounds are interleaved and medians taken, so that what drifts drifts for
//! all. The generator spins: one that sleeps makes the server pay for its wake-ups.

mod load;
mod reference;
mod rounds;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["reference", "bare"] => reference::serve(None),
        ["reference", "rsa", key] => reference::serve(Some(key)),
        ["rounds", service, rounds, requests, gate] => rounds::run(
            service,
            rounds.parse().expect("a number of rounds"),
            requests.parse().expect("a number of requests"),
            gate == "gate",
        ),
        _ => {
            eprintln!("usage: bench rounds SERVICE ROUNDS REQUESTS gate|table");
            std::process::exit(64);
        }
    }
}
