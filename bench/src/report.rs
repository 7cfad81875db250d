//! Formats the measured values as tables, and fails for CI if a gate is missed.

use std::{fmt::Write, fs, path::PathBuf, process};

use crate::{
    goals::{self, Bound, Goal, Is},
    journal::Measured,
    peers,
    plot::{self, Bar},
    spread::Spread,
};

#[derive(clap::Args)]
pub struct Options {
    /// A file written by `measure`
    file: PathBuf,
    /// A document to put the table of servers into, between its two markers
    #[arg(long)]
    readme: Option<PathBuf>,
    /// A document to put the table of goals into, between its two markers
    #[arg(long)]
    goals: Option<PathBuf>,
    /// The file to write the plot to
    #[arg(long)]
    plot: Option<PathBuf>,
    /// Fail if a gate is missed
    #[arg(long)]
    gate: bool,
}

const BEGIN: &str = "<!-- bench: begin -->\n";
const END: &str = "<!-- bench: end -->\n";

/// The unit of the first two columns in the table of servers.
const UNIT: &str = "thousand requests per second of a server's own processor time";

pub fn run(options: &Options) {
    let measured = Measured::read(&options.file);
    let servers = servers(&measured);
    let (goals, missed) = evaluated(&measured);
    let (machine, servers_table, goals_table) = (machine(), table_of(&servers), table(&goals));
    let in_readme = format!("{machine}, {UNIT}.\n\n{servers_table}");
    let in_goals = format!("{machine}.\n\n{goals_table}");
    println!("{in_readme}\n{goals_table}");
    for (path, text) in [(&options.readme, in_readme), (&options.goals, in_goals)] {
        if let Some(path) = path {
            let document = fs::read_to_string(path).unwrap();
            fs::write(path, put(&document, &text)).unwrap();
        }
    }
    if let Some(path) = &options.plot {
        fs::write(path, plot::svg(&bars(&servers))).unwrap();
    }
    if options.gate {
        assert!(!goals.is_empty(), "nothing was measured that has a gate");
        for what in &missed {
            eprintln!("missed: {what}");
        }
        process::exit(i32::from(!missed.is_empty()));
    }
}

struct Server {
    title: String,
    public: Option<Spread>,
    tokens: Option<Spread>,
    /// The rate relative to hyper with one RSA verification.
    share: Option<Spread>,
    own: bool,
}

/// Returns the references, the service and its peers, fastest first.
fn servers(measured: &Measured) -> Vec<Server> {
    let server = |title: &str, public: &str, tokens: &str, own| Server {
        title: title.to_owned(),
        public: Spread::of(measured.values(public)),
        tokens: Spread::of(measured.values(tokens)),
        share: Spread::of(measured.pairs(tokens, "rsa", |of, to| of / to)),
        own,
    };
    let mut servers = vec![
        server("hyper + one RSA verification", "", "rsa", false),
        server("warp-bearer, fresh tokens", "public", "fresh", true),
        server("warp-bearer, seen tokens", "public", "seen", true),
    ];
    for peer in peers::named(&["all".to_owned()]) {
        let (public, tokens) = (peers::public_row(peer), peers::tokens_row(peer));
        servers.push(server(peer.title, &public, &tokens, false));
    }
    servers.retain(|server| server.share.is_some());
    let share = |server: &Server| server.share.as_ref().map_or(0.0, |share| share.median);
    servers.sort_by(|a, b| share(b).total_cmp(&share(a)));
    servers.insert(0, server("hyper, verifies nothing", "bare", "", false));
    servers
}

fn table_of(servers: &[Server]) -> String {
    let thousand = |spread: &Option<Spread>| {
        let median = spread.as_ref().map(|spread| spread.median / 1e3);
        median.map_or("–".to_owned(), |median| format!("{median:.1}"))
    };
    let mut table = String::from(
        "| server | public route | tokens | tokens, of hyper + RSA | spread |\n|---|---|---|---|---|\n",
    );
    for server in servers {
        let (share, spread) = match &server.share {
            Some(share) => (
                percent(share.median),
                format!("{} to {}", percent(share.low), percent(share.high)),
            ),
            None => ("–".to_owned(), "–".to_owned()),
        };
        let (public, tokens) = (thousand(&server.public), thousand(&server.tokens));
        let title = &server.title;
        writeln!(
            table,
            "| {title} | {public} | {tokens} | {share} | {spread} |"
        )
        .unwrap();
    }
    table
}

fn bars(servers: &[Server]) -> Vec<Bar<'_>> {
    let bar = |server| {
        let Server {
            title, share, own, ..
        }: &Server = server;
        Some(Bar {
            title,
            share: share.as_ref()?.median,
            own: *own,
        })
    };
    servers.iter().filter_map(bar).collect()
}

struct GoalResult {
    what: String,
    measured: String,
    spread: String,
    goal: String,
    gate: String,
}

/// Evaluates each goal that has measured values, and also returns those whose gate is missed.
fn evaluated(measured: &Measured) -> (Vec<GoalResult>, Vec<String>) {
    let peers = peers::named(&["all".to_owned()]);
    let mut evaluated = Vec::new();
    let mut missed = Vec::new();
    for goal in goals::own().into_iter().chain(goals::of(&[], &peers)) {
        let Some((bound, spread)) = goal.bound.zip(values(&goal, measured)) else {
            continue;
        };
        let reached = bound.reached(spread.median);
        if bound.missed(spread.median) {
            missed.push(goal.what.clone());
        }
        let mark = if reached { "" } else { " (not reached)" };
        evaluated.push(GoalResult {
            what: goal.what,
            measured: format!("{}{mark}", number(spread.median)),
            spread: format!("{} to {}", number(spread.low), number(spread.high)),
            goal: bound.goal(),
            gate: bound.gate(),
        });
    }
    (evaluated, missed)
}

fn values(goal: &Goal, measured: &Measured) -> Option<Spread> {
    let scaled = |of, by: f64| {
        let values: Vec<f64> = measured.values(of);
        values.into_iter().map(|value| value / by).collect()
    };
    Spread::of(match &goal.is {
        Is::Times(of, to) => measured.pairs(of, to, |of, to| of / to),
        Is::Microseconds(of, to) => measured.pairs(of, to, |of, to| of - to),
        Is::Milliseconds(of) => scaled(of, 1e3),
        Is::Megabytes(of) => scaled(of, 1024.0 * 1024.0),
        Is::Kilobytes(of) => scaled(of, 1024.0),
    })
}

impl Bound {
    fn reached(self, value: f64) -> bool {
        match self {
            Self::AtLeast(goal, _) => value >= goal,
            Self::AtMost(goal, _) => value <= goal,
        }
    }

    fn missed(self, value: f64) -> bool {
        match self {
            Self::AtLeast(_, gate) => gate.is_some_and(|gate| value < gate),
            Self::AtMost(_, gate) => gate.is_some_and(|gate| value > gate),
        }
    }

    fn goal(self) -> String {
        match self {
            Self::AtLeast(goal, _) => format!("≥ {goal}"),
            Self::AtMost(goal, _) => format!("≤ {goal}"),
        }
    }

    fn gate(self) -> String {
        let (Self::AtLeast(_, gate) | Self::AtMost(_, gate)) = self;
        gate.map_or("–".to_owned(), |gate| gate.to_string())
    }
}

fn table(evaluated: &[GoalResult]) -> String {
    let mut table =
        String::from("| what | measured | spread | goal | gate |\n|---|---|---|---|---|\n");
    for GoalResult {
        what,
        measured,
        spread,
        goal,
        gate,
    } in evaluated
    {
        writeln!(
            table,
            "| {what} | {measured} | {spread} | {goal} | {gate} |"
        )
        .unwrap();
    }
    table
}

/// Three significant digits.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0..2.0 => 3,
        2.0..20.0 => 2,
        20.0..200.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Describes the machine. The figures would be meaningless without it.
fn machine() -> String {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap();
    let field = |name: &str| {
        let line = processors.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(": "))
            .map_or("?", |(_, value)| value)
    };
    let count = processors
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let kernel: Vec<_> = kernel.trim().split('.').take(2).collect();
    format!(
        "{} (family {}, model {}), {count} cores, Linux {}; servers on one core",
        field("model name"),
        field("cpu family"),
        field("model\t"),
        kernel.join("."),
    )
}

fn put(document: &str, text: &str) -> String {
    let (before, rest) = document
        .split_once(BEGIN)
        .expect("the mark where it begins");
    let (_, after) = rest.split_once(END).expect("the mark where it ends");
    format!("{before}{BEGIN}{text}{END}{after}")
}
