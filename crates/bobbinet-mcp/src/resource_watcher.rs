//! Keeps a session subscribed to the resources that somebody follows, one subscription each (`resources/subscribe`), or in the era without
//! sessions one for all of them (`subscriptions/listen`).

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bobbinet_core::Json;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    json_object::JsonObject,
    mailbox::Reply,
    session::{Client, RequestOptions},
};

/// How long a server may take to answer that it has heard of a subscription.
const SUBSCRIBE_WAIT: Duration = Duration::from_secs(10);

/// The first pause before a subscription that has broken off is made again; each further one in a row doubles it.
const AGAIN_FIRST: Duration = Duration::from_secs(1);

/// The longest such pause. A subscription that has lasted as long was none of those in a row.
const AGAIN_MAX: Duration = Duration::from_secs(60);

/// Until the connection is over.
pub(crate) async fn watch(client: Arc<Client>) {
    let in_flight = client.in_flight.clone();
    let watching = async {
        match client.is_modern() {
            true => listen(&client).await,
            false => subscribe(&client).await,
        }
    };
    tokio::select! {
        biased;
        () = in_flight.ended() => {}
        () = watching => {}
    }
}

/// Up to 2025-11-25: what is new is subscribed to, what nobody follows any more is not.
async fn subscribe(client: &Arc<Client>) {
    let mut subscribed = BTreeSet::new();
    loop {
        let wanted = client.in_flight.resources.uris();
        let params = |uri: &str| [("uri".to_owned(), Json::of(uri))].into_iter().collect::<JsonObject>().to_json();
        for uri in subscribed.difference(&wanted) {
            let _ = timeout(SUBSCRIBE_WAIT, client.request("resources/unsubscribe", params(uri))).await;
        }
        for uri in wanted.difference(&subscribed) {
            // Whatever it answers: it may say that it has changed all the same.
            let _ = timeout(SUBSCRIBE_WAIT, client.request("resources/subscribe", params(uri))).await;
            // What has changed since its followers have read it, nobody was told.
            client.in_flight.resources.updated(uri);
        }
        subscribed = wanted;
        client.in_flight.resources.changed().await;
    }
}

/// 2026-07-28: a request that stays open says what is followed, and is made anew when that changes.
async fn listen(client: &Arc<Client>) {
    let resources = &client.in_flight.resources;
    let mut pause = AGAIN_FIRST;
    loop {
        let wanted = resources.uris();
        if wanted.is_empty() {
            resources.changed().await;
            continue;
        }
        let notifications = Json::from(&serde_json::json!({ "resourceSubscriptions": wanted }));
        let params = [("notifications".to_owned(), notifications)].into_iter().collect::<JsonObject>();
        let begun = Instant::now();
        let Ok(pending) = client.send("subscriptions/listen", params, RequestOptions::default()) else { return };
        let is_over = tokio::select! {
            biased;
            () = resources.changed() => None,
            reply = pending.mailbox.replied() => Some(reply),
            // It is acknowledged by then: what has changed since its followers have read it, nobody was told.
            () = sleep(ACKNOWLEDGED) => {
                wanted.iter().for_each(|uri| resources.updated(uri));
                tokio::select! {
                    biased;
                    () = resources.changed() => None,
                    reply = pending.mailbox.replied() => Some(reply),
                }
            }
        };
        // Dropped, the server is told that it is over.
        drop(pending);
        match is_over {
            None => pause = AGAIN_FIRST,
            // It does not have that.
            Some(Reply::Error(_)) => resources.changed().await,
            Some(Reply::Result(_) | Reply::Unreadable(_) | Reply::NotSent(_) | Reply::Broken(_)) => {
                pause = if begun.elapsed() > AGAIN_MAX { AGAIN_FIRST } else { pause };
                sleep(pause).await;
                pause = (pause * 2).min(AGAIN_MAX);
            }
        }
    }
}

/// How long a server may take to begin a subscription.
const ACKNOWLEDGED: Duration = Duration::from_millis(500);
