# The server of `gioconda serve` in a container; docs/api.md tells how to run it.
FROM python:3.13-slim AS build
COPY pyproject.toml README.md LICENSE NOTICE /source/
COPY src /source/src
RUN python -m venv /opt/gioconda && \
    /opt/gioconda/bin/pip install --no-cache-dir --disable-pip-version-check "/source[web]"

FROM python:3.13-slim
COPY --from=build /opt/gioconda /opt/gioconda
# A user without rights; everything that the server keeps lies in one folder of this user.
RUN useradd --uid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin gioconda && \
    install -d -o gioconda -g gioconda -m 0700 /data
# GIOCONDA_HOME holds the key that signs and the cache.
ENV PATH=/opt/gioconda/bin:$PATH HOME=/data GIOCONDA_HOME=/data
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 7860
# The server answers 503 while no worker can do jobs; urlopen raises then.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:7860/healthz', timeout=4)"]
# Listens beyond the container, so it ends at once unless GIOCONDA_TOKEN holds a token.
ENTRYPOINT ["gioconda"]
CMD ["serve", "--host", "0.0.0.0", "--data", "/data/serve"]
