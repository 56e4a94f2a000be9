//! Channels: subscribing, publishing, and who listens to what.
//!
//! A subscription is confirmed with a push for each channel, written to the connection itself, while messages come through its mailbox.
//! So a confirmation precedes the channel's first message; and what is in the mailbox when a subscription ends is written before that is
//! confirmed, except inside of EXEC, whose replies nothing may come between.

use russet_dispatch::command::Flag::*;
use russet_dispatch::keys::{NOT_KEY, at, range};
use russet_dispatch::monitor::show_first;
use russet_dispatch::pubsub::Kind;
use russet_dispatch::session::mode;
use russet_dispatch::{Args, Command, Context, Error, Group, Outcome, Stop};

use crate::help;

/// What every command about channels has in common.
const PUBSUB: Command = Command {
    group: Group::PubSub,
    file: file!(),
    complexity: "O(N) where N is the number of names",
    ..Command::BASE
};

/// What subscribing has in common.
const SUBSCRIBE: Command = Command {
    arity: -2,
    flags: &[DenyOom, PubSub, NoScript, Loading, Stale, WhileSubscribed],
    ..PUBSUB
};

/// What it has in common that subscriptions end.
const UNSUBSCRIBE: Command =
    Command { arity: -1, flags: &[PubSub, NoScript, Loading, Stale, WhileSubscribed], ..PUBSUB };

/// The rows.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "psubscribe",
        syntax: "pattern:pattern [pattern:pattern ...]",
        summary: "Subscribes to all channels whose names match patterns.",
        since: "2.0.0",
        run: psubscribe,
        ..SUBSCRIBE
    },
    Command {
        name: "publish",
        syntax: "channel message",
        summary: "Sends a message to a channel's subscribers.",
        complexity: "O(N+M) where N is the number of the channel's subscribers and M the number of patterns",
        since: "2.0.0",
        arity: 3,
        flags: &[PubSub, Loading, Stale, Fast, MayReplicate],
        run: publish,
        ..PUBSUB
    },
    Command {
        name: "pubsub",
        summary: "Holds the commands that tell who is subscribed to what.",
        complexity: "Depends on subcommand.",
        since: "2.8.0",
        arity: -2,
        subcommands: SUBCOMMANDS,
        ..PUBSUB
    },
    Command {
        name: "punsubscribe",
        syntax: "[pattern:pattern [pattern:pattern ...]]",
        summary: "Ends subscriptions to patterns: to those that are named, or to all.",
        since: "2.0.0",
        run: punsubscribe,
        ..UNSUBSCRIBE
    },
    Command {
        name: "spublish",
        syntax: "shardchannel message",
        summary: "Sends a message to a shard channel's subscribers.",
        complexity: "O(N) where N is the number of the channel's subscribers",
        since: "7.0.0",
        arity: 3,
        flags: &[PubSub, Loading, Stale, Fast, MayReplicate],
        keys: &[at(1, NOT_KEY)],
        run: spublish,
        ..PUBSUB
    },
    Command {
        name: "ssubscribe",
        syntax: "shardchannel [shardchannel ...]",
        summary: "Subscribes to shard channels.",
        since: "7.0.0",
        keys: &[range(1, -1, 1, NOT_KEY)],
        run: ssubscribe,
        ..SUBSCRIBE
    },
    Command {
        name: "subscribe",
        syntax: "channel [channel ...]",
        summary: "Subscribes to channels.",
        since: "2.0.0",
        run: subscribe,
        ..SUBSCRIBE
    },
    Command {
        name: "sunsubscribe",
        syntax: "[shardchannel [shardchannel ...]]",
        summary: "Ends subscriptions to shard channels: to those that are named, or to all.",
        since: "7.0.0",
        keys: &[range(1, -1, 1, NOT_KEY)],
        run: sunsubscribe,
        ..UNSUBSCRIBE
    },
    Command {
        name: "unsubscribe",
        syntax: "[channel [channel ...]]",
        summary: "Ends subscriptions to channels: to those that are named, or to all.",
        since: "2.0.0",
        run: unsubscribe,
        ..UNSUBSCRIBE
    },
];

/// What the subcommands of PUBSUB have in common.
const ASK: Command = Command { flags: &[PubSub, Loading, Stale], ..PUBSUB };

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "channels",
        syntax: "[pattern:pattern]",
        summary: "Lists the channels that have subscribers.",
        complexity: "O(N) where N is the number of channels",
        since: "2.8.0",
        arity: -2,
        run: channels,
        ..ASK
    },
    help::row("6.2.0", &PUBSUB),
    Command {
        name: "numpat",
        summary: "Counts the patterns that have subscribers.",
        complexity: "O(1)",
        since: "2.8.0",
        arity: 2,
        run: numpat,
        ..ASK
    },
    Command {
        name: "numsub",
        syntax: "[channel [channel ...]]",
        summary: "Counts the subscribers of channels, without those of patterns.",
        since: "2.8.0",
        arity: -2,
        run: numsub,
        ..ASK
    },
    Command {
        name: "shardchannels",
        syntax: "[pattern:pattern]",
        summary: "Lists the shard channels that have subscribers.",
        complexity: "O(N) where N is the number of shard channels",
        since: "7.0.0",
        arity: -2,
        run: shardchannels,
        ..ASK
    },
    Command {
        name: "shardnumsub",
        syntax: "[shardchannel [shardchannel ...]]",
        summary: "Counts the subscribers of shard channels.",
        since: "7.0.0",
        arity: -2,
        run: shardnumsub,
        ..ASK
    },
];

/// Listing more channels than this takes about a millisecond.
const CHANNELS_MAX: usize = 10_000;

fn subscribe(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    begin(cx, args, Kind::Channel, "subscribe")
}

fn psubscribe(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    begin(cx, args, Kind::Pattern, "psubscribe")
}

fn ssubscribe(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    // The other two are let through, as by Redis, which has always done so.
    if cx.session.deny_blocking {
        return Err(Error::SubscribeDenied.into());
    }
    begin(cx, args, Kind::ShardChannel, "ssubscribe")
}

/// Subscribes to everything named, and confirms each: before its first message, which waits in the mailbox.
fn begin(cx: &mut Context<'_>, args: &mut Args<'_>, kind: Kind, word: &str) -> Outcome {
    show_first(cx, args.words());
    for name in args {
        cx.session.subscribe(&cx.state.pubsub, kind, name);
        confirm(cx, kind, word, Some(name));
    }
    Ok(())
}

fn unsubscribe(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    end(cx, args, Kind::Channel, "unsubscribe")
}

fn punsubscribe(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    end(cx, args, Kind::Pattern, "punsubscribe")
}

fn sunsubscribe(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    end(cx, args, Kind::ShardChannel, "sunsubscribe")
}

/// Ends the subscriptions that are named, or all of a kind, and confirms each; if there is none, that too.
fn end(cx: &mut Context<'_>, args: &mut Args<'_>, kind: Kind, word: &str) -> Outcome {
    show_first(cx, args.words());
    if !args.is_empty() {
        args.for_each(|name| end_one(cx, kind, word, name));
        return Ok(());
    }
    let names = cx.session.subscribed_names(kind);
    names.iter().for_each(|name| end_one(cx, kind, word, name));
    if names.is_empty() {
        confirm(cx, kind, word, None);
    }
    Ok(())
}

fn end_one(cx: &mut Context<'_>, kind: Kind, word: &str, name: &[u8]) {
    cx.session.unsubscribe(&cx.state.pubsub, kind, name);
    drain(cx);
    confirm(cx, kind, word, Some(name));
}

/// Writes what is in the client's mailbox before the reply under way, unless that is a part of another.
pub(crate) fn drain(cx: &mut Context<'_>) {
    if !cx.session.deny_blocking && cx.session.client.has_mail() {
        let mailed = cx.session.client.take_mail();
        cx.session.stamp = cx.session.stamp.max(mailed.stamp);
        cx.reply.out.append(mailed.out);
    }
}

/// Tells the client that a subscription has begun or ended, and how many it has now.
fn confirm(cx: &mut Context<'_>, kind: Kind, word: &str, name: Option<&[u8]>) {
    cx.session.set_mode(mode::PUSHED, true);
    cx.reply.push(3);
    cx.reply.bulk(word.as_bytes());
    match name {
        Some(name) => cx.reply.bulk(name),
        None => cx.reply.null(),
    }
    cx.reply.integer(cx.session.subscription_count(kind) as i64);
}

fn publish(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    send(cx, args, Kind::Channel)
}

fn spublish(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    send(cx, args, Kind::ShardChannel)
}

fn send(cx: &mut Context<'_>, args: &mut Args<'_>, kind: Kind) -> Outcome {
    let (channel, message) = (args.next()?, args.next()?);
    let receivers = if cx.session.deny_blocking {
        // In its place among what else the unit does.
        cx.data.publish_later(kind, channel, message)
    } else {
        show_first(cx, args.words());
        let stamp = if cx.data.is_followed() { cx.state.journal.end() } else { 0 };
        cx.state.publish(cx.thread, kind, channel, message, stamp)
    };
    cx.reply.integer(receivers as i64);
    Ok(())
}

fn channels(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    list(cx, args, Kind::Channel)
}

fn shardchannels(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    list(cx, args, Kind::ShardChannel)
}

fn list(cx: &mut Context<'_>, args: &mut Args<'_>, kind: Kind) -> Outcome {
    let pattern = args.peek();
    if args.left() > 1 {
        return Err(Error::subcommand(args.word(1), "pubsub").into());
    }
    let may_move = !cx.is_worker && !cx.session.deny_blocking;
    if may_move && cx.state.pubsub.count(kind) > CHANNELS_MAX {
        return Err(Stop::Elsewhere);
    }
    let names = cx.state.pubsub.names(kind, pattern);
    cx.reply.array(names.len());
    names.iter().for_each(|name| cx.reply.bulk(name));
    Ok(())
}

fn numpat(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    cx.reply.integer(cx.state.pubsub.count(Kind::Pattern) as i64);
    Ok(())
}

fn numsub(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    count(cx, args, Kind::Channel)
}

fn shardnumsub(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    count(cx, args, Kind::ShardChannel)
}

fn count(cx: &mut Context<'_>, args: &mut Args<'_>, kind: Kind) -> Outcome {
    cx.reply.array(args.left() * 2);
    for name in args {
        cx.reply.bulk(name);
        cx.reply.integer(cx.state.pubsub.subscribers(kind, name) as i64);
    }
    Ok(())
}
