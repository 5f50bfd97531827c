# syntax=docker/dockerfile:1

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The caches are this builder's own: what is kept is copied out in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked --package millpond-sidecar --bin millpond \
    && install -D -m 0755 target/release/millpond /out/millpond \
    && install -d -m 0755 /out/run/millpond

# glibc of the same Debian that it is built on, CA certificates, and nothing else: no shell, no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="millpond" \
      org.opencontainers.image.description="A cache beside each service" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/millpond /millpond
# The Unix socket's folder. In a pod a volume shared with the service covers it.
COPY --from=build --chown=65532:65532 /out/run/millpond /run/millpond
# Numeric, so that a cluster can see that it is not root.
USER 65532:65532
# 7470: the cache, for the pod alone unless configured otherwise. 7472: probes and metrics. Not 7471: what operators
# call has no password, and listens on the loopback interface.
EXPOSE 7470 7472
# Drains: no new connections, calls in flight finish, for at most `drain`.
STOPSIGNAL SIGTERM
# No HEALTHCHECK: Kubernetes ignores it, and asks /startupz, /livez and /readyz itself.
ENTRYPOINT ["/millpond"]
CMD ["serve"]
