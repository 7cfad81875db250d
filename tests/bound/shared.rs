//! Two processes of the service share one Redis.

use std::time::{Duration, Instant};

use tokio::{task::JoinSet, time::sleep};
use warp_bearer::{
    auth::Algorithm,
    issuer::{Issuer, SigningKey},
};

use crate::{
    PRIVATE, PUBLIC_URL,
    support::{Answer, process::Process, raw::Client, redis::RedisServer},
};

const USES: usize = 200;
/// The number of proofs. The store's own tests use a hundred.
const ROUNDS: usize = 30;

struct Replicas {
    issuer: Issuer,
    key: SigningKey,
    addresses: [std::net::SocketAddr; 2],
    _processes: [Process; 2],
}

impl Replicas {
    async fn start(store: &str) -> Self {
        Self::trusting(store, None).await
    }

    /// Starts the processes with a CA file for TLS to the store.
    async fn trusting(store: &str, authorities: Option<&str>) -> Self {
        let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
        let processes = [(); 2].map(|()| {
            let mut vars = vec![
                ("AUTH0_ISSUER", issuer.url()),
                ("AUTH0_API_AUDIENCE", issuer.audience()),
                ("AUTH0_ALGORITHMS", "ES256"),
                ("PUBLIC_URL", PUBLIC_URL),
                ("AUTH0_DPOP", "required"),
                ("STATE_STORE", store),
                // 100 ms (the default) is too short for two hundred requests at once on a busy
                // machine
                ("STATE_STORE_TIMEOUT", "1s"),
                ("LISTEN", "127.0.0.1:0"),
            ];
            vars.extend(authorities.map(|path| ("SSL_CERT_FILE", path)));
            Process::start(&["serve"], &vars)
        });
        let mut processes = processes;
        let addresses = processes.each_mut().map(|process| {
            let log = process.logged(|line| line.contains("listening address="));
            let address = log.last().unwrap().split("address=").nth(1).unwrap();
            address.trim().parse().unwrap()
        });
        Self {
            issuer,
            key: SigningKey::generate(Algorithm::ES256),
            addresses,
            _processes: processes,
        }
    }

    fn token(&self) -> String {
        self.issuer.token().bound_to(&self.key).sign()
    }

    fn lines(&self, token: &str) -> String {
        let proof = self.key.proof("GET", PRIVATE).token(token).sign();
        format!("Authorization: DPoP {token}\r\nDPoP: {proof}\r\n")
    }

    /// Sends new proofs to a replica until one is accepted, and returns how long that took.
    async fn recovered(&self, replica: usize, token: &str) -> Duration {
        let begin = Instant::now();
        let mut client = Client::to(self.addresses[replica]).await;
        loop {
            let answer = client.with_lines(self.lines(token).as_bytes()).await;
            if answer.status == 200 {
                return begin.elapsed();
            }
            assert!(begin.elapsed() < Duration::from_secs(20), "{answer:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn readiness(&self) -> Answer {
        let mut client = Client::to(self.addresses[0]).await;
        client
            .ask(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepts_a_proof_once_across_two_replicas() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let replicas = Replicas::start(&server.url()).await;
    let token = replicas.token();
    for replica in [0, 1] {
        replicas.recovered(replica, &token).await;
    }
    let mut clients = Vec::new();
    for number in 0..USES {
        clients.push(Client::to(replicas.addresses[number % 2]).await);
    }
    for round in 0..ROUNDS {
        let lines = replicas.lines(&token);
        let mut uses = JoinSet::new();
        for mut client in clients.drain(..) {
            let lines = lines.clone();
            uses.spawn(async move { (client.with_lines(lines.as_bytes()).await, client) });
        }
        let mut accepted = 0;
        for (answer, client) in uses.join_all().await {
            if answer.status == 200 {
                accepted += 1;
            } else {
                assert_eq!(answer.code(), "proof_replayed", "{answer:?}");
            }
            clients.push(client);
        }
        assert_eq!(accepted, 1, "round {round}");
    }
}

#[tokio::test]
async fn answers_503_while_the_store_is_down_and_recovers_after_it() {
    let Some(mut server) = RedisServer::start() else {
        return;
    };
    server.kill();
    let replicas = Replicas::start(&server.url()).await;
    let token = replicas.token();
    let mut client = Client::to(replicas.addresses[0]).await;
    let answer = client.with_lines(replicas.lines(&token).as_bytes()).await;
    answer.assert_is_problem("never reached", 503, "state_unavailable");
    let ready = replicas.readiness().await;
    assert_eq!(ready.status, 503, "{ready:?}");
    assert_eq!(ready.json()["state_store"]["ok"], false);

    server.restart();
    replicas.recovered(0, &token).await;
    let used = replicas.lines(&token);
    assert_eq!(client.with_lines(used.as_bytes()).await.status, 200);
    let ready = replicas.readiness().await;
    assert_eq!(ready.status, 200, "{ready:?}");
    assert_eq!(ready.json()["state_store"]["ok"], true);

    server.kill();
    let answer = client.with_lines(replicas.lines(&token).as_bytes()).await;
    answer.assert_is_problem("down", 503, "state_unavailable");
    let ready = replicas.readiness().await;
    assert_eq!(
        ready.status, 200,
        "the store was reached before, so the service stays ready: {ready:?}"
    );
    server.restart();
    // `iat` has whole seconds, so a proof is accepted only from the next second on
    let waited = replicas.recovered(1, &token).await;
    assert!(waited < Duration::from_secs(3), "{waited:?}");
    let mut other = Client::to(replicas.addresses[1]).await;
    let answer = other.with_lines(used.as_bytes()).await;
    answer.assert_is_problem("issued before the store started", 503, "state_unavailable");
    let answer = client.with_lines(used.as_bytes()).await;
    assert_eq!(answer.code(), "proof_replayed", "{answer:?}");
}

/// Redis with TLS, a private CA, and a user that has only the permissions in docs/production.md.
#[tokio::test]
async fn shares_proofs_over_tls_as_a_restricted_user() {
    const RIGHTS: &str = "~warp-bearer:* &warp-bearer:* +set +get +zadd +zscan +zremrangebyscore \
                          +publish +subscribe +hello +select +client +time +info";
    let mut arguments = vec![
        "--user",
        "default",
        "off",
        "--user",
        "api",
        "on",
        ">p@ss/word",
    ];
    arguments.extend(RIGHTS.split_whitespace());
    let Some(server) = RedisServer::start_with_tls(&arguments) else {
        return;
    };
    let authority = server.authority();
    let url = server.tls_url("api:p%40ss%2Fword");
    let replicas = Replicas::trusting(&url, authority.to_str()).await;
    let token = replicas.token();
    for replica in [0, 1] {
        replicas.recovered(replica, &token).await;
    }
    let used = replicas.lines(&token);
    for (replica, status) in [(0, 200), (1, 401), (0, 401)] {
        let mut client = Client::to(replicas.addresses[replica]).await;
        let answer = client.with_lines(used.as_bytes()).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    // Without the CA, the handshake fails. No request is accepted, and nothing is sent.
    let strangers = Replicas::start(&url).await;
    let token = strangers.token();
    let mut client = Client::to(strangers.addresses[0]).await;
    let answer = client.with_lines(strangers.lines(&token).as_bytes()).await;
    answer.assert_is_problem("an unknown authority", 503, "state_unavailable");
}
