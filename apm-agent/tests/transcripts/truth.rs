//! Compares the exchanges of a disturbed replay with those of the whole one: less may be known, nothing may be wrong.

use apm_agent::exchange::{Command, Ending, Exchange, Http, Payload, Sql};

/// Every exchange that claims anything must agree with one exchange of the whole replay, and two with two.
///
/// Serials are not compared: a conversation joined late counts from 0.
pub fn check(found: &[&Exchange], whole: &[&Exchange]) -> Result<(), String> {
    let mut free: Vec<&&Exchange> = whole.iter().collect();
    for exchange in found {
        if claims_a_lost_answer(exchange) {
            return Err(format!("its answer was lost, yet it claims one: {exchange:#?}"));
        }
        if claims_nothing(exchange) {
            continue;
        }
        // Both lists are in order of completion, and times make candidates unique, so the first that agrees is the one.
        match free.iter().position(|candidate| agrees(exchange, candidate)) {
            Some(place) => drop(free.remove(place)),
            None => return Err(format!("no exchange of the whole replay agrees with {exchange:#?}")),
        }
    }
    Ok(())
}

fn claims_nothing(exchange: &Exchange) -> bool {
    let complete = exchange.ending == Ending::Complete;
    let empty = match &exchange.payload {
        Payload::Http(http) => http.method.is_empty() && http.status.is_none(),
        Payload::Sql(sql) => sql.statement.is_none() && sql.error.is_none() && sql.rows_affected.is_none(),
        Payload::Command(command) => command.name.is_empty() && command.error.is_none(),
    };
    empty && !complete
}

/// Whose answer was lost may have a statement, never rows or an error.
fn claims_a_lost_answer(exchange: &Exchange) -> bool {
    match &exchange.payload {
        Payload::Sql(sql) => exchange.ending == Ending::Lost && (sql.rows_affected.is_some() || sql.error.is_some()),
        Payload::Command(command) => exchange.ending == Ending::Lost && command.error.is_some(),
        Payload::Http(_) => false,
    }
}

fn agrees(found: &Exchange, whole: &Exchange) -> bool {
    let complete = found.ending == Ending::Complete;
    let times = known(&found.request_end, &whole.request_end) && known(&found.response_start, &whole.response_start);
    let ends = found.opened == whole.opened && found.closed == whole.closed;
    let payload = match (&found.payload, &whole.payload) {
        (Payload::Http(found), Payload::Http(whole)) => http_agrees(found, whole, complete),
        (Payload::Sql(found), Payload::Sql(whole)) => sql_agrees(found, whole, complete),
        (Payload::Command(found), Payload::Command(whole)) => command_agrees(found, whole, complete),
        _ => false,
    };
    times && payload && (!complete || ends)
}

fn http_agrees(found: &Http, whole: &Http, complete: bool) -> bool {
    let request = found.method.is_empty() && !complete
        || found.method == whole.method
            && found.target == whole.target
            && found.version == whole.version
            && found.headers == whole.headers
            && found.has_request_body == whole.has_request_body;
    let response = found.status.is_none() && !complete
        || found.status == whole.status && found.response_headers == whole.response_headers;
    let body = known(&found.response_body_bytes, &whole.response_body_bytes);
    request && response && body && (!complete || found.upgraded == whole.upgraded)
}

fn sql_agrees(found: &Sql, whole: &Sql, complete: bool) -> bool {
    let statement = match (&found.statement, &whole.statement) {
        (None, _) => true,
        (Some(found_text), Some(text)) => {
            found_text == text || found.statement_cut && text.starts_with(found_text.as_str())
        }
        (Some(_), None) => false,
    };
    let session = known(&found.database, &whole.database) && known(&found.user, &whole.user);
    let answer = known(&found.rows_affected, &whole.rows_affected)
        && if complete { found.error == whole.error } else { known(&found.error, &whole.error) };
    found.system == whole.system && found.operation == whole.operation && statement && session && answer
}

fn command_agrees(found: &Command, whole: &Command, complete: bool) -> bool {
    let name = found.name == whole.name || found.name.is_empty() && !complete;
    let answer = if complete { found.error == whole.error } else { known(&found.error, &whole.error) };
    let subject = known(&found.database, &whole.database) && known(&found.collection, &whole.collection);
    let statement = match (&found.statement, &whole.statement) {
        (Some(text), Some(all)) => text == all || found.statement_cut && all.starts_with(text.as_str()),
        (found, _) => found.is_none(),
    };
    found.system == whole.system && name && answer && subject && statement
}

/// What is known is right.
fn known<T: PartialEq>(found: &Option<T>, whole: &Option<T>) -> bool {
    found.is_none() || found == whole
}
