//! Sends the same requests to the service and its peers over HTTP, each with its own issuer, and
//! compares the responses.
//!
//! All servers are treated alike. Each cell of the table is either the result of this run or says
//! that we didn't ask the question.

mod answer;
mod keys;
mod notes;
mod sets;
mod subject;
mod table;
mod tokens;

use std::{path::PathBuf, sync::Mutex, thread, time::Instant};

use tokio::runtime::Runtime;

use crate::peers;

use self::{
    subject::Subject,
    table::{Cell, Found, Question},
};

#[derive(clap::Args)]
pub struct Options {
    /// The service's binary.
    #[arg(long)]
    service: PathBuf,
    /// Peers to test, by name. Defaults to all except those that differ from another only in their
    /// cache.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// A document to put the tables into, between its two markers.
    #[arg(long)]
    table: Option<PathBuf>,
}

/// A test of a server that fetches its keys. It starts servers as needed.
struct Trial {
    /// `run` returns one cell for each question, in this order.
    questions: &'static [Question],
    run: fn(&Subject<'_>) -> Vec<Cell>,
}

/// The number of concurrent trials. We can afford this many, since a trial mostly waits.
const AT_A_TIME: usize = 8;

pub fn run(options: &Options) {
    let began = Instant::now();
    let runtime = Runtime::new().unwrap();
    let service = options
        .service
        .canonicalize()
        .expect("the service's binary");
    let peers = match &options.peers[..] {
        [] => peers::without_caches(),
        names => peers::named(names),
    };
    let peers = peers.into_iter().map(|peer| Subject::peer(peer, &runtime));
    let subjects: Vec<_> = std::iter::once(Subject::service(&service, &runtime))
        .chain(peers)
        .collect();

    let mut found = Found::default();
    for subject in &subjects {
        eprintln!("{}: tokens", subject.name);
        let stage = subject.stage();
        stage.check();
        for (question, ask) in tokens::QUESTIONS {
            found.note(question, subject.name, ask.cell(&stage));
        }
    }
    let trials = || keys::TRIALS.iter().chain(sets::TRIALS);
    let jobs: Vec<_> = trials()
        .flat_map(|trial| subjects.iter().map(move |subject| (subject, trial)))
        .filter(|(subject, _)| subject.fetches)
        .collect();
    for (subject, trial, cells) in all(&jobs) {
        for (question, cell) in trial.questions.iter().zip(cells) {
            found.note(question, subject, cell);
        }
    }

    peers::forget_keys();

    let questions: Vec<&Question> = tokens::QUESTIONS
        .iter()
        .map(|(question, _)| question)
        .chain(trials().flat_map(|trial| trial.questions))
        .collect();
    let text = table::text(&subjects, &questions, &found);
    println!("{text}");
    if let Some(path) = &options.table {
        table::put(path, &text);
    }
    eprintln!("{} s", began.elapsed().as_secs());
}

/// Runs all jobs, several at a time, starting them in order.
fn all<'a>(
    jobs: &[(&'a Subject<'a>, &'static Trial)],
) -> Vec<(&'static str, &'static Trial, Vec<Cell>)> {
    let queue = Mutex::new(jobs.iter());
    let done = Mutex::new(Vec::new());
    let next = || queue.lock().unwrap().next();
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some((subject, trial)) = next() {
                    let began = Instant::now();
                    let cells = (trial.run)(subject);
                    let (took, text) = (began.elapsed().as_secs(), trial.questions[0].text);
                    eprintln!("{}: {text}: {took} s", subject.name);
                    done.lock().unwrap().push((subject.name, *trial, cells));
                }
            });
        }
    });
    done.into_inner().unwrap()
}
