# Russet in an image that holds one static binary and an empty /data.
#
#   docker build -t russet .
#   docker run -p 6379:6379 -v russet-data:/data russet
#   docker run -p 6379:6379 russet --requirepass secret --io-threads 4
#   docker run -p 6379:6379 -v ./redis.conf:/redis.conf:ro russet /redis.conf
#
# Arguments are those of redis-server; a leading `redis-server` or `russet` is skipped, so command lines
# written for the redis image work. There is no shell: redis-cli runs from elsewhere.

# The version of rust-toolchain.toml; RUSTUP_TOOLCHAIN keeps rustup from looking for it.
FROM rust:1.95.0-slim-bookworm AS build
ENV RUSTUP_TOOLCHAIN=1.95.0
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev make \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# A target named explicitly keeps +crt-static away from build scripts and procedural macros.
ARG TARGETARCH
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    case "${TARGETARCH:-$(dpkg --print-architecture)}" in \
      amd64) target=x86_64-unknown-linux-gnu ;; \
      arm64) target=aarch64-unknown-linux-gnu ;; \
      *) echo "no target for ${TARGETARCH}" >&2; exit 1 ;; \
    esac \
 && RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --locked --release --target "$target" -p russet-server --bin russet \
 && mkdir -p /out/data \
 && cp "target/$target/release/russet" /out/russet

FROM scratch
LABEL org.opencontainers.image.title="Russet" \
      org.opencontainers.image.description="A drop-in Redis: one memory-safe, multi-threaded binary that never forks." \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /out/russet /russet
# 999 is the user of the redis image: a volume it has written stays readable.
COPY --from=build --chown=999:999 /out/data /data
# In a container the network is the boundary: protected-mode is off unless the configuration turns it on.
ENV RUSSET_CONTAINER=1
USER 999:999
WORKDIR /data
VOLUME /data
EXPOSE 6379
# PINGs the port that the server was started with by default; a server on another port or with a
# password wants a --health-cmd of its own.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["/russet", "healthcheck"]
ENTRYPOINT ["/russet"]
