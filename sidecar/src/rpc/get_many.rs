//! `GetMany`: several keys, each with its own lease.
//!
//! A reply that grants a lease never waits for keys that are led elsewhere: those
//! are answered `LOADING`, and the caller settles its own and asks again. Two
//! callers that each lead what the other follows would otherwise wait for each
//! other until a lease runs out.
//!
//! Two steps: every key is looked up, which never blocks; then, only if no lease
//! was granted, what is led elsewhere is waited for together, until the deadline
//! or until a lease falls to this call.
//!
//! Cost: one look-up a key; one timer a key that waits.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use millpond_core::cache::lookup::{self, wait};
use millpond_core::cache::{Answer, Lease, Lookup, Pond, Waiter, Want};
use millpond_proto::v1;
use tonic::{Request, Status};

use super::cache::Cache;
use super::call::Reply;
use super::deadline::Patience;
use super::get::deadline;
use super::limits::{MAX_KEYS, MAX_MESSAGE_BYTES};
use super::tenants::{self, Need};
use super::{fields, reply, status};
use crate::telemetry::calls::Call;

pub(super) async fn get_many(
    cache: &Cache,
    call: &Call<'_>,
    request: Request<v1::GetManyRequest>,
) -> Result<Reply<v1::GetManyReply>, Status> {
    let pond = cache.pond();
    let patience = Patience::read(request.get_ref().wait_ms, request.metadata())?;
    let request = request.into_inner();
    let load = fields::load(request.load)?;
    fields::count("keys", request.keys.len(), MAX_KEYS)?;
    for (at, wanted) in request.keys.iter().enumerate() {
        millpond_core::cache::check_key(&wanted.key)
            .map_err(|error| status::bad_field_in("keys", at, error))?;
        let field = format_args!("keys[{at}].min_version");
        fields::min_version(pond, field, &wanted.min_version)?;
    }
    let access = cache.tenants.permit(&request.tenant, Need::Read)?;
    let scope = cache.scope(&request.tenant, &request.cache)?;
    let (asked, load) = (load, tenants::load(load, access));

    let want = Want {
        load,
        deadline: deadline(pond, load, patience.or(scope.policy().lease)),
        fresh_only: request.fresh_only,
        lease: request.lease_ms.map(fields::milliseconds),
    };
    let lookups = request
        .keys
        .iter()
        .map(|wanted| {
            cache.sampler.read(&scope, &wanted.key);
            pond.get(&scope, &wanted.key, want)
        })
        .collect();
    let timer = call.waiting(&cache.timer);
    let answers = answers(&timer, lookups);
    let answers = cache.while_allowed(&request.tenant, answers).await?;
    let obeyed = |answer| cache.tenants.obeyed(&request.tenant, asked, answer);
    let answers = answers
        .into_iter()
        .map(|answer| answer.map(obeyed).transpose());
    let answers: Vec<_> = answers.collect::<Result<_, _>>()?;
    for (wanted, answer) in request.keys.iter().zip(&answers) {
        if let Some(answer) = answer {
            call.answered(&scope, &wanted.key, answer);
        }
    }
    let mut leases = Vec::new();
    let entries = entries(pond, answers, &mut leases);
    Ok(Reply::read(v1::GetManyReply { entries }, leases))
}

/// One answer for each look-up; `None` for what is led elsewhere.
async fn answers(timer: &(impl lookup::Timer + Sync), lookups: Vec<Lookup>) -> Vec<Option<Answer>> {
    let mut following: Vec<(usize, Waiter)> = Vec::new();
    let mut leads = false;
    let mut answers: Vec<Option<Answer>> = Vec::with_capacity(lookups.len());
    for (at, lookup) in lookups.into_iter().enumerate() {
        answers.push(match lookup {
            Lookup::Answer(answer) => {
                leads |= answer.lease.is_some();
                Some(answer)
            }
            Lookup::Follow(waiter) => {
                following.push((at, waiter));
                None
            }
        });
    }
    if leads {
        return answers;
    }
    let mut loads: FuturesUnordered<_> = following
        .into_iter()
        .map(|(at, waiter)| async move { (at, wait(timer, waiter).await) })
        .collect();
    while let Some((at, answer)) = loads.next().await {
        // A leader went away and this call was promoted: now it leads.
        let leads = answer.lease.is_some();
        answers[at] = Some(answer);
        if leads {
            break;
        }
    }
    answers
}

/// As many answers as fit one message; the rest can be asked for again. One
/// always fits, so whoever asks again gets on.
fn entries(
    pond: &Pond,
    answers: Vec<Option<Answer>>,
    leases: &mut Vec<Lease>,
) -> Vec<v1::GetReply> {
    /// What an answer takes that says `LOADING` and nothing else.
    const LOADING_BYTES: usize = 32;
    let mut room = MAX_MESSAGE_BYTES - answers.len() * LOADING_BYTES;
    let mut first = true;
    answers
        .into_iter()
        .map(|answer| {
            let Some(answer) = answer else {
                return reply::loading(pond);
            };
            let size = reply::size(&answer);
            if size > room && !first {
                // A lease in it goes back with it.
                return reply::loading(pond);
            }
            first = false;
            room = room.saturating_sub(size);
            reply::reply(pond, answer, leases)
        })
        .collect()
}
