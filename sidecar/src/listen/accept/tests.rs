use std::os::unix::net::UnixStream;

use futures_util::FutureExt;

use super::*;

/// Workers that may have so many connections waiting, and what they take them from.
fn dispatch<const N: usize>(waiting: [usize; N]) -> (Dispatch, [mpsc::Receiver<Accepted>; N]) {
    let (workers, taken): (Vec<_>, Vec<_>) = waiting.into_iter().map(mpsc::channel).unzip();
    let places = Arc::new(Semaphore::new(100));
    let dispatch = Dispatch::new(workers, places, Arc::default());
    (
        dispatch,
        taken.try_into().expect("as many as were asked for"),
    )
}

/// One end of a connection, and the other as it was accepted.
fn connection() -> (UnixStream, io::Result<Stream>) {
    let (theirs, ours) = UnixStream::pair().unwrap();
    (theirs, Ok(Stream::Unix(ours)))
}

fn taken(worker: &mut mpsc::Receiver<Accepted>) -> usize {
    std::iter::from_fn(|| worker.try_recv().ok()).count()
}

#[tokio::test(start_paused = true)]
async fn a_connection_goes_to_another_worker_when_the_one_whose_turn_it_is_is_behind_or_gone() {
    let (dispatch, [mut slow, mut brisk, gone]) = dispatch([1, 10, 1]);
    drop(gone);
    let mut gate = Gate::default();
    let mut peers = Vec::new();
    for _ in 0..9 {
        let (peer, accepted) = connection();
        let handed = dispatch.hand_over(accepted, &mut gate).now_or_never();
        assert!(handed.is_some(), "nothing is waited for");
        peers.push(peer);
    }
    assert_eq!((taken(&mut slow), taken(&mut brisk)), (1, 8));
    assert_eq!(dispatch.refusals.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn when_all_workers_are_behind_nothing_is_accepted_until_one_has_room() {
    let (dispatch, [mut first, mut second]) = dispatch([1, 1]);
    let mut gate = Gate::default();
    let mut peers = Vec::new();
    for _ in 0..2 {
        let (peer, accepted) = connection();
        dispatch.hand_over(accepted, &mut gate).await;
        peers.push(peer);
    }
    let (_peer, accepted) = connection();
    let mut waits = std::pin::pin!(dispatch.hand_over(accepted, &mut gate));
    assert!(waits.as_mut().now_or_never().is_none());
    // Whichever it is.
    assert_eq!(taken(&mut second), 1);
    assert!(waits.as_mut().now_or_never().is_some());
    assert_eq!((taken(&mut first), taken(&mut second)), (1, 1));
    assert_eq!(dispatch.refusals.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_no_worker_takes_is_closed_and_counted_and_gives_its_place_back() {
    let (dispatch, [mut stuck]) = dispatch([1]);
    let mut gate = Gate::default();
    let (_first, accepted) = connection();
    dispatch.hand_over(accepted, &mut gate).await;
    let (mut second, accepted) = connection();
    dispatch.hand_over(accepted, &mut gate).await;
    assert_eq!(io::Read::read(&mut second, &mut [0]).unwrap(), 0);
    assert_eq!(dispatch.refusals.count(), 1);
    assert_eq!(dispatch.places.available_permits(), 99);

    // Nobody is left who could: nobody is waited for.
    drop(stuck.try_recv());
    drop(stuck);
    let (_third, accepted) = connection();
    let refused = dispatch.hand_over(accepted, &mut gate).now_or_never();
    assert!(refused.is_some());
    assert_eq!(dispatch.refusals.count(), 2);
    assert_eq!(dispatch.places.available_permits(), 100);
}
