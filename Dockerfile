# An image with streamtasks and its example site, built from this checkout: docker-compose.yml runs worker and site from
# it. For a project of yours: docs/deploy.md.

FROM python:3.13.14-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY streamtasks streamtasks
COPY workers workers
COPY django_backend django_backend
COPY lua lua
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .
# Without pip in it: the image installs nothing.
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install --no-cache-dir gunicorn==27.0.1 /wheels/*.whl

FROM python:3.13.14-slim-bookworm
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001:10001
# What a worker stops gracefully on; give it more time than its --grace.
STOPSIGNAL SIGTERM
CMD ["streamtasks-worker"]
