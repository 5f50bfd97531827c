//! Small numbers for tenants, so that what is kept of each can stand in an array.
//!
//! A number is a tenant's for as long as any entry of it is held by anybody: each
//! entry counts, the superseded ones too. Cost: 4 bytes a number; a lock for a few
//! nanoseconds where an entry is made or dropped.

use crate::sync::Mutex;

/// Numbers of tenants in use, each for as long as an entry has it.
#[derive(Debug, Default)]
pub(super) struct Numbers(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    /// By number: entries that have it.
    holders: Vec<u32>,
    free: Vec<u32>,
}

impl Numbers {
    pub(super) fn take(&self) -> u32 {
        let mut counted = self.0.lock();
        if let Some(number) = counted.free.pop() {
            counted.holders[number as usize] = 1;
            return number;
        }
        counted.holders.push(1);
        u32::try_from(counted.holders.len() - 1).expect("entries of 136 bytes fill memory first")
    }

    pub(super) fn hold(&self, number: u32) -> u32 {
        self.0.lock().holders[number as usize] += 1;
        number
    }

    pub(super) fn release(&self, number: u32) {
        let mut counted = self.0.lock();
        let holders = &mut counted.holders[number as usize];
        *holders -= 1;
        if *holders == 0 {
            counted.free.push(number);
        }
    }
}
