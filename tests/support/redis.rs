//! A real `redis-server`, and a proxy to put in front of it.
//!
//! If `redis-server` isn't installed, tests just print that they were skipped, unless
//! `WARP_BEARER_REDIS=required` is set (as in CI), in which case they fail.

#![allow(dead_code, unreachable_pub)] // each test uses its part

use std::{
    env, fs,
    io::{BufRead, BufReader, ErrorKind},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    task::JoinHandle,
    time::sleep,
};

/// A `redis-server` for one test. It persists nothing unless the test sends `SAVE`. Dropping it
/// kills the server.
#[derive(Debug)]
pub struct RedisServer {
    process: Child,
    port: u16,
    arguments: Vec<String>,
    folder: TempDir,
    certificates: Option<TempDir>,
}

impl RedisServer {
    /// Starts a server on a free port. `None` if `redis-server` isn't installed.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    pub fn start_with(arguments: &[&str]) -> Option<Self> {
        let arguments: Vec<_> = arguments.iter().map(|&text| text.to_owned()).collect();
        // Another process may take the free port before the server does
        for _ in 0..10 {
            let port = free_port();
            let folder = tempfile::tempdir().unwrap();
            let process = spawn(port, &arguments, &folder)?;
            let mut server = Self {
                process,
                port,
                arguments: arguments.clone(),
                folder,
                certificates: None,
            };
            if server.is_ready() {
                return Some(server);
            }
        }
        panic!("redis-server does not start");
    }

    /// Starts a server that speaks only TLS, with a certificate for `localhost` from its own CA.
    pub fn start_with_tls(arguments: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap());
        let authority = authority.unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = certificate.signed_by(&key, &authority).unwrap();
        let files = [
            ("ca.crt", authority.pem()),
            ("tls.crt", certificate.pem()),
            ("tls.key", key.serialize_pem()),
        ];
        let [ca, certificate, key] = files.map(|(name, pem)| {
            let path = folder.path().join(name);
            fs::write(&path, pem).unwrap();
            path.to_str().unwrap().to_owned()
        });
        let tls = [
            ["--port", "0"],
            ["--tls-port", "{port}"],
            ["--tls-auth-clients", "no"],
            ["--tls-cert-file", &certificate],
            ["--tls-key-file", &key],
            ["--tls-ca-cert-file", &ca],
        ];
        let mut server = Self::start_with(&[tls.as_flattened(), arguments].concat())?;
        server.certificates = Some(folder);
        Some(server)
    }

    pub fn authority(&self) -> PathBuf {
        let folder = self.certificates.as_ref().unwrap();
        folder.path().join("ca.crt")
    }

    /// The URL of a server with TLS. `login` is `user:password`.
    pub fn tls_url(&self, login: &str) -> String {
        format!("rediss://{login}@localhost:{}/0", self.port)
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// Kills the server. It loses all data since its last `SAVE`.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts the server again, on the same port and with the data of its last `SAVE`.
    pub fn restart(&mut self) {
        self.process = spawn(self.port, &self.arguments, &self.folder).unwrap();
        assert!(self.is_ready(), "redis-server does not start again");
    }

    /// Stops the process with SIGSTOP, so that connections stay open but nothing answers.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let process = self.process.id().to_string();
        let sent = Command::new("kill").args([signal, &process]).status();
        assert!(sent.unwrap().success());
    }

    pub async fn command(&self, words: &[&str]) -> String {
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        let command = format!("{}\r\nQUIT\r\n", words.join(" "));
        stream.write_all(command.as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        reply.lines().next().unwrap_or_default().to_owned()
    }

    /// Reads the server's log until it accepts connections. Returns `false` if it ended instead.
    fn is_ready(&mut self) -> bool {
        let log = self.process.stdout.take().unwrap();
        let mut lines = BufReader::new(log).lines().map_while(Result::ok);
        let is_ready = lines.any(|line| line.contains("Ready to accept connections"));
        // without a reader, the server would block once the pipe is full
        std::thread::spawn(move || lines.for_each(drop));
        is_ready
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(port: u16, arguments: &[String], folder: &TempDir) -> Option<Child> {
    let spawned = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no"])
        .args(
            arguments
                .iter()
                .map(|text| text.replace("{port}", &port.to_string())),
        )
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    match spawned {
        Ok(process) => Some(process),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let is_required = env::var("WARP_BEARER_REDIS").is_ok_and(|text| text == "required");
            assert!(!is_required, "there is no redis-server");
            println!("skipped: there is no redis-server");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// What the proxy does with replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replies {
    Pass,
    /// Holds them until another mode is set.
    Hold,
    /// Forwards each of them after this time.
    Late(Duration),
    /// Forwards this many bytes of the next reply, then closes the connection.
    CutAfter(usize),
}

/// A proxy between a server and its clients. Dropping it stops the proxy.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    server: watch::Sender<SocketAddr>,
    replies: watch::Sender<Replies>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub async fn start(server: SocketAddr) -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        let replies = watch::Sender::new(Replies::Pass);
        let server = watch::Sender::new(server);
        let (mode, target) = (replies.clone(), server.clone());
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(pass(client, target.subscribe(), mode.subscribe()));
            }
        });
        Self {
            address,
            server,
            replies,
            task,
        }
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    pub fn set(&self, replies: Replies) {
        self.replies.send_replace(replies);
    }

    /// Closes all connections. The next ones go to another server.
    pub fn fail_over(&self, server: SocketAddr) {
        self.server.send_replace(server);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(
    client: TcpStream,
    mut target: watch::Receiver<SocketAddr>,
    mut mode: watch::Receiver<Replies>,
) {
    let address = *target.borrow_and_update();
    let Ok(server) = TcpStream::connect(address).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = async {
        tokio::io::copy(&mut from_client, &mut to_server)
            .await
            .map(drop)
    };
    let replies = async {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let read = from_server.read(&mut buffer).await?;
            if read == 0 {
                return Ok::<(), std::io::Error>(());
            }
            let now = *mode.wait_for(|mode| *mode != Replies::Hold).await.unwrap();
            match now {
                Replies::CutAfter(bytes) => {
                    return to_client.write_all(&buffer[..bytes.min(read)]).await;
                }
                Replies::Late(time) => sleep(time).await,
                Replies::Pass | Replies::Hold => {}
            }
            to_client.write_all(&buffer[..read]).await?;
        }
    };
    // when one direction ends, both sockets are closed
    tokio::select! {
        _ = requests => {}
        _ = replies => {}
        _ = target.changed() => {}
    }
}
