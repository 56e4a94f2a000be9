//! A reply as a tree: for what is told seldom and nests deeply.

use std::borrow::Cow;

use russet_resp::Writer;

/// A reply, or a part of one.
#[derive(Debug)]
pub(super) enum Node<'a> {
    Text(Cow<'a, str>),
    Status(Cow<'a, str>),
    Number(i64),
    Array(Vec<Self>),
    Set(Vec<Self>),
    Map(Vec<(Cow<'a, str>, Self)>),
}

impl<'a> Node<'a> {
    /// A bulk string.
    pub(super) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text(text.into())
    }

    /// A set of statuses, as flags are told.
    pub(super) fn words<T: Into<Cow<'a, str>>>(words: impl Iterator<Item = T>) -> Self {
        Self::Set(words.map(|word| Self::Status(word.into())).collect())
    }

    /// A map with these names.
    pub(super) fn map(pairs: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        Self::Map(pairs.into_iter().map(|(name, node)| (name.into(), node)).collect())
    }

    /// Writes it.
    pub(super) fn write(&self, reply: &mut Writer<'_>) {
        match self {
            Self::Text(text) => reply.bulk(text.as_bytes()),
            Self::Status(text) => reply.simple(text),
            Self::Number(number) => reply.integer(*number),
            Self::Array(nodes) => {
                reply.array(nodes.len());
                for node in nodes {
                    node.write(reply);
                }
            }
            Self::Set(nodes) => {
                reply.set(nodes.len());
                for node in nodes {
                    node.write(reply);
                }
            }
            Self::Map(pairs) => {
                reply.map(pairs.len());
                for (name, node) in pairs {
                    reply.bulk(name.as_bytes());
                    node.write(reply);
                }
            }
        }
    }
}
