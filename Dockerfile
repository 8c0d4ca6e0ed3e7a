# The image holds one binary, the libraries it loads, the authorities that browsers believe, one user and one empty
# directory: see xtask/src/image.rs. `make release` reads the last stage for the image that it makes without a builder.
FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --profile dist --locked --package cli
# The data directory goes its own way: COPY gives it its owner only when it makes it, and keeps its rights only below what it copies.
RUN cargo run --quiet --locked --package xtask -- image-root /image --binary target/dist/linkr \
    && mkdir /image-data && mv /image/data /image-data/

FROM scratch
COPY --from=build /image/ /
COPY --from=build --chown=65532:65532 /image-data/ /
USER 65532:65532
WORKDIR /data
# Of `linkr up`; `docker exec linkr /linkr link …` finds its key there.
ENV LINKR_DATA_DIR=/data
VOLUME /data
# Redirects, API, admin of an edge, admin of control. Only the first is reachable from outside by default: see README.md.
EXPOSE 8080 8081 8082 8083
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/linkr", "healthcheck"]
ENTRYPOINT ["/linkr"]
CMD ["up", "--listen", "0.0.0.0:8080"]
