//! Records measured values, one JSON line each, so that a long measurement can be split into
//! several sessions and still be reported as one.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
    time::SystemTime,
};

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Line {
    /// The same for all values of a round.
    round: String,
    row: String,
    value: f64,
}

pub struct Journal {
    file: File,
    sitting: u64,
}

impl Journal {
    pub fn append_to(path: &Path) -> Self {
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
        Self {
            file: OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .unwrap(),
            sitting: since.as_secs(),
        }
    }

    pub fn note(&mut self, round: usize, row: &str, value: f64) {
        let line = Line {
            round: format!("{}.{round}", self.sitting),
            row: row.to_owned(),
            value,
        };
        let line = serde_json::to_string(&line).unwrap();
        writeln!(self.file, "{line}").unwrap();
    }
}

/// The values of all sessions, by row and round.
pub struct Measured(BTreeMap<String, BTreeMap<String, f64>>);

impl Measured {
    pub fn read(path: &Path) -> Self {
        let mut measured: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
        for line in std::fs::read_to_string(path).unwrap().lines() {
            let line: Line = serde_json::from_str(line).unwrap();
            let row = measured.entry(line.row).or_default();
            row.insert(line.round, line.value);
        }
        Self(measured)
    }

    pub fn values(&self, row: &str) -> Vec<f64> {
        let values = self.0.get(row).into_iter().flatten();
        values.map(|(_, value)| *value).collect()
    }

    /// Applies `with` to the values of two rows, for each round that has both.
    pub fn pairs(&self, of: &str, to: &str, with: fn(f64, f64) -> f64) -> Vec<f64> {
        let (Some(of), Some(to)) = (self.0.get(of), self.0.get(to)) else {
            return Vec::new();
        };
        let both = of
            .iter()
            .filter_map(|(round, of)| Some((of, to.get(round)?)));
        both.map(|(of, to)| with(*of, *to)).collect()
    }
}
