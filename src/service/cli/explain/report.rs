//! Formats an explanation as text and as JSON.

use serde_json::{Value, json};

use crate::{
    auth::{
        AuthError,
        explain::{Step, StepValue},
    },
    service::{
        api::errors::Cause,
        cli::{
            explain::explanation::{Explanation, RouteVerdict, status_and_code},
            terminal::{Mark, Terminal},
            time_format,
        },
    },
};

/// The length of the longest name of a step.
const WIDTH: usize = 13;

impl Explanation {
    /// Formats the explanation as text: the steps, the verdict and the remedy.
    pub(in crate::service) fn text(&self, terminal: Terminal) -> String {
        let mut lines = vec![String::new()];
        lines.extend(self.notes.iter().map(|note| format!("{note}\n")));
        for step in &self.trace.steps {
            lines.push(self.step_line(step, terminal));
        }
        lines.push(String::new());
        match &self.refusal {
            None => {
                let accepted = terminal.strong(Mark::Good, "Accepted: the token is good.");
                lines.push(accepted);
                lines.extend(self.routes.iter().map(|route| route_line(route, terminal)));
            }
            Some((error, cause)) => {
                let refused = format!("Refused: {}.", status_and_code(*error));
                let refused = terminal.strong(Mark::Bad, &refused);
                lines.push(format!("{refused} {}", error.detail()));
                lines.extend(self.facts.iter().map(|fact| Terminal::clean(fact)));
                lines.extend(remedy(cause, terminal));
            }
        }
        if let Some((_, cause)) = self.first_route() {
            lines.extend(remedy(cause, terminal));
        }
        lines.push(String::new());
        lines.join("\n")
    }

    /// Formats the explanation as JSON.
    pub(in crate::service) fn json(&self) -> Value {
        let refusal = self.refusal.as_ref();
        let advice = refusal.or(self.first_route()).map(|(_, cause)| cause);
        let steps = self.trace.steps.iter().map(|step| {
            json!({
                "step": step.name,
                "holds": step.outcome.is_ok(),
                "expected": self.words(&step.expected),
                "found": self.words(&step.found),
                "code": step.outcome.err().map(AuthError::code),
            })
        });
        let routes = self.routes.iter().map(|route| {
            json!({
                "route": route.route,
                "status": route.refusal.map_or(200, |(error, _)| error.status().as_u16()),
                "code": route.refusal.map(|(error, _)| error.code()),
            })
        });
        json!({
            "accepted": self.is_accepted(),
            "status": refusal.map_or(200, |(error, _)| error.status().as_u16()),
            "code": refusal.map(|(error, _)| error.code()),
            "detail": refusal.map(|(error, _)| error.detail()),
            "cause": advice.map(|cause| cause.what),
            "mend": advice.map(|cause| cause.mend),
            "facts": self.facts,
            "notes": self.notes,
            "steps": steps.collect::<Vec<_>>(),
            "routes": routes.collect::<Vec<_>>(),
            "header": self.trace.header,
            "claims": self.trace.payload,
        })
    }

    /// Returns the refusal of the first route that rejects the token.
    fn first_route(&self) -> Option<&(AuthError, Cause)> {
        self.routes.iter().find_map(|route| route.refusal.as_ref())
    }

    fn step_line(&self, step: &Step, terminal: Terminal) -> String {
        let (expected, found) = (self.words(&step.expected), self.words(&step.found));
        let more = if step.outcome.is_ok() && expected == found {
            String::new()
        } else {
            format!("expected: {expected}")
        };
        terminal.line(mark(step.outcome.is_ok()), step.name, WIDTH, &found, &more)
    }

    fn words(&self, value: &StepValue) -> String {
        match value {
            StepValue::Words(words) => words.clone(),
            StepValue::Date(date) => time_format::both(*date, self.now),
            StepValue::After(date, leeway) => {
                format!("after {}", time_format::both(date - leeway, self.now))
            }
            StepValue::Before(date, leeway) => {
                format!("not after {}", time_format::both(date + leeway, self.now))
            }
        }
    }
}

fn mark(holds: bool) -> Mark {
    if holds { Mark::Good } else { Mark::Bad }
}

fn route_line(route: &RouteVerdict, terminal: Terminal) -> String {
    let answer = match (&route.refusal, &route.needs) {
        (None, _) => "200".to_owned(),
        (Some((error, _)), Some(needs)) => format!("{}, it needs {needs}", status_and_code(*error)),
        (Some((error, _)), None) => status_and_code(*error),
    };
    let text = format!("{}: {answer}", route.route);
    terminal.line(mark(route.refusal.is_none()), "", 0, &text, "")
}

fn remedy(cause: &Cause, terminal: Terminal) -> [String; 2] {
    [
        cause.what.to_owned(),
        format!(
            "{} {}",
            terminal.strong(Mark::Note, "To mend it:"),
            cause.mend
        ),
    ]
}
