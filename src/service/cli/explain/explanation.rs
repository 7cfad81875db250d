//! [`Explanation`]: the verdict on a token, the steps that lead to it, and the cause of a refusal.
//!
//! [`Auth::verify`] makes the verdict. This file only explains it. The only request is the one for
//! the keys of a configured issuer, never one to an address from the token.

use crate::{
    auth::{
        Auth, AuthError, Claims,
        explain::{StepValue, Trace},
        explain_proof::ProofOfRequest,
        policy::Policy,
    },
    service::{
        api::{errors::Cause, route::Access, routes::rows},
        cli::{
            explain::{
                diagnosis::{self, Diagnosis},
                pasted::Pasted,
            },
            time_format,
        },
    },
};

/// The explanation of one token.
#[derive(Debug)]
pub(in crate::service) struct Explanation {
    /// Notes about what was removed from the pasted text.
    pub(super) notes: Vec<&'static str>,
    pub(super) trace: Trace,
    /// The error and its likely cause. `None` if the token is accepted.
    pub(super) refusal: Option<(AuthError, Cause)>,
    pub(super) facts: Vec<String>,
    pub(super) routes: Vec<RouteVerdict>,
    pub(super) now: f64,
}

/// The response of one route of the service to an accepted token.
#[derive(Debug)]
pub(super) struct RouteVerdict {
    pub(super) route: String,
    pub(super) needs: Option<String>,
    pub(super) refusal: Option<(AuthError, Cause)>,
}

/// The seconds by which the clock of this machine is ahead of the issuer's.
#[derive(Debug, Clone)]
pub(in crate::service) struct Skew {
    pub(in crate::service) issuer: String,
    pub(in crate::service) seconds: f64,
}

/// The grants that the options require of the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::service) struct Wanted {
    pub(in crate::service) words: String,
    pub(in crate::service) policy: Policy,
}

/// Explains a token to the service that grants this `access`. Calls `skew` if a date is the reason
/// of a refusal.
pub(in crate::service) async fn explain(
    access: &Access,
    pasted: Pasted,
    proof: Option<ProofOfRequest>,
    wanted: Option<Wanted>,
    skew: impl AsyncFnOnce() -> Option<Skew>,
) -> Explanation {
    let auth = &access.auth;
    auth.settled().await;
    let (mut trace, verdict) = match &proof {
        Some(proof) => auth.trace_with_proof(&pasted.token, proof).await,
        None => auth.trace(&pasted.token).await,
    };
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
            let is_about_time =
                matches!(error, AuthError::TokenExpired | AuthError::TokenNotYetValid)
                    || explanation
                        .trace
                        .step("proof iat")
                        .is_some_and(|step| step.outcome.is_err());
            let skew = if is_about_time { skew().await } else { None };
            let diagnosis = Diagnosis {
                token: &pasted.token,
                trace: &explanation.trace,
                auth,
                skew: skew.as_ref().map(|skew| skew.seconds),
            };
            explanation.refusal = Some((error, diagnosis.cause(error)));
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

/// Adds the step that compares the grants of the token with `wanted`. Returns the refusal if they
/// do not suffice.
fn grant(claims: &Claims, wanted: Wanted, trace: &mut Trace) -> Option<(AuthError, Cause)> {
    let verdict = wanted.policy.check(claims);
    let found = ["scope", "permissions"].map(|name| format!("{name} {}", trace.claimed(name)));
    let outcome = verdict.as_ref().map_err(|unmet| unmet.error);
    trace.add("grants", wanted.words, found.join(", "), outcome);
    let unmet = verdict.err()?;
    let cause = diagnosis::of_policy(unmet.error, unmet.scopes.as_deref(), &trace.payload);
    Some((unmet.error, cause))
}

/// Returns sentences about facts that the steps do not show.
fn facts(auth: &Auth, error: AuthError, trace: &Trace, skew: Option<Skew>) -> Vec<String> {
    let mut facts = Vec::new();
    let now = auth.time();
    let failed = trace.steps.iter().find(|step| step.outcome.is_err());
    if let (AuthError::TokenExpired, Some((name, StepValue::Date(date)))) =
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
        let errors = status.filter_map(|one| Some(format!("{}: {}.", one.issuer, one.last_error?)));
        facts.extend(errors);
    }
    facts
}

/// Returns the responses of the service's own routes.
fn routes(access: &Access, claims: &Claims, trace: &Trace) -> Vec<RouteVerdict> {
    let rows = rows(access, || false);
    let protected = rows.into_iter().filter_map(|row| {
        let policy = row.requires?.policy;
        let verdict = policy.as_ref();
        let verdict = verdict.map_or(Ok(()), |policy| policy.check(claims));
        Some(RouteVerdict {
            route: format!("{} {}", row.methods, row.template),
            needs: policy.as_ref().and_then(Policy::scopes),
            refusal: verdict.err().map(|unmet| {
                let scopes = unmet.scopes.as_deref();
                let cause = diagnosis::of_policy(unmet.error, scopes, &trace.payload);
                (unmet.error, cause)
            }),
        })
    });
    protected.collect()
}

/// Formats the status and the code of a response.
pub(super) fn status_and_code(error: AuthError) -> String {
    format!("{} {}", error.status().as_u16(), error.code())
}
