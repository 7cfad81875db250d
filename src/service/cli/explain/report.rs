//! An explanation, as text for people and as JSON for machines.

use serde_json::{Value, json};

use crate::{
    auth::{
        AuthError,
        explain::{Step, Told},
    },
    service::{
        api::errors::Cause,
        cli::{
            explain::{Explanation, RouteVerdict, told},
            terminal::{Mark, Screen},
            time_format,
        },
    },
};

/// Of the longest name of a step.
const WIDTH: usize = 13;

impl Explanation {
    /// For people: the verdict, the steps, and how it is mended.
    pub(in crate::service) fn text(&self, screen: Screen) -> String {
        let mut lines = vec![String::new()];
        lines.extend(self.notes.iter().map(|note| format!("{note}\n")));
        for step in &self.trace.steps {
            lines.push(self.step_line(step, screen));
        }
        lines.push(String::new());
        match &self.refusal {
            None => {
                let accepted = screen.strong(Mark::Good, "Accepted: the token is good.");
                lines.push(accepted);
                lines.extend(self.routes.iter().map(|route| route_line(route, screen)));
            }
            Some((error, cause)) => {
                let refused = format!("Refused: {}.", told(*error));
                let refused = screen.strong(Mark::Bad, &refused);
                lines.push(format!("{refused} {}", error.detail()));
                lines.extend(self.facts.iter().map(|fact| Screen::clean(fact)));
                lines.extend(mending(cause, screen));
            }
        }
        if let Some((_, cause)) = self.first_route() {
            lines.extend(mending(cause, screen));
        }
        lines.push(String::new());
        lines.join("\n")
    }

    /// What `--json` prints.
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

    /// The first of the routes that the token does not open.
    fn first_route(&self) -> Option<&(AuthError, Cause)> {
        self.routes.iter().find_map(|route| route.refusal.as_ref())
    }

    fn step_line(&self, step: &Step, screen: Screen) -> String {
        let (expected, found) = (self.words(&step.expected), self.words(&step.found));
        let more = if step.outcome.is_ok() && expected == found {
            String::new()
        } else {
            format!("expected: {expected}")
        };
        screen.line(mark(step.outcome.is_ok()), step.name, WIDTH, &found, &more)
    }

    fn words(&self, told: &Told) -> String {
        match told {
            Told::Words(words) => words.clone(),
            Told::Date(date) => time_format::both(*date, self.now),
            Told::After(date, leeway) => {
                format!("after {}", time_format::both(date - leeway, self.now))
            }
            Told::Before(date, leeway) => {
                format!("not after {}", time_format::both(date + leeway, self.now))
            }
        }
    }
}

fn mark(holds: bool) -> Mark {
    if holds { Mark::Good } else { Mark::Bad }
}

fn route_line(route: &RouteVerdict, screen: Screen) -> String {
    let answer = match (&route.refusal, &route.needs) {
        (None, _) => "200".to_owned(),
        (Some((error, _)), Some(needs)) => format!("{}, it needs {needs}", told(*error)),
        (Some((error, _)), None) => told(*error),
    };
    let text = format!("{}: {answer}", route.route);
    screen.line(mark(route.refusal.is_none()), "", 0, &text, "")
}

fn mending(cause: &Cause, screen: Screen) -> [String; 2] {
    [
        cause.what.to_owned(),
        format!(
            "{} {}",
            screen.strong(Mark::Note, "To mend it:"),
            cause.mend
        ),
    ]
}
