# The image holds one binary, the libraries it loads, one user and one empty directory: see xtask/src/image.rs.
FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --profile dist --locked --package cli
# The data directory goes its own way: COPY gives it its owner only when it makes it.
RUN cargo run --quiet --locked --package xtask -- image-root /image --binary target/dist/linkr \
    && mv /image/data /image-data

FROM scratch
COPY --from=build /image/ /
COPY --from=build --chown=65532:65532 /image-data /data
USER 65532:65532
WORKDIR /data
# Where the first start puts it, for `docker exec linkr /linkr link …`.
ENV LINKR_KEY_FILE=/data/admin.key
VOLUME /data
# Redirects, API, admin. Only the first is reachable from outside by default: see README.md.
EXPOSE 8080 8081 8082
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/linkr", "healthcheck"]
ENTRYPOINT ["/linkr"]
CMD ["up", "--data-dir", "/data", "--listen", "0.0.0.0:8080"]
