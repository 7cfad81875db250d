//! [`FileReader`]: reads files without blocking the threads that serve requests.
//!
//! A read from a disk that is gone can block forever, and no timeout can end it. This is why we
//! read on blocking threads, and only a few files at a time. We also insist on regular files -- a
//! pipe will wait for a writer, perhaps forever, and its content can't be read twice.

use std::{
    borrow::Cow,
    fs::{self, File},
    io::{self, ErrorKind, Read},
    path::Path,
    sync::Arc,
};

use tokio::{sync::Semaphore, task::spawn_blocking};

const MAX_READS: usize = 2;

/// The maximum number of unfinished reads of all readers. It's half of tokio's default of 512
/// blocking threads, which should leave enough threads for other work even if all of these hang.
static ALL_READS: Semaphore = Semaphore::const_new(256);

#[derive(Debug, Clone)]
pub(crate) struct FileReader {
    permits: Arc<Semaphore>,
}

impl Default for FileReader {
    fn default() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(MAX_READS)),
        }
    }
}

impl FileReader {
    /// Reads a regular file. If too many earlier reads are unfinished we wait for one of them to
    /// end, so the caller needs a timeout.
    ///
    /// # Errors
    /// As for [`read`].
    pub(crate) async fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(io::Error::other)?;
        let shared = ALL_READS.acquire().await.map_err(io::Error::other)?;
        let path = path.to_owned();
        let reading = spawn_blocking(move || {
            // held until the read ends, even if the caller times out
            let _permits = (permit, shared);
            read(&path)
        });
        reading.await.map_err(io::Error::other)?
    }
}

/// Reads a regular file, blocking the thread.
///
/// # Errors
/// Fails with [`ErrorKind::IsADirectory`] for a directory, and with [`ErrorKind::Unsupported`] for
/// anything else that isn't a regular file.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut document = Vec::new();
    open(path)?.read_to_end(&mut document)?;
    Ok(document)
}

/// Reads a regular file as text.
///
/// # Errors
/// As for [`read`], and with [`ErrorKind::InvalidData`] if it is not UTF-8.
#[cfg(feature = "service")]
pub(crate) fn read_to_string(path: &Path) -> io::Result<String> {
    io::read_to_string(open(path)?)
}

/// Opens a regular file for reading.
///
/// # Errors
/// As for [`read`].
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let kind = fs::metadata(path)?.file_type();
    if kind.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    // Check before opening. Opening a pipe would wait for a writer.
    if !kind.is_file() {
        return Err(ErrorKind::Unsupported.into());
    }
    File::open(path)
}

/// Why a file can't be read, as the end of a sentence.
pub(crate) fn describe(kind: ErrorKind) -> Cow<'static, str> {
    match kind {
        ErrorKind::NotFound => "does not exist".into(),
        ErrorKind::IsADirectory => "is a directory".into(),
        ErrorKind::NotADirectory => "is not a directory".into(),
        ErrorKind::InvalidData => "is not UTF-8".into(),
        ErrorKind::Unsupported => "is not a regular file".into(),
        kind => format!("cannot be read: {kind}").into(),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;

    #[cfg(unix)]
    #[test]
    fn reads_only_regular_files() {
        let directory = tempfile::tempdir().unwrap();
        let in_directory = |name: &str| directory.path().join(name);
        fs::write(in_directory("file"), "text").unwrap();
        std::os::unix::fs::symlink("file", in_directory("link")).unwrap();
        let pipe = in_directory("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let rows = [
            ("a file", in_directory("file"), None),
            ("a link to a file", in_directory("link"), None),
            ("a pipe", pipe, Some(ErrorKind::Unsupported)),
            ("a device", "/dev/zero".into(), Some(ErrorKind::Unsupported)),
            (
                "a directory",
                in_directory("."),
                Some(ErrorKind::IsADirectory),
            ),
            ("nothing", in_directory("none"), Some(ErrorKind::NotFound)),
        ];
        for (name, path, expected) in rows {
            let found = read(&path);
            match expected {
                None => assert_eq!(found.unwrap(), b"text", "{name}"),
                Some(kind) => assert_eq!(found.unwrap_err().kind(), kind, "{name}"),
            }
        }
    }

    #[tokio::test]
    async fn waits_while_too_many_reads_have_not_ended() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let reader = FileReader::default();
        let permits = Arc::clone(&reader.permits);
        let held = permits.acquire_many(MAX_READS.try_into().unwrap()).await;
        {
            let mut reading = pin!(reader.read(file.path()));
            let mut context = Context::from_waker(Waker::noop());
            assert!(matches!(reading.as_mut().poll(&mut context), Poll::Pending));
        }
        drop(held);
        assert_eq!(reader.read(file.path()).await.unwrap(), b"");
        assert_eq!(reader.permits.available_permits(), MAX_READS);
    }
}
