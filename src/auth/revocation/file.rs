//! [`RevocationFile`]: reads revocations from a file of JSON lines.
//!
//! We check the file every second, and read it again when it has changed. Note that removing a line
//! from the file, or the whole file, does not remove entries from the list. They stay until they
//! expire.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    sync::Semaphore,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::auth::{
    clock::Clock,
    files,
    revocation::{
        entry::Revocation,
        list::RevocationList,
        source::{Task, Watch},
    },
    worker::Worker,
};

const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a check may take before the file counts as unreadable.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How long we wait for a check before we start another one in parallel.
const RETRY_AFTER: Duration = Duration::from_secs(300);

/// The maximum number of unfinished checks. Each one keeps a thread busy.
const MAX_CHECKS: usize = 4;

/// The coarsest resolution of the times of changes. (FAT has two seconds.) An edit within this time
/// after another one may leave the stamp as it is.
const STAMP_RESOLUTION: Duration = Duration::from_secs(2);

/// The maximum size of the file in bytes (about two million entries).
const MAX_BYTES: u64 = 256 * 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FileError {
    #[error("{name} {why}", name = .0, why = files::describe(*.1))]
    Unreadable(String, io::ErrorKind),
    #[error("{0} is larger than 256 MiB")]
    TooLarge(String),
    #[error("{0}, line {1}: {2}")]
    Line(String, usize, &'static str),
}

impl FileError {
    /// What to do, if the file does not exist.
    #[cfg(feature = "service")]
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreadable(_, io::ErrorKind::NotFound) => {
                Some("create an empty file first, or correct the path")
            }
            _ => None,
        }
    }
}

/// Identifies a version of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    #[cfg(unix)]
    inode: u64,
    /// When the inode was last changed, which no program can set: `cp -p` and `rsync -t` set the
    /// time of modification back.
    #[cfg(unix)]
    changed: (i64, i64),
}

/// Reads every entry of the file. Empty lines are skipped.
///
/// # Errors
/// Returns the number of the first line that is not a valid entry.
#[cfg(any(test, feature = "service"))]
pub(crate) fn read(path: &Path) -> Result<Vec<Revocation>, FileError> {
    let mut entries = Vec::new();
    each(path, |entry| entries.push(entry))?;
    Ok(entries)
}

/// Calls `with` for each entry of the file. This reads line by line. Otherwise, the text and the
/// parsed entries of a large file would take more memory than the list itself.
///
/// # Errors
/// As for [`read`]. By then, `with` has been called for the entries before that line.
pub(crate) fn each(path: &Path, mut with: impl FnMut(Revocation)) -> Result<(), FileError> {
    let name = || path.display().to_string();
    let unreadable = |error: io::Error| FileError::Unreadable(name(), error.kind());
    let file = files::open(path).map_err(unreadable)?;
    // limit the bytes read instead of checking the size, the file might grow in the meantime
    let mut file = BufReader::new(file.take(MAX_BYTES + 1));
    let (mut text, mut bytes) = (Vec::new(), 0);
    for number in 1.. {
        text.clear();
        let read = file.read_until(b'\n', &mut text).map_err(unreadable)?;
        bytes += read as u64;
        if bytes > MAX_BYTES {
            return Err(FileError::TooLarge(name()));
        }
        if read == 0 {
            break;
        }
        let line = text.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let entry = str::from_utf8(line).map_err(|_| "not UTF-8");
        let entry = entry.and_then(Revocation::from_json);
        with(entry.map_err(|why| FileError::Line(name(), number, why))?);
    }
    Ok(())
}

/// A version of the file, and the outcome of reading it.
#[derive(Debug, Clone)]
struct Seen {
    stamp: Stamp,
    /// When this version was first read.
    at: Instant,
    /// True if it was read once more after [`STAMP_RESOLUTION`]. From then on, every edit changes the
    /// stamp.
    is_settled: bool,
    /// An invalid file stays invalid until it changes.
    outcome: Result<(), FileError>,
}

/// A file that is watched, and read into the list when it changes.
#[derive(Clone)]
pub(crate) struct RevocationFile {
    path: PathBuf,
    /// The last version that we read. `None` if it couldn't be read, so that the next check tries
    /// again.
    seen: Option<Seen>,
    list: Arc<RevocationList>,
    clock: Clock,
    watch: Arc<Watch>,
}

impl RevocationFile {
    /// Reads the file into the list and starts watching it. Needs a tokio runtime.
    ///
    /// # Errors
    /// Returns a [`FileError`] if we cannot read the file.
    pub(crate) fn start(
        path: PathBuf,
        list: &Arc<RevocationList>,
        clock: &Clock,
    ) -> Result<(Arc<Watch>, Task), FileError> {
        let mut file = Self::new(path, list, clock);
        let watch = Arc::clone(&file.watch);
        file.load()?;
        file.watch.succeeded();
        let task = tokio::spawn(async move {
            let mut ticks = interval(CHECK_INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let checks = Arc::new(Semaphore::new(MAX_CHECKS));
            // A thread of our own: 100,000 entries take about 0.1 s, a disk can hang, and revocations
            // should not wait for a blocking thread.
            let mut worker = Worker::new("revocation-file");
            loop {
                ticks.tick().await;
                let Ok(permit) = Arc::clone(&checks).acquire_owned().await else {
                    return;
                };
                let mut checked = file.clone();
                let mut checking = pin!(worker.run(move || {
                    let _permit = permit;
                    let outcome = checked.check();
                    (checked.seen, outcome)
                }));
                let mut waited = Duration::ZERO;
                loop {
                    match timeout(TIMEOUT, checking.as_mut()).await {
                        Ok(Ok((seen, outcome))) => {
                            file.seen = seen;
                            file.report(outcome);
                            break;
                        }
                        Ok(Err(error)) => {
                            file.seen = None;
                            let error = format!("reading the file failed: {error}");
                            file.watch.failed(&error);
                            break;
                        }
                        Err(_elapsed) => file.watch.failed("reading the file takes too long"),
                    }
                    waited += TIMEOUT;
                    // Start another check, as the path might have moved to another disk by now.
                    // This shouldn't be any earlier: two checks of a slow disk will slow each other
                    // down. If the first check ends after all, it will only add entries.
                    if waited >= RETRY_AFTER && checks.available_permits() > 0 {
                        worker = Worker::new("revocation-file");
                        break;
                    }
                }
            }
        });
        Ok((watch, Task(task)))
    }

    fn new(path: PathBuf, list: &Arc<RevocationList>, clock: &Clock) -> Self {
        Self {
            path,
            seen: None,
            list: Arc::clone(list),
            clock: clock.clone(),
            watch: Watch::new("file", list, None),
        }
    }

    /// Reads the file again if it has changed, or could not be read. True if there may be news.
    fn check(&mut self) -> Result<bool, FileError> {
        let stamp = Stamp::of(&self.path);
        let seen = self.seen.as_ref().filter(|seen| stamp == Some(seen.stamp));
        let Some(seen) = seen else {
            return self.load().map(|()| true);
        };
        let (at, is_settled) = (seen.at, seen.is_settled);
        if is_settled || at.elapsed() < STAMP_RESOLUTION {
            return seen.outcome.clone().map(|()| false);
        }
        let before = self.list.len();
        let outcome = self.load();
        if let Some(seen) = self.seen.as_mut().filter(|seen| stamp == Some(seen.stamp)) {
            seen.is_settled = true;
        }
        outcome.map(|()| self.list.len() != before)
    }

    fn report(&self, outcome: Result<bool, FileError>) {
        match outcome {
            Ok(is_read) => {
                if is_read {
                    let entries = self.list.len();
                    tracing::info!(entries, "revocation file read");
                }
                self.watch.succeeded();
            }
            Err(error) => self.watch.failed(&error.to_string()),
        }
    }

    fn load(&mut self) -> Result<(), FileError> {
        // Get the stamp first, so that the next check notices a change during the read.
        let stamp = Stamp::of(&self.path);
        let outcome = self.read();
        let is_readable = !matches!(outcome, Err(FileError::Unreadable(..)));
        self.seen = stamp.filter(|_| is_readable).map(|stamp| Seen {
            stamp,
            at: Instant::now(),
            is_settled: false,
            outcome: outcome.clone(),
        });
        outcome
    }

    fn read(&self) -> Result<(), FileError> {
        let now = self.clock.now();
        self.list.sweep(now);
        let mut batch = self.list.batch(now);
        each(&self.path, |entry| {
            batch.push(&entry);
        })?;
        self.list.add_batch(batch);
        Ok(())
    }
}

impl Stamp {
    /// `None` if we cannot read the metadata of the file
    fn of(path: &Path) -> Option<Self> {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;

        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            #[cfg(unix)]
            inode: metadata.ino(),
            #[cfg(unix)]
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    #[cfg(unix)]
    #[tokio::test(start_paused = true)]
    async fn a_pipe_counts_as_failed_until_a_file_replaces_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("revocations.jsonl");
        fs::write(&path, "").unwrap();
        let list = Arc::new(RevocationList::new());
        let (watch, _task) = RevocationFile::start(path.clone(), &list, &Clock::default()).unwrap();
        let is_failing_after = async |expected: bool| {
            // the thread that checks the file needs time, too
            for _ in 0..1000 {
                tokio::time::advance(CHECK_INTERVAL).await;
                if watch.is_failing() == expected {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            watch.is_failing()
        };
        assert!(!watch.is_failing());
        fs::remove_file(&path).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        assert!(is_failing_after(true).await);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        assert!(!is_failing_after(false).await);
    }

    #[test]
    fn reads_an_invalid_file_again_only_after_a_change() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path();
        // each read asks for the time once
        let (reads, clock) = counting_clock();
        let list = Arc::new(RevocationList::new());
        let mut watched = RevocationFile::new(path.to_owned(), &list, &clock);
        fs::write(path, "{}\n").unwrap();
        let first = watched.check().unwrap_err();
        assert!(matches!(first, FileError::Line(_, 1, _)), "{first:?}");
        for _ in 0..20 {
            assert_eq!(watched.check(), Err(first.clone()));
        }
        // the second read makes sure that the file did not change during the first one
        assert!(reads.load(Relaxed) <= 2, "{reads:?}");
        fs::write(path, r#"{"iss":"https://a/","jti":"t1"}"#).unwrap();
        assert_eq!(watched.check(), Ok(true));
        assert_eq!(list.len(), 1);
        fs::remove_file(path).unwrap();
        let before = reads.load(Relaxed);
        for attempt in 1..=3 {
            let missing = watched.check();
            assert!(
                matches!(missing, Err(FileError::Unreadable(..))),
                "{missing:?}"
            );
            assert_eq!(
                reads.load(Relaxed),
                before + attempt,
                "a missing file may come back"
            );
        }
    }

    fn counting_clock() -> (Arc<AtomicUsize>, Clock) {
        let reads = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&reads);
        let clock = Clock::new(move || {
            counted.fetch_add(1, Relaxed);
            SystemTime::now()
        });
        (reads, clock)
    }

    /// A file system may count the time of a change in steps of two seconds.
    #[tokio::test]
    async fn notices_an_edit_that_changes_neither_the_length_nor_the_time() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let write = |jti: &str| {
            let line = format!(r#"{{"iss":"https://a/","jti":"{jti}"}}"#);
            fs::write(file.path(), line).unwrap();
        };
        write("t1");
        let modified = fs::metadata(file.path()).unwrap().modified().unwrap();
        let list = Arc::new(RevocationList::new());
        let path = file.path().to_owned();
        let (_watch, _task) = RevocationFile::start(path, &list, &Clock::default()).unwrap();
        write("t2");
        file.as_file().set_modified(modified).unwrap();
        timeout(Duration::from_secs(10), async {
            while list.len() < 2 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .unwrap();
    }

    /// Like `cp -p` or `rsync -t --inplace`, long after the last read.
    #[cfg(unix)]
    #[test]
    fn stamp_changes_although_length_and_time_do_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "t1").unwrap();
        let modified = fs::metadata(file.path()).unwrap().modified().unwrap();
        let before = Stamp::of(file.path());
        // longer than a tick of the file system's clock
        std::thread::sleep(Duration::from_millis(50));
        fs::write(file.path(), "t2").unwrap();
        file.as_file().set_modified(modified).unwrap();
        assert_ne!(Stamp::of(file.path()), before);
    }

    #[test]
    fn reads_no_more_than_the_limit() {
        let file = tempfile::NamedTempFile::new().unwrap();
        // sparse, so the file takes no space on the disk
        file.as_file().set_len(MAX_BYTES + 2).unwrap();
        let found = read(file.path());
        let name = file.path().display().to_string();
        assert_eq!(found, Err(FileError::TooLarge(name)));
    }
}
