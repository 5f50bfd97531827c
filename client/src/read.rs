//! A read that loads: the protocol of a client, written once.
//!
//! ```text
//!            found ──────────────────────────────► use it
//!              └── with a turn ── spawn: load, settle
//!  ask ──► a turn ── load here ── settle ─────────► use what was loaded
//!     ▲        │         └ failed ── settle ── ask for what is held ──► stale, or the error
//!     │        └ not modified ── settle ── ask for what is held ──► use it
//!     └───────────── gone meanwhile: once more, in full ──┘
//!          nothing ── load here, for this caller alone
//!          refused ── the error; no load
//! ```
//!
//! Invariants: a turn is settled, or dropped and thereby given up, on every way
//! out (return, panic of the loader, drop of the caller's future); a refused
//! caller never loads; a caller waits for no load but its own and the one it
//! follows.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use millpond_core::cache::{LoadBy, MAX_LOAD_ERROR_LEN, Source};

use crate::error::Error;
use crate::loaded::{Body, Context, Found, Loaded, Revalidated};
use crate::options::Options;
use crate::place::Place;
use crate::reply::{Fill, Reply, Settled, Turn};
use crate::value::{About, Told, Value};

/// What a loader that was asked without a validator must not say.
const NOTHING_TO_CONFIRM: &str = "the loader said not modified, and nothing was held to confirm";

/// What a turn came to.
enum Led<E> {
    Found(Option<Value>),
    Failed(E),
    /// Confirmed, or superseded without a value in hand: see what is held.
    Confirmed,
    Rejected(Error),
}

/// Answers from the cache, or through `load`. The key is checked.
pub(crate) async fn get_or_load<F, Fut, E>(
    place: &Place,
    key: &[u8],
    options: &Options,
    mut load: F,
) -> Result<Option<Value>, Error<E>>
where
    F: FnMut(Context) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Revalidated, E>> + Send + 'static,
    E: Display + Send + 'static,
{
    let mut conditional = true;
    loop {
        let reply = place.read(key, options, LoadBy::Caller).await;
        let turn = match reply.map_err(Error::widen)? {
            Reply::Held(found, None) => return Ok(found),
            Reply::Held(found, Some(turn)) => {
                tokio::spawn(async move { drop(lead(turn, &mut load, true).await) });
                return Ok(found);
            }
            Reply::Turn(turn) => turn,
            Reply::Nothing => return load_privately(&mut load).await,
            Reply::Refused(error) => return Err(error.widen()),
        };
        match lead(turn, &mut load, conditional).await {
            Led::Found(found) => return Ok(found),
            Led::Rejected(error) => return Err(error.widen()),
            Led::Failed(error) => {
                // Whether something is held that may stand in for it.
                return match place.read(key, options, LoadBy::Nobody).await {
                    Ok(Reply::Held(found, _)) => Ok(found),
                    Ok(_) | Err(_) => Err(Error::Load(error)),
                };
            }
            Led::Confirmed => {
                let reply = place.read(key, options, LoadBy::Nobody).await;
                if let Reply::Held(found, _) = reply.map_err(Error::widen)? {
                    return Ok(found);
                }
                // Gone between the two. In full this time, so that it ends.
                conditional = false;
            }
        }
    }
}

/// Loads under a turn and settles it.
async fn lead<F, Fut, E>(mut turn: Turn, load: &mut F, conditional: bool) -> Led<E>
where
    F: FnMut(Context) -> Fut,
    Fut: Future<Output = Result<Revalidated, E>>,
    E: Display,
{
    let mut etag = turn.etag().filter(|_| conditional);
    loop {
        let asked = etag.take();
        let confirms = asked.is_some();
        let loaded = match load(Context { etag: asked }).await {
            Ok(Revalidated(Found::Loaded(loaded))) => loaded,
            Ok(Revalidated(Found::NotModified { times })) if confirms => {
                match turn.settle(Fill::NotModified { times }).await {
                    Settled::Done(_) => return Led::Confirmed,
                    Settled::NeedValue(held) => {
                        turn = held;
                        continue;
                    }
                }
            }
            Ok(Revalidated(Found::NotModified { .. })) => {
                return reject(turn, nothing_to_confirm()).await;
            }
            Err(error) => {
                let message = shortened(&error);
                turn.settle(Fill::Failed { message }).await;
                return Led::Failed(error);
            }
        };
        if let Body::Item(item) = &loaded.0
            && let Err(bad) = item.check()
        {
            return reject(turn, bad.into()).await;
        }
        let found = own(&loaded);
        let version = match turn.settle(Fill::Loaded(loaded)).await {
            Settled::Done(version) => version,
            Settled::NeedValue(_) => None,
        };
        return Led::Found(found.map(|value| value.stored_as(version)));
    }
}

/// Settles a load that brought nothing usable: its followers would load the same.
async fn reject<E>(turn: Turn, error: Error) -> Led<E> {
    let message = shortened(&error);
    turn.settle(Fill::Failed { message }).await;
    Led::Rejected(error)
}

/// Loads for this caller alone.
async fn load_privately<F, Fut, E>(load: &mut F) -> Result<Option<Value>, Error<E>>
where
    F: FnMut(Context) -> Fut,
    Fut: Future<Output = Result<Revalidated, E>>,
{
    match load(Context { etag: None }).await {
        Ok(Revalidated(Found::Loaded(loaded))) => Ok(own(&loaded)),
        Ok(Revalidated(Found::NotModified { .. })) => Err(nothing_to_confirm().widen()),
        Err(error) => Err(Error::Load(error)),
    }
}

/// What this caller loaded itself, not stored.
fn own(loaded: &Loaded) -> Option<Value> {
    let Body::Item(item) = &loaded.0 else {
        return None;
    };
    let told = Told {
        version: None,
        age: Duration::ZERO,
        fresh_for: None,
        etag: item.etag.clone(),
    };
    let about = About::Told(Box::new(told));
    Some(Value::new(item.value.clone(), Source::Loaded, None, about))
}

fn nothing_to_confirm() -> Error {
    Error::Rejected {
        message: NOTHING_TO_CONFIRM.to_owned(),
    }
}

fn shortened(error: &impl Display) -> String {
    let mut message = error.to_string();
    message.truncate(message.floor_char_boundary(MAX_LOAD_ERROR_LEN));
    message
}
