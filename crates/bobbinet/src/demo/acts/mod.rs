//! The play, act by act.

mod by_hand;
mod cards;
mod crash;
mod doubt;
mod flow;

use std::time::Duration;

use tokio::time::timeout;

use super::{
    stage::Stage,
    tell::{Teller, broke},
};
use crate::failure::Failure;

/// How long all of it may take, on a busy machine. Alone it takes some ten seconds.
const PATIENCE: Duration = Duration::from_secs(55);

/// Plays all of it.
pub(super) async fn play(stage: &mut Stage, teller: &mut Teller) -> Result<(), Failure> {
    let all = async {
        cards::look(stage, teller).await?;
        flow::orchestrate(stage, teller).await?;
        crash::report(stage, teller).await?;
        let task = doubt::note(stage, teller).await?;
        by_hand::log(stage, teller, &task).await?;
        let ends = stage.close().await?;
        teller.check("all agents end in good order when they are told to", ends.iter().all(|end| end.success()))
    };
    timeout(PATIENCE, all).await.unwrap_or_else(|_| Err(broke(format!("it takes longer than {PATIENCE:?}"))))
}
