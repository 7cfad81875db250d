//! The comparisons, with the goal and the gate of each.

use clap::ValueEnum;

use crate::{
    peers::{Peer, public_row, tokens_row},
    rows,
};

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Section {
    /// Fresh tokens, seen tokens, the public route, rejected tokens.
    Speed,
    /// More keys, more tokens, larger tokens.
    Growth,
    /// The duration of a request on a server that isn't busy.
    Latency,
    /// Memory, binary size, start time.
    Footprint,
    /// With metrics, and with a log line for each request.
    Watched,
    /// Scaling to two processors.
    Cores,
    /// Other servers.
    #[value(skip)]
    Peers,
}

pub struct Goal {
    pub section: Section,
    pub what: String,
    pub is: Is,
    pub bound: Option<Bound>,
}

/// A comparison of rows, which are given by name.
pub enum Is {
    /// The ratio of the first row to the second.
    Times(String, String),
    /// The difference of the first row and the second, in microseconds.
    Microseconds(String, String),
    Milliseconds(String),
    Megabytes(String),
    Kilobytes(String),
}

/// The goal and, if there is one, the gate.
#[derive(Clone, Copy)]
pub enum Bound {
    AtLeast(f64, Option<f64>),
    AtMost(f64, Option<f64>),
}

use Bound::{AtLeast, AtMost};
use Section::{Cores, Footprint, Growth, Latency, Speed, Watched};

impl Goal {
    pub fn rows(&self) -> impl Iterator<Item = &str> {
        let (of, to) = match &self.is {
            Is::Times(of, to) | Is::Microseconds(of, to) => (of, Some(to)),
            Is::Milliseconds(of) | Is::Megabytes(of) | Is::Kilobytes(of) => (of, None),
        };
        [Some(of), to].into_iter().flatten().map(String::as_str)
    }
}

pub fn of(sections: &[Section], peers: &[&Peer]) -> Vec<Goal> {
    let own = own().into_iter();
    let wanted = own.filter(|goal| sections.contains(&goal.section));
    wanted
        .chain(peers.iter().flat_map(|peer| beside(peer)))
        .collect()
}

#[rustfmt::skip]
pub fn own() -> Vec<Goal> {
    vec![
        times(Speed, "fresh tokens, of hyper + RSA", "fresh", "rsa", AtLeast(0.95, Some(0.85))),
        times(Speed, "seen tokens, of the public route", "seen", "public", AtLeast(0.90, Some(0.80))),
        times(Speed, "seen tokens, of bare hyper", "seen", "bare", AtLeast(0.80, Some(0.70))),
        times(Speed, "public route, of bare hyper", "public", "bare", AtLeast(0.90, Some(0.80))),
        times(Speed, "bad signature, of a fresh token", "bad signature", "fresh", AtLeast(0.98, Some(0.90))),
        times(Speed, "unknown kid, of the public route", "unknown kid", "public", AtLeast(0.85, Some(0.75))),
        times(Speed, "garbage, of the public route", "garbage", "public", AtLeast(0.85, Some(0.75))),
        times(Speed, "no token, of the public route", "no token", "public", AtLeast(0.85, Some(0.75))),
        times(Speed, "expired, of the public route", "expired", "public", AtLeast(0.85, Some(0.60))),
        times(Speed, "seen token with a fresh DPoP proof, of hyper + P-256", "proof", "p256", AtLeast(0.80, Some(0.65))),
        times(Speed, "opaque token, introspected before, of a seen JWT", "some opaque", "some seen", AtLeast(0.95, Some(0.85))),

        times(Growth, "cost of a fresh token, 1 → 100 keys", "fresh", "fresh, 100 keys", AtMost(1.03, Some(1.10))),
        times(Growth, "cost of a seen token, 1 → 100,000 live", "one seen", "100,000 seen", AtMost(1.06, Some(1.15))),
        times(Growth, "cost of a fresh token, 0.8 → 8 KB", "fresh", "fresh, 8 KB", AtMost(1.5, Some(2.0))),

        goal(Latency, "p50 at 1,000/s, over hyper + RSA, µs", Is::Microseconds("p50, fresh".into(), "p50, rsa".into()), AtMost(10.0, Some(50.0))),
        times(Latency, "p99 at half capacity, of hyper + RSA", "p99, fresh", "p99, rsa", AtMost(1.25, Some(2.0))),

        goal(Footprint, "memory when idle, MB", Is::Megabytes("memory, idle".into()), AtMost(9.0, Some(16.0))),
        goal(Footprint, "memory of a cached token, KB", Is::Kilobytes("memory, a token".into()), AtMost(1.2, Some(2.0))),
        goal(Footprint, "binary without /docs, MB", Is::Megabytes(rows::BINARY.into()), AtMost(8.0, None)),
        goal(Footprint, "start to first 200, ms", Is::Milliseconds("start".into()), AtMost(5.0, Some(100.0))),
        goal(Footprint, "start to first 200 with every feature on, ms", Is::Milliseconds("start, all on".into()), AtMost(5.0, Some(100.0))),

        times(Watched, "public route, watched, of unwatched", "public, watched", "public", AtLeast(0.90, Some(0.80))),
        times(Watched, "fresh tokens, watched, of unwatched", "fresh, watched", "fresh", AtLeast(0.90, Some(0.80))),
        times(Watched, "seen tokens, watched, of unwatched", "seen, watched", "seen", AtLeast(0.90, Some(0.80))),

        // 0.9 per processor means that two processors reach 1.8 times the rate of one
        times(Cores, "fresh tokens, per processor of two, of one processor", "fresh, two processors", "fresh", AtLeast(0.90, None)),
        times(Cores, "seen tokens, per processor of two, of one processor", "seen, two processors", "seen", AtLeast(0.90, None)),
    ]
}

/// If the peer caches tokens, we compare its rate with them to the service's rate for seen tokens.
fn beside(peer: &Peer) -> Vec<Goal> {
    let title = peer.title;
    let compared = |word: &str, own: &str, peers: String, bound| Goal {
        section: Section::Peers,
        what: format!("{word}, of {title}"),
        is: Is::Times(own.to_owned(), peers),
        bound,
    };
    let share = |word: &str, of, to: &str| Goal {
        section: Section::Peers,
        what: format!("{title}, {word}"),
        is: Is::Times(of, to.to_owned()),
        bound: None,
    };
    let mut goals = Vec::new();
    if peer.fresh_to.is_some() {
        goals.push(compared(
            "fresh tokens",
            "fresh",
            tokens_row(peer),
            peer.fresh_to,
        ));
    }
    goals.push(compared(
        "seen tokens",
        "seen",
        tokens_row(peer),
        peer.seen_to,
    ));
    // also relate the peer to the references
    goals.push(share("public route", public_row(peer), "bare"));
    goals.push(share("tokens", tokens_row(peer), "rsa"));
    goals
}

fn times(section: Section, what: &str, of: &str, to: &str, bound: Bound) -> Goal {
    goal(
        section,
        what,
        Is::Times(of.to_owned(), to.to_owned()),
        bound,
    )
}

fn goal(section: Section, what: &str, is: Is, bound: Bound) -> Goal {
    Goal {
        section,
        what: what.to_owned(),
        is,
        bound: Some(bound),
    }
}
