//! Exports: ordered, looked after, fetched and cancelled; they are the ones of the page.

use super::super::Response;
use super::super::response::Content;
use super::problem::Problem;
use super::search::QUERY_BYTES_MAX;
use super::{Call, json};
use crate::export::{Job, JobFormat, JobState, JobTrouble, NotBegun, Order, Owner};
use serde::Deserialize;
use serde_json::{Value, json as value};

/// 5,000 numbers an order: more do not fit into a request's body of 64 KiB.
const NUMBERS_MAX: usize = 5_000;

/// 5 seconds until a program should ask again for what is being made.
const SOON_S: u64 = 5;

/// What a program orders.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    query: String,
    #[serde(default)]
    numbers: Option<Vec<u64>>,
    format: String,
}

impl Call<'_> {
    fn owner(&self) -> Owner {
        Owner {
            account: self.access.account,
            asker: self.access.asker.clone(),
            token: self.token,
            peer: self.peer.clone(),
        }
    }
}

/// Lists the exports of the token's person.
pub(super) fn list(call: &Call<'_>) -> Result<Response, Problem> {
    let jobs = call.site.exports.list(&call.owner());
    let jobs: Vec<_> = jobs.iter().map(object).collect();
    Ok(json(200, &value!({ "exports": jobs })))
}

/// Begins one.
pub(super) fn begin(call: &Call<'_>) -> Result<Response, Problem> {
    let order = order(call)?;
    let owner = call.owner();
    let id = call.site.exports.begin(owner.clone(), order);
    let id = id.map_err(not_begun)?;
    let job = call.site.exports.job(&owner, &id);
    let job = job.ok_or_else(Problem::not_found)?;
    Ok(json(202, &object(&job)).with("Location", format!("/api/v1/exports/{id}")))
}

fn order(call: &Call<'_>) -> Result<Order, Problem> {
    let media_type = call.request.field("content-type").unwrap_or_default();
    let bare = media_type.split(';').next().unwrap_or_default().trim();
    if !bare.eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(415, "the body is to be application/json"));
    }
    let wish: Wish = serde_json::from_slice(&call.request.body)
        .map_err(|error| Problem::new(400, format!("the body cannot be read: {error}")))?;
    let numbers = wish.numbers.as_ref();
    if numbers.is_some_and(|numbers| numbers.is_empty() || numbers.len() > NUMBERS_MAX) {
        let text = format!("numbers are from 1 to {NUMBERS_MAX}");
        return Err(Problem::new(422, text));
    }
    if wish.query.len() > QUERY_BYTES_MAX {
        return Err(Problem::new(422, "the query is too long"));
    }
    let format = JobFormat::from_name(&wish.format);
    let format = format.ok_or_else(|| Problem::new(422, "the format is zip or mbox"))?;
    Ok(Order {
        query: wish.query,
        numbers: wish.numbers,
        format,
    })
}

fn not_begun(why: NotBegun) -> Problem {
    match why {
        NotBegun::Query => Problem::new(422, why.to_string()),
        NotBegun::Busy => Problem::new(429, why.to_string()).retry_after(60),
    }
}

/// Tells how far one is.
pub(super) fn show(call: &Call<'_>) -> Result<Response, Problem> {
    let job = call.site.exports.job(&call.owner(), call.value);
    Ok(json(200, &object(&job.ok_or_else(Problem::not_found)?)))
}

/// Hands its file out.
pub(super) fn file(call: &Call<'_>) -> Result<Response, Problem> {
    let job = call.site.exports.job(&call.owner(), call.value);
    match job.ok_or_else(Problem::not_found)?.state {
        JobState::Done { .. } => {}
        JobState::BrokenOff(trouble) => return Err(Problem::new(409, why(trouble))),
        JobState::Waiting | JobState::Running { .. } => {
            return Err(Problem::new(409, "it is not finished yet").retry_after(SOON_S));
        }
    }
    let (body, name) = call.site.exports.fetch(&call.owner(), call.value)?;
    let response = Response::new(200, "application/octet-stream", &b""[..]).with(
        "Content-Disposition",
        format!("attachment; filename=\"{name}\""),
    );
    let mut response = response.with("ETag", format!("\"{name}\""));
    response.content = Content::Body(body);
    Ok(response)
}

/// Ends it, or removes its file.
pub(super) fn cancel(call: &Call<'_>) -> Result<Response, Problem> {
    if !call.site.exports.cancel(&call.owner(), call.value) {
        return Err(Problem::not_found());
    }
    show(call)
}

fn object(job: &Job) -> Value {
    let mut object = value!({
        "id": job.id,
        "query": job.order.query,
        "format": job.order.format.name(),
        "state": state(&job.state),
    });
    match &job.state {
        JobState::Running { done, total } => {
            object["done"] = value!(done);
            object["total"] = value!(total);
        }
        JobState::Done {
            messages,
            left_out,
            file_bytes,
        } => {
            object["messages"] = value!(messages);
            object["left_out"] = value!(left_out);
            object["file_bytes"] = value!(file_bytes);
        }
        JobState::BrokenOff(trouble) => object["why"] = value!(why(*trouble)),
        JobState::Waiting => {}
    }
    object
}

fn state(state: &JobState) -> &'static str {
    match state {
        JobState::Waiting => "waiting",
        JobState::Running { .. } => "running",
        JobState::Done { .. } => "done",
        JobState::BrokenOff(_) => "broken off",
    }
}

fn why(trouble: JobTrouble) -> &'static str {
    match trouble {
        JobTrouble::Cancelled => "cancelled, or the file was removed",
        JobTrouble::TooMany => "too many messages for one export",
        JobTrouble::TooLarge => "too much mail for one export",
        JobTrouble::NoRoom => "the disk has no room for it",
        JobTrouble::SignedOut => "the token or session ended, or may no longer do this",
        JobTrouble::Failed => "the archive failed",
    }
}
