//! Bulk reads in this process, by the rule that a sidecar keeps too: whoever is
//! granted a lease waits for nobody before it is settled. Two callers that each
//! lead what the other follows would otherwise wait for each other.

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use millpond_core::cache::lookup::wait;
use millpond_core::cache::{Answer, LoadBy, Lookup, Waiter};
use millpond_core::clock::Time;
use std::time::Duration;

use super::{Local, want};
use crate::error::Error;
use crate::options::Options;
use crate::reply::Reply;

impl Local {
    /// One reply for each of the keys.
    pub(crate) async fn read_many(
        &self,
        keys: &[Bytes],
        options: &Options,
        load: LoadBy,
        patience: Duration,
    ) -> Result<Vec<Reply>, Error> {
        self.confirm(options)?;
        let deadline = match load {
            LoadBy::Nobody => Time::ZERO,
            LoadBy::Caller => self.in_time(patience),
        };
        let answers = self.ask_many(keys, options, load, deadline).await;
        let reply = |answer: Option<Answer>| match answer {
            Some(answer) => self.reply(answer, options),
            None => Reply::LedElsewhere,
        };
        Ok(answers.into_iter().map(reply).collect())
    }

    /// What the core answers; `None` for what is led elsewhere and was not waited
    /// for.
    pub(crate) async fn ask_many(
        &self,
        keys: &[Bytes],
        options: &Options,
        load: LoadBy,
        deadline: Time,
    ) -> Vec<Option<Answer>> {
        let want = want(options, load, deadline);
        let mut following: Vec<(usize, Waiter)> = Vec::new();
        let mut answers: Vec<Option<Answer>> = Vec::with_capacity(keys.len());
        let mut leads = false;
        for (at, key) in keys.iter().enumerate() {
            answers.push(match self.home.pond().get(&self.scope, key, want) {
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
        // Together: one that came to lead while another is waited for would hold
        // up whoever waits for it.
        let timer = &self.home.timer;
        let mut loads: FuturesUnordered<_> = following
            .into_iter()
            .map(|(at, waiter)| async move { (at, wait(timer, waiter).await) })
            .collect();
        while let Some((at, answer)) = loads.next().await {
            let leads = answer.lease.is_some();
            answers[at] = Some(answer);
            if leads {
                break;
            }
        }
        answers
    }
}
