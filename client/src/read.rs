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
//!          away ── the error, or ask its stand-in, as the caller chose
//!          refused ── the error; no load
//! ```
//!
//! Invariants: a turn is settled, or dropped and thereby given up, on every way
//! out (return, panic of the loader, drop of the caller's future); a refused
//! caller never loads; a caller waits for no load but its own and the one it
//! follows.
//!
//! What is held may be of no use to its reader, as when another version of the
//! program wrote it. `take` says so; then it is loaded in its place, once.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use millpond_core::cache::{LoadBy, Source};

use crate::error::{Error, shortened};
use crate::invalidation::{Invalidation, Target};
use crate::loaded::{Body, Context, Found, Loaded, Revalidated};
use crate::options::Options;
use crate::place::Place;
use crate::renewal::keeping;
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
pub(crate) async fn get_or_load<F, Fut, E, T>(
    place: &Place,
    key: &[u8],
    options: &Options,
    mut load: F,
    mut take: impl FnMut(Value) -> Result<T, Error<E>>,
) -> Result<Option<T>, Error<E>>
where
    F: FnMut(Context) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Revalidated, E>> + Send + 'static,
    E: Display + Send + 'static,
{
    let (mut conditional, mut useless, renew) = (true, false, options.renew);
    let mut stand_in: Option<Place> = None;
    let found = loop {
        let place = stand_in.as_ref().unwrap_or(place);
        let reply = match place.read(key, options, LoadBy::Caller).await {
            Ok(reply) => reply,
            Err(Error::Unavailable { message }) => match place.stand_in(options) {
                Some(direct) => {
                    stand_in = Some(direct);
                    conditional = false;
                    continue;
                }
                None => return Err(Error::Unavailable { message }),
            },
            // Whatever is loaded from now on is as new as it is asked for.
            Err(Error::Unconfirmed { .. }) => Reply::Nothing,
            Err(error) => return Err(error.widen()),
        };
        let turn = match reply {
            Reply::Held(Some(value), turn) => match (take(value), turn) {
                (Ok(taken), None) => return Ok(Some(taken)),
                (Ok(taken), Some(turn)) => {
                    tokio::spawn(async move { drop(lead(turn, &mut load, true, renew).await) });
                    return Ok(Some(taken));
                }
                (Err(error), _) if useless => return Err(error),
                (Err(_), turn) => {
                    (useless, conditional) = (true, false);
                    match turn {
                        Some(turn) => turn,
                        None => {
                            let target = Target::keys([key]);
                            let done = place.invalidate(&target, Invalidation::default(), options);
                            match done.await {
                                // Away: the next question comes to that too.
                                Ok(_) | Err(Error::Unavailable { .. }) => continue,
                                Err(error) => return Err(error.widen()),
                            }
                        }
                    }
                }
            },
            Reply::Held(None, turn) => {
                if let Some(turn) = turn {
                    tokio::spawn(async move { drop(lead(turn, &mut load, true, renew).await) });
                }
                return Ok(None);
            }
            Reply::Turn(turn) => turn,
            Reply::Nothing => break load_privately(&mut load).await?,
            Reply::LedElsewhere => return Err(Error::WaitExpired),
            Reply::Refused(error) => return Err(error.widen()),
        };
        match lead(turn, &mut load, conditional, renew).await {
            Led::Found(found) => break found,
            Led::Rejected(error) => return Err(error.widen()),
            Led::Failed(error) => {
                // Whether something is held that may stand in for it.
                return match place.read(key, options, LoadBy::Nobody).await {
                    Ok(Reply::Held(None, _)) => Ok(None),
                    Ok(Reply::Held(Some(value), _)) => {
                        take(value).map(Some).or(Err(Error::Load(error)))
                    }
                    Ok(_) | Err(_) => Err(Error::Load(error)),
                };
            }
            Led::Confirmed => {
                let reply = place.read(key, options, LoadBy::Nobody).await;
                match reply {
                    Ok(Reply::Held(found, _)) => break found,
                    Ok(_) | Err(Error::Unavailable { .. } | Error::Unconfirmed { .. }) => {}
                    Err(error) => return Err(error.widen()),
                }
                // Gone between the two. In full this time, so that it ends.
                conditional = false;
            }
        }
    };
    found.map(take).transpose()
}

/// Loads under a turn and settles it.
async fn lead<F, Fut, E>(mut turn: Turn, load: &mut F, conditional: bool, renew: bool) -> Led<E>
where
    F: FnMut(Context) -> Fut,
    Fut: Future<Output = Result<Revalidated, E>>,
    E: Display,
{
    let mut pass = None;
    let mut etag = turn.etag().filter(|_| conditional);
    loop {
        let asked = etag.take();
        let confirms = asked.is_some();
        let loading = async {
            if pass.is_none() {
                pass = Some(turn.pass().await?);
            }
            Ok(load(Context { etag: asked }).await)
        };
        let loaded = match keeping(renew, std::iter::once(&turn), loading).await {
            Ok(loaded) => loaded,
            Err(error) => return Led::Rejected(error),
        };
        let loaded = match loaded {
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
        drop(pass);
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
pub(crate) fn own(loaded: &Loaded) -> Option<Value> {
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
