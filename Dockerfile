# syntax=docker/dockerfile:1
#
# A sandbox image: Debian and the agent, which is one static binary. To make a
# sandbox of your own image, build this one as `sandbox-agent`, and add
#
#   COPY --from=sandbox-agent /usr/local/bin/sandbox-agent /usr/local/bin/
#
# with the packages below and the same ENTRYPOINT.

FROM rust:1-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends musl-tools \
    && rm -rf /var/lib/apt/lists/* \
    && rustup target add "$(uname -m)-unknown-linux-musl"
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --package sandbox-agent \
        --target "$(uname -m)-unknown-linux-musl" \
    && install -D "target/$(uname -m)-unknown-linux-musl/release/sandbox-agent" /out/sandbox-agent

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates util-linux \
    && rm -rf /var/lib/apt/lists/* \
    && mkdir -p /workspace
COPY --from=build /out/sandbox-agent /usr/local/bin/sandbox-agent
WORKDIR /workspace
EXPOSE 8080
ENTRYPOINT ["sandbox-agent", "serve"]
