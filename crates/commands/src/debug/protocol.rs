//! DEBUG PROTOCOL: a sample of each type of reply.

use russet_dispatch::{Args, Context, Error, Outcome};
use russet_resp::{Protocol, Writer};

/// What Redis answers as a double.
#[expect(clippy::approx_constant, reason = "a sample, not a circle")]
const DOUBLE: f64 = 3.141;

pub(super) fn sample(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let name = args.next()?.to_ascii_lowercase();
    let reply = &mut cx.reply;
    match name.as_slice() {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.integer(12345),
        b"double" => reply.double(DOUBLE),
        b"bignum" => reply.big_number("1234567999999999999999999999999999999"),
        b"null" => reply.null(),
        b"array" => numbers(reply, Writer::array),
        b"set" => numbers(reply, Writer::set),
        b"map" => map(reply),
        b"attrib" => attribute(reply),
        b"push" => push(reply)?,
        b"true" => reply.boolean(true),
        b"false" => reply.boolean(false),
        b"verbatim" => reply.verbatim("txt", b"This is a verbatim\nstring"),
        _ => return Err(Error::NoSuchReplyType.into()),
    }
    Ok(())
}

fn numbers<'a>(reply: &mut Writer<'a>, head: fn(&mut Writer<'a>, usize)) {
    head(reply, 3);
    (0..3).for_each(|number| reply.integer(number));
}

fn map(reply: &mut Writer<'_>) {
    reply.map(3);
    for number in 0..3 {
        reply.integer(number);
        reply.boolean(number == 1);
    }
}

/// An attribute is no reply by itself: one follows it.
fn attribute(reply: &mut Writer<'_>) {
    if reply.protocol == Protocol::Resp3 {
        reply.attribute(1);
        reply.bulk(b"key-popularity");
        reply.array(2);
        reply.bulk(b"key:123");
        reply.integer(90);
    }
    reply.bulk(b"Some real reply following the attribute");
}

/// A push answers nothing: a reply follows it.
fn push(reply: &mut Writer<'_>) -> Result<(), Error> {
    if reply.protocol != Protocol::Resp3 {
        return Err(Error::Resp2NotSupported);
    }
    reply.push(2);
    reply.bulk(b"server-cpu-usage");
    reply.integer(42);
    reply.bulk(b"Some real reply following the push reply");
    Ok(())
}
