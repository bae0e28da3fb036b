# syntax=docker/dockerfile:1
# The control plane and the filter.

FROM rust:1.95-bookworm AS build
RUN rustup target add wasm32-unknown-unknown
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --locked --release -p miroir-control-plane \
    && cargo build --locked --profile wasm --target wasm32-unknown-unknown -p miroir-filter --lib \
    && install -D target/release/miroir /out/miroir \
    && install -D target/wasm32-unknown-unknown/wasm/miroir_filter.wasm /out/miroir_filter.wasm

FROM debian:bookworm-slim
COPY --from=build /out/miroir /usr/local/bin/miroir
COPY --from=build /out/miroir_filter.wasm /usr/share/miroir/miroir_filter.wasm
RUN useradd --system --create-home --home-dir /var/lib/miroir miroir
USER miroir
WORKDIR /var/lib/miroir
VOLUME /var/lib/miroir
EXPOSE 8080 18000
ENTRYPOINT ["miroir"]
CMD ["serve", "--config", "/etc/miroir/miroir.yaml"]
