//! Why is this token refused? The verdict of the library, the steps that lead to it, and how what
//! is wrong is mended where it was made.
//!
//! The verdict is [`Auth::verify`]'s and is never formed here. The token goes nowhere: the issuer is
//! asked for its keys as ever, and what the token says of itself is looked up at nobody's.

pub(super) mod command;
mod diagnosis;
mod pasted;
mod report;

pub(in crate::service) use self::pasted::Pasted;
use crate::{
    auth::{
        Auth, AuthError, Claims,
        explain::{Told, Trace},
        policy::{Policy, Requirement},
    },
    service::{
        api::{errors::Cause, route::Access, routes::rows},
        cli::{explain::diagnosis::Evidence, time_format},
    },
};

/// What there is to say about a token.
#[derive(Debug)]
pub(in crate::service) struct Explanation {
    /// What was taken off what was pasted.
    notes: Vec<&'static str>,
    trace: Trace,
    /// Why it is refused; none where it is accepted.
    refusal: Option<(AuthError, Cause)>,
    facts: Vec<String>,
    routes: Vec<RouteVerdict>,
    now: f64,
}

/// What a route of the service would answer to an accepted token.
#[derive(Debug)]
struct RouteVerdict {
    route: String,
    needs: Option<String>,
    refusal: Option<(AuthError, Cause)>,
}

/// How far the clock of this machine is ahead of an issuer's, in seconds.
#[derive(Debug, Clone)]
pub(in crate::service) struct Skew {
    pub(in crate::service) issuer: String,
    pub(in crate::service) seconds: f64,
}

/// What the token is asked to grant, beside being good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::service) struct Wanted {
    pub(in crate::service) words: String,
    pub(in crate::service) policy: Policy,
}

/// Explains a token to the service that grants this `access`. `skew` is asked where a date is what is wrong.
pub(in crate::service) async fn explain(
    access: &Access,
    pasted: Pasted,
    wanted: Option<Wanted>,
    skew: impl AsyncFnOnce() -> Option<Skew>,
) -> Explanation {
    let auth = &access.auth;
    auth.settled().await;
    let (mut trace, verdict) = auth.judge(&pasted.token).await;
    let granted = match (&verdict, wanted) {
        (Ok(claims), Some(wanted)) => grant(claims, wanted, &mut trace),
        _ => None,
    };
    let mut explanation = Explanation {
        notes: pasted.notes,
        refusal: granted,
        facts: Vec::new(),
        routes: Vec::new(),
        now: auth.time(),
        trace,
    };
    match verdict {
        Ok(claims) if explanation.is_accepted() => {
            explanation.routes = routes(access, &claims, &explanation.trace);
        }
        Ok(_) => {}
        Err(error) => {
            let of_time = matches!(error, AuthError::TokenExpired | AuthError::TokenNotYetValid);
            let skew = if of_time { skew().await } else { None };
            let evidence = Evidence {
                token: &pasted.token,
                trace: &explanation.trace,
                auth,
                skew: skew.as_ref().map(|skew| skew.seconds),
            };
            explanation.refusal = Some((error, evidence.cause(error)));
            explanation.facts = facts(auth, error, &explanation.trace, skew);
        }
    }
    explanation
}

impl Explanation {
    pub(in crate::service) fn is_accepted(&self) -> bool {
        self.refusal.is_none()
    }
}

/// One step more: what the token grants. Why that is too little, where it is.
fn grant(claims: &Claims, wanted: Wanted, trace: &mut Trace) -> Option<(AuthError, Cause)> {
    let verdict = Requirement::from(wanted.policy).check(claims);
    let found = ["scope", "permissions"].map(|name| format!("{name} {}", trace.claimed(name)));
    let outcome = verdict.as_ref().map_err(|(error, _)| *error);
    trace.add("grants", wanted.words, found.join(", "), outcome);
    let (error, scope) = verdict.err()?;
    let cause = diagnosis::of_policy(error, scope.as_deref(), &trace.payload);
    Some((error, cause))
}

/// What is worth a sentence beside the steps.
fn facts(auth: &Auth, error: AuthError, trace: &Trace, skew: Option<Skew>) -> Vec<String> {
    let mut facts = Vec::new();
    let now = auth.time();
    let failed = trace.steps.iter().find(|step| step.outcome.is_err());
    if let (AuthError::TokenExpired, Some((name, Told::Date(date)))) =
        (error, failed.map(|step| (step.name, &step.found)))
    {
        let happened = if name == "age" {
            "was issued"
        } else {
            "expired"
        };
        facts.push(format!(
            "It {happened} {}.",
            time_format::relative(date - now)
        ));
    }
    if let Some(Skew { issuer, seconds }) = skew {
        facts.push(format!(
            "This machine's clock is {} that of {issuer}.",
            time_format::ahead(seconds)
        ));
    }
    if matches!(error, AuthError::KeysUnavailable { .. }) {
        let status = auth.status().into_iter();
        let told = status.filter_map(|one| Some(format!("{}: {}.", one.issuer, one.last_error?)));
        facts.extend(told);
    }
    facts
}

/// What the service's own routes would say.
fn routes(access: &Access, claims: &Claims, trace: &Trace) -> Vec<RouteVerdict> {
    let rows = rows(access, || false);
    let protected = rows.into_iter().filter_map(|row| {
        let policy = row.requires?.policy;
        let verdict = policy
            .clone()
            .map_or(Ok(()), |policy| Requirement::from(policy).check(claims));
        Some(RouteVerdict {
            route: format!("{} {}", row.methods, row.template),
            needs: policy.as_ref().and_then(Policy::scopes),
            refusal: verdict.err().map(|(error, scope)| {
                let cause = diagnosis::of_policy(error, scope.as_deref(), &trace.payload);
                (error, cause)
            }),
        })
    });
    protected.collect()
}

/// The status and the code of an answer, as one text.
fn told(error: AuthError) -> String {
    format!("{} {}", error.status().as_u16(), error.code())
}
