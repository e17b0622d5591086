//! A deadline that is moved often and met seldom: one timer a connection, armed again only when it rings early.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

#[derive(Debug, Default)]
pub(crate) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Ready once `deadline` has passed. A later deadline than the last one costs nothing until the old one rings.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_deadline_can_move_both_ways() {
        let (mut timer, start) = (Timer::default(), Instant::now());
        for millis in [10, 60_000, 40] {
            let deadline = start + Duration::from_millis(millis);
            let pending = poll_fn(|cx| Poll::Ready(timer.poll(cx, deadline).is_pending())).await;
            assert!(pending, "{millis}");
        }
        poll_fn(|cx| timer.poll(cx, start + Duration::from_millis(40))).await;
        let elapsed = start.elapsed();
        assert!((40..5_000).contains(&elapsed.as_millis()), "{elapsed:?}");
    }
}
