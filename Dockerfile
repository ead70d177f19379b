# A sandbox image: a base, and the agent, which is one static binary.
#
# To make a sandbox of your own image, build the agent's once,
#
#   docker build --target agent --tag sandbox-agent .
#
# and add to your Dockerfile
#
#   COPY --from=sandbox-agent /usr/local/bin/sandbox-agent /usr/local/bin/
#   ENTRYPOINT ["sandbox-agent", "serve"]
#
# The agent needs nothing else of an image but /bin/sh for the commands that it
# runs. It also runs as somebody else than root, and then wants a directory:
#
#   USER 1000
#   ENV SANDBOX_AGENT_STATE_DIR=/tmp/sandbox-agent
#
# Or give this file your base, and an agent that is built already:
#
#   docker build --build-arg BASE=my-image --build-arg AGENT=sandbox-agent .

ARG BASE=debian:bookworm-slim
ARG AGENT=agent

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

FROM scratch AS agent
COPY --from=build /out/sandbox-agent /usr/local/bin/sandbox-agent

FROM ${AGENT} AS given

FROM ${BASE}
COPY --from=given /usr/local/bin/sandbox-agent /usr/local/bin/sandbox-agent
WORKDIR /workspace
EXPOSE 8080
ENTRYPOINT ["sandbox-agent", "serve"]
