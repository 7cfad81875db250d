//! Trials about keys: made-up `kid`s, new keys, removed keys, and an issuer that fails.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use warp_bearer::{
    auth::Algorithm,
    issuer::{Fault, SigningKey},
};

use super::{
    Trial,
    subject::{Stage, Subject},
    table::{Cell, Group, Question},
};

const fn keys(text: &'static str) -> Question {
    Question {
        group: Group::Keys,
        text,
        says: "",
    }
}

/// The trials that wait longest come first. If they started last, they'd delay the end.
pub const TRIALS: &[Trial] = &[
    Trial {
        questions: &[
            keys("fetches for 1,000 tokens under a known `kid`"),
            keys("fetches for 1,000 made-up `kid`s"),
            keys("a new key is accepted, right after these fetches"),
        ],
        run: flood,
    },
    Trial {
        questions: &[keys("a new key is accepted, right after another fetch")],
        run: new_key,
    },
    Trial {
        questions: &[keys(
            "a key that replaces another under the same `kid` is accepted",
        )],
        run: replaced,
    },
    Trial {
        questions: &[keys("a removed key is rejected")],
        run: removed,
    },
    Trial {
        questions: &[keys(
            "the issuer does not answer: a valid token is accepted",
        )],
        run: |subject| past_time_to_live(subject, |stage| stage.issuer.hang()),
    },
    Trial {
        questions: &[keys("the issuer is down: a valid token is accepted")],
        run: |subject| past_time_to_live(subject, go_down),
    },
    Trial {
        questions: &[keys("the key set is empty: a valid token is accepted")],
        run: |subject| past_time_to_live(subject, |stage| stage.issuer.fail_jwks(Fault::EmptySet)),
    },
    Trial {
        questions: &[keys("the key set is not JSON: a valid token is accepted")],
        run: |subject| past_time_to_live(subject, |stage| stage.issuer.fail_jwks(Fault::NotJson)),
    },
    Trial {
        questions: &[
            keys("the issuer is down at the start: the server starts"),
            keys("… the answer to a valid token"),
            keys("… time until a valid token is accepted once the issuer is back"),
        ],
        run: down_at_the_start,
    },
];

/// The time to live of keys, in trials about what happens after it.
const TIME_TO_LIVE: Duration = Duration::from_secs(10);
/// How long to wait for a key with the default time to live.
const PATIENCE: Duration = Duration::from_secs(90);
const SOON: Duration = Duration::from_secs(40);

fn flood(subject: &Subject<'_>) -> Vec<Cell> {
    let key = another_key();
    let stage = subject.stage();
    stage.await_taken();
    let issuer = &stage.issuer;
    let fetches = |token: &dyn Fn(usize) -> String| {
        let tokens: Vec<_> = (0..1_000).map(token).collect();
        let before = issuer.requests().jwks;
        for token in &tokens {
            stage.status(token);
        }
        Cell::seen(issuer.requests().jwks - before)
    };
    let known = fetches(&|i| issuer.token().subject(format!("auth0|{i}")).sign());
    let made_up = fetches(&|i| issuer.token().kid(&format!("made-up-{i}")).sign());
    issuer.publish_key(&key);
    let new = seconds_until(PATIENCE, || takes(&stage, &key));
    vec![known, made_up, new]
}

/// Publishes a new key right after a fetch, when peers with a cooldown don't fetch again.
fn new_key(subject: &Subject<'_>) -> Vec<Cell> {
    let key = another_key();
    let stage = subject.stage();
    stage.await_taken();
    stage.issuer.publish_key(&key);
    vec![seconds_until(PATIENCE, || takes(&stage, &key))]
}

fn replaced(subject: &Subject<'_>) -> Vec<Cell> {
    let key = another_key();
    let stage = subject.stage();
    let key = key.with_kid(stage.issuer.key().kid());
    stage.await_taken();
    stage.issuer.publish(json!({ "keys": [key.public_jwk()] }));
    vec![seconds_until(PATIENCE, || takes(&stage, &key))]
}

/// Generating an RSA key takes a moment, so trials call this before the time that they measure.
fn another_key() -> SigningKey {
    SigningKey::generate(Algorithm::RS256)
}

/// A key counts as removed once both a seen and a new token are rejected.
fn removed(subject: &Subject<'_>) -> Vec<Cell> {
    let stage = subject.stage_with(|_| {}, Some(TIME_TO_LIVE));
    stage.await_taken();
    let old = stage.issuer.key();
    let token = || stage.issuer.token().key(&old).sign();
    let seen = token();
    stage.issuer.rotate();
    stage.issuer.retire();
    let refused = |token: &str| stage.status(token) != Some(200);
    vec![seconds_until(SOON, || refused(&seen) && refused(&token()))]
}

/// Sends five valid tokens under a known key, none seen before, well after the set's time to live
/// has passed.
fn past_time_to_live(subject: &Subject<'_>, fail: fn(&Stage<'_>)) -> Vec<Cell> {
    let stage = subject.stage_with(|_| {}, Some(TIME_TO_LIVE));
    stage.await_taken();
    fail(&stage);
    thread::sleep(TIME_TO_LIVE * 5 / 2);
    let statuses: Vec<_> = (0..5)
        .map(|i| {
            thread::sleep(Duration::from_secs(1));
            stage.status(&stage.issuer.token().subject(format!("auth0|{i}")).sign())
        })
        .collect();
    let taken = statuses.iter().filter(|status| **status == Some(200));
    vec![match taken.count() {
        5 => Cell::Yes,
        0 => Cell::taken(statuses[0]),
        some => Cell::seen(format!("{some} of 5")),
    }]
}

fn go_down(stage: &Stage<'_>) {
    stage.take_issuer_down();
}

fn down_at_the_start(subject: &Subject<'_>) -> Vec<Cell> {
    let issuer = subject.issuer();
    subject.take_down(&issuer);
    let Some(stage) = subject.begin(issuer, None) else {
        return vec![Cell::No, Cell::NotAsked, Cell::NotAsked];
    };
    let answered = match stage.status(&stage.issuer.token().sign()) {
        Some(status) => Cell::seen(status),
        None => Cell::seen("no answer"),
    };
    stage.bring_issuer_back();
    let back = seconds_until(PATIENCE, || takes(&stage, &stage.issuer.key()));
    vec![Cell::Yes, answered, back]
}

fn takes(stage: &Stage<'_>, key: &SigningKey) -> bool {
    stage.status(&stage.issuer.token().key(key).sign()) == Some(200)
}

fn seconds_until(patience: Duration, there: impl Fn() -> bool) -> Cell {
    let began = Instant::now();
    loop {
        if there() {
            return match began.elapsed() {
                soon if soon < Duration::from_secs(1) => Cell::seen("at once"),
                late => Cell::seen(format!("{:.0} s", late.as_secs_f64())),
            };
        }
        if began.elapsed() > patience {
            return Cell::seen(format!("> {} s", patience.as_secs()));
        }
        thread::sleep(Duration::from_millis(500));
    }
}
